//! A pluglet process: built, started against a control plane, awaited until its node is Ready.
//!
//! In: a control plane and a [`Spec`]. Out: a [`Node`]; dropping it kills the process.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use controlplane::{ControlPlane, Process};
use k8s_openapi::api::core::v1::Node as NodeObject;
use kube::Client;
use kube::api::Api;
use kube::runtime::wait::await_condition;

use crate::cargo::{self, Workspace};

/// For the node to become Ready. It takes a second; compiling a component on a busy machine takes more.
const READY: Duration = Duration::from_secs(90);
/// Between two looks at whether the process still runs.
const LOOK: Duration = Duration::from_millis(200);

/// What to start.
#[derive(Debug)]
pub(crate) struct Spec<'a> {
    /// The node's name.
    pub(crate) name: &'a str,
    /// The provider's name or path.
    pub(crate) provider: &'a str,
    /// The pluglet binary.
    pub(crate) binary: &'a Path,
    /// The directory with components.
    pub(crate) components: &'a Path,
    /// What else is to be said.
    pub(crate) settings: Settings,
}

/// What most nodes do without.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    /// The text of `pluglet.yaml`.
    pub(crate) config: Option<String>,
    /// Another address than loopback.
    pub(crate) address: Option<IpAddr>,
    /// A port of its own choice.
    pub(crate) port: Option<u16>,
    /// More flags.
    pub(crate) arguments: Vec<String>,
}

/// A running pluglet.
#[derive(Debug)]
pub(crate) struct Node {
    name: String,
    address: SocketAddr,
    process: Process,
    started: Instant,
    // Dropped after the process, which writes into it.
    _state: tempfile::TempDir,
}

/// Builds pluglet with a cargo profile, and answers where the binary is.
pub(crate) fn build(workspace: &Workspace, profile: &str) -> Result<PathBuf> {
    cargo::heading(&format!("build pluglet (profile {profile})"));
    cargo::run(cargo::cargo().args(["build", "--package", "pluglet", "--profile", profile]))?;
    Ok(workspace.binary("pluglet", profile))
}

impl Node {
    /// Starts it; its output goes to a file in the control plane's directory.
    pub(crate) fn start(plane: &ControlPlane, spec: &Spec<'_>) -> Result<Self> {
        let state = tempfile::Builder::new().prefix("pluglet-state-").tempdir()?;
        let settings = &spec.settings;
        let address = settings.address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let port = settings.port.map_or_else(controlplane::ports::one, Ok)?;
        let mut command = Command::new(spec.binary);
        command
            .arg("run")
            .args(["--node-name", spec.name, "--provider", spec.provider])
            .arg("--plugin-dir")
            .arg(spec.components)
            .arg("--kubeconfig")
            .arg(plane.kubeconfig_node(spec.name)?)
            .arg("--client-ca-file")
            .arg(plane.client_ca_file())
            .arg("--state-dir")
            .arg(state.path())
            .args(["--address", &address.to_string()])
            .args(["--port", &port.to_string()])
            .args(&settings.arguments);
        if let Some(config) = &settings.config {
            let file = state.path().join("pluglet.yaml");
            std::fs::write(&file, config).with_context(|| format!("cannot write {}", file.display()))?;
            command.arg("--config").arg(file);
        }
        let log = plane.dir().join("logs").join(format!("{}.log", spec.name));
        let process = Process::spawn("pluglet", &command, &log)?;
        Ok(Self {
            name: spec.name.to_owned(),
            address: SocketAddr::new(address, port),
            process,
            started: Instant::now(),
            _state: state,
        })
    }

    /// The file its output goes to.
    pub(crate) fn log(&self) -> &Path {
        self.process.log()
    }

    /// Where it can be called directly.
    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits until the API server says that the node is Ready; answers how long that took since the start.
    pub(crate) async fn ready(&mut self, client: &Client) -> Result<Duration> {
        let nodes: Api<NodeObject> = Api::all(client.clone());
        let name = self.name.clone();
        let ready = await_condition(nodes, &name, |node: Option<&NodeObject>| node.is_some_and(is_ready));
        self.meanwhile(&format!("node {name} to become Ready"), READY, Box::pin(ready)).await??;
        Ok(self.started.elapsed())
    }

    /// Awaits `wanted`, but not longer than `deadline`, and not if the process ends.
    pub(crate) async fn meanwhile<T>(
        &mut self,
        what: &str,
        deadline: Duration,
        wanted: impl Future<Output = T>,
    ) -> Result<T> {
        tokio::select! {
            outcome = wanted => Ok(outcome),
            error = ended(&mut self.process) => Err(error).with_context(|| format!("while waiting for {what}")),
            () = tokio::time::sleep(deadline) => {
                let tail = self.process.log_tail(20);
                bail!("waited {deadline:?} for {what}; the end of {}:\n{tail}", self.process.log().display())
            }
        }
    }

    /// Returns when the process has ended, with the end of its log.
    pub(crate) async fn ended(&mut self) -> anyhow::Error {
        ended(&mut self.process).await
    }

    /// SIGTERM, and waits until it has drained.
    pub(crate) fn stop(&mut self, grace: Duration) -> Result<()> {
        let status = self.process.terminate(grace)?;
        if !status.success() {
            bail!("pluglet ended with {status} after SIGTERM; see {}", self.process.log().display());
        }
        Ok(())
    }
}

/// Returns when a process has ended, with the end of its log.
pub(crate) async fn ended(process: &mut Process) -> anyhow::Error {
    loop {
        if let Err(error) = process.check_running() {
            return error;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Whether the node's Ready condition is True.
pub(crate) fn is_ready(node: &NodeObject) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|all| all.iter().any(|one| one.type_ == "Ready" && one.status == "True"))
}
