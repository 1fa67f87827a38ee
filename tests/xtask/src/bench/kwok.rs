//! KWOK as a peer: built from its Go module, run for one node, with the "fast" stages that it comes with.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use controlplane::Process;
use controlplane::binaries::{self, GoModule};
use k8s_openapi::api::core::v1::Node as NodeObject;
use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, RoleRef, Subject};
use kube::api::{Api, ObjectMeta, PostParams};
use kube::runtime::wait::await_condition;

use super::Bench;
use crate::cargo;
use crate::node::is_ready;

/// The user it runs as: everything is allowed to it, but it has the priority of any user.
pub(super) const USER: &str = "kwok";
/// For its node to become Ready.
const READY: Duration = Duration::from_secs(60);

/// The stages that its own benchmark uses, and the heartbeat that keeps a node alive; in its module's `kustomize/stage`.
const STAGES: [&str; 5] = [
    "node/fast/node-initialize.yaml",
    "node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
    "pod/fast/pod-ready.yaml",
    "pod/fast/pod-complete.yaml",
    "pod/fast/pod-delete.yaml",
];

/// What it takes to run it.
#[derive(Debug)]
pub(super) struct Kwok {
    program: PathBuf,
    stages: PathBuf,
}

/// Finds or builds the program.
pub(super) fn install() -> Result<Kwok> {
    let dir = cargo::repository().join("tests/bench-peers/kwok");
    let version = binaries::required_version(&dir, "sigs.k8s.io/kwok")?;
    let module = GoModule {
        dir,
        title: format!("KWOK {version}"),
        cache_name: format!("kwok-{version}"),
        ldflags: format!("-s -w -X sigs.k8s.io/kwok/pkg/consts.Version={version}"),
        programs: vec![("kwok".to_owned(), "kwok".to_owned())],
    };
    let program = module.install()?.join("kwok");
    Ok(Kwok { program, stages: module_source(&module)?.join("kustomize/stage") })
}

/// Where Go keeps the module's files.
fn module_source(module: &GoModule) -> Result<PathBuf> {
    let mut go = Command::new("go");
    go.args(["list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/kwok"]).current_dir(&module.dir).stderr(Stdio::inherit());
    let output = go.output().context("cannot run go, which knows where KWOK's stages are: install Go")?;
    let dir = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    if !output.status.success() || !dir.is_dir() {
        bail!("go does not have KWOK's module; run `go mod download` in {}", module.dir.display());
    }
    Ok(dir)
}

/// Starts it for a new node of its own, and waits until that is Ready.
pub(super) async fn start(bench: &Bench<'_>, kwok: &Kwok, node: &str) -> Result<Process> {
    allow(bench).await?;
    let nodes: Api<NodeObject> = Api::all(bench.client.clone());
    let annotations = [("kwok.x-k8s.io/node".to_owned(), "fake".to_owned())].into();
    let metadata = ObjectMeta { name: Some(node.to_owned()), annotations: Some(annotations), ..ObjectMeta::default() };
    nodes.create(&PostParams::default(), &NodeObject { metadata, ..NodeObject::default() }).await?;
    let mut command = Command::new(&kwok.program);
    command
        .arg("--kubeconfig")
        .arg(bench.plane.kubeconfig_user(USER, USER, None)?)
        .arg("--manage-all-nodes=false")
        .arg("--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake")
        .arg(format!("--server-address=127.0.0.1:{}", controlplane::ports::one()?));
    for stage in STAGES {
        command.arg("--config").arg(kwok.stages.join(stage));
    }
    let log = bench.plane.dir().join("logs").join(format!("{node}.log"));
    let mut process = Process::spawn("kwok", &command, &log)?;
    let ready = Box::pin(await_condition(nodes, node, |node: Option<&NodeObject>| node.is_some_and(is_ready)));
    match tokio::time::timeout(READY, ready).await {
        Ok(outcome) => outcome?.map(drop).unwrap_or_default(),
        Err(_) => {
            process.check_running()?;
            bail!("waited {READY:?} for KWOK's node to become Ready; the end of its log:\n{}", process.log_tail(20));
        }
    }
    Ok(process)
}

async fn allow(bench: &Bench<'_>) -> Result<()> {
    let group = "rbac.authorization.k8s.io";
    let binding = ClusterRoleBinding {
        metadata: ObjectMeta { name: Some(USER.to_owned()), ..ObjectMeta::default() },
        role_ref: RoleRef {
            api_group: Some(group.to_owned()),
            kind: "ClusterRole".to_owned(),
            name: "cluster-admin".to_owned(),
        },
        subjects: Some(vec![Subject {
            kind: "User".to_owned(),
            name: USER.to_owned(),
            api_group: Some(group.to_owned()),
            namespace: None,
        }]),
    };
    let bindings: Api<ClusterRoleBinding> = Api::all(bench.client.clone());
    if bindings.get_opt(USER).await?.is_none() {
        bindings.create(&PostParams::default(), &binding).await.context("cannot give KWOK its rights")?;
    }
    Ok(())
}
