//! `demo`: a control plane, a pluglet node, a Deployment and a Job on it, and a look at all of it.
//!
//! In: nothing but a provider's name. Out: tables and logs on stdout; then either a cluster to play with until Ctrl-C,
//! or, with `--exit`, exit code 0 if everything reached its state. What did not is reported with a dump.

mod containers;
mod workload;

use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use controlplane::{ControlPlane, Options};
use engine::Engine;

use crate::cargo::{self, Workspace};
use crate::node::{self, Node, Settings, Spec};
use crate::{failure, interrupt, plugins};

const NODE: &str = "demo-node";
/// The provider that gets an engine, and is shown with what only real containers have.
const CONTAINERS: &str = "containers";
/// For pluglet to drain at the end.
const DRAIN: Duration = Duration::from_secs(40);

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// End instead of staying up, with an error if anything did not reach its state
    #[arg(long)]
    exit: bool,
    /// The provider that runs the pods: a package in plugins/, or a file. With `containers` pods are real, on an engine of the demo's own
    #[arg(long, default_value = "mock")]
    provider: String,
    /// Build pluglet with optimisations
    #[arg(long)]
    release: bool,
}

/// The command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let begun = Instant::now();
    let workspace = Workspace::load()?;
    let components = plugins::build(&workspace, "component")?;
    let binary = node::build(&workspace, if arguments.release { "release" } else { "dev" })?;
    interrupt::block_on(async {
        let engine = match arguments.provider.as_str() {
            CONTAINERS => Some(interrupt::unless_requested(Box::pin(containers::engine())).await?),
            _ => None,
        };
        let spec = Spec {
            name: NODE,
            provider: &arguments.provider,
            binary: &binary,
            components: &components,
            settings: engine.as_ref().map_or_else(Settings::default, containers::settings),
        };
        let set_up = Box::pin(set_up(&workspace, &spec, engine.as_ref()));
        let (plane, mut node) = interrupt::unless_requested(set_up).await?;
        println!("\neverything reached its state, {} s after the start of the demo", begun.elapsed().as_secs());
        if !arguments.exit {
            stay(&plane).await?;
        }
        cargo::heading("stop the node, then the control plane");
        node.stop(DRAIN)
    })
}

async fn set_up(workspace: &Workspace, spec: &Spec<'_>, engine: Option<&Engine>) -> Result<(ControlPlane, Node)> {
    cargo::heading("start a control plane");
    let plane = ControlPlane::start(Options::default()).await?;
    cargo::heading(&format!("start node {NODE} with provider {}", spec.provider));
    let mut node = Node::start(&plane, spec)?;
    println!("pluglet's log: {}", node.log().display());
    if let Err(error) = perform(&plane, &mut node, engine).await {
        failure::dump(&plane, &failure::directory(workspace, "demo"), &[node.log().to_owned()]);
        return Err(error);
    }
    Ok((plane, node))
}

async fn perform(plane: &ControlPlane, node: &mut Node, engine: Option<&Engine>) -> Result<()> {
    let client = plane.client().await?;
    let took = node.ready(&client).await?;
    println!("node {NODE} is Ready {:.1} s after its start", took.as_secs_f64());

    if let Some(engine) = engine {
        return Box::pin(containers::perform(plane, node, &client, engine)).await;
    }
    cargo::heading("a Deployment of 3 pods, and a Job of 3 pods that run for 2 s");
    workload::apply(plane, workload::MANIFEST)?;
    workload::reached(node, &client).await?;

    for arguments in workload::LOOK {
        println!("\n$ kubectl {}", arguments.join(" "));
        cargo::run(plane.kubectl().args(*arguments))?;
    }
    Ok(())
}

async fn stay(plane: &ControlPlane) -> Result<()> {
    let kubectl = plane.binaries().join("kubectl");
    println!(
        "
The cluster stays up until Ctrl-C. In another terminal:

  export KUBECONFIG={}
  alias kubectl={}

  kubectl get pods --watch                     # then, in a third one:
  kubectl scale deployment web --replicas=30
  kubectl logs --follow deployment/web
  kubectl delete pod --all
  kubectl describe node {NODE}
",
        plane.kubeconfig_admin().display(),
        kubectl.display(),
    );
    interrupt::requested().await
}
