//! A pluglet process that a test can kill, stop and start again.
//!
//! In: a control plane, [`NodeOptions`]. Out: a [`Node`] that is Ready. Invariant: restarts keep the state directory and the port.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use anyhow::{Context, Result, bail};
use controlplane::wait::{Answer, until};
use controlplane::{ControlPlane, Process};
use k8s_openapi::api::core::v1::Node as NodeObject;
use kube::{Api, Client};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::backend::{self, Workload};
use crate::{SOON, binary, components};

/// How a node is started.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// A provider's name.
    pub provider: &'static str,
    /// More flags.
    pub flags: Vec<String>,
    /// The text of `pluglet.yaml`.
    pub config: &'static str,
    /// What comes after it: sections that are known only when the test runs.
    pub more_config: String,
    /// Who it is to the API server.
    pub identity: Identity,
}

/// Who a node is to the API server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Identity {
    /// `system:node:NAME`, as a kubelet is: the node authorizer and the admission plugin NodeRestriction say what it may.
    #[default]
    Node,
    /// Who may do everything.
    Admin,
    /// Nobody yet: a flag says how it becomes the node.
    None,
    /// A service account, with what RBAC gives to it.
    ServiceAccount {
        /// Where it is.
        namespace: &'static str,
        /// Its name.
        name: &'static str,
    },
}

impl Identity {
    fn kubeconfig(self, plane: &ControlPlane, node: &str, state: &Path) -> Result<PathBuf> {
        match self {
            Self::Node => plane.kubeconfig_node(node),
            Self::None => Ok(state.join("kubeconfig")),
            Self::Admin => Ok(plane.kubeconfig_admin().to_owned()),
            Self::ServiceAccount { namespace, name } => {
                let user = format!("system:serviceaccount:{namespace}:{name}");
                plane.kubeconfig_user(&format!("account-{node}"), &user, Some("system:serviceaccounts"))
            }
        }
    }
}

impl Default for NodeOptions {
    fn default() -> Self {
        Self { provider: "mock", flags: vec![], config: "", more_config: String::new(), identity: Identity::Node }
    }
}

/// A running pluglet.
#[derive(Debug)]
pub struct Node {
    /// The name of the Node object.
    pub name: String,
    options: NodeOptions,
    process: Process,
    kubeconfig: PathBuf,
    client_ca: PathBuf,
    port: u16,
    log: PathBuf,
    starts: usize,
    state: TempDir,
}

impl Node {
    /// Starts a node and waits until it is Ready.
    pub async fn start(plane: &ControlPlane, client: &Client, name: &str, options: NodeOptions) -> Result<Self> {
        let node = Self::launch(plane, name, options)?;
        node.ready(client).await?;
        Ok(node)
    }

    /// Starts a node and does not wait.
    pub fn launch(plane: &ControlPlane, name: &str, options: NodeOptions) -> Result<Self> {
        let state = tempfile::Builder::new().prefix("pluglet-test-").tempdir()?;
        fs::write(state.path().join("pluglet.yaml"), format!("{}{}", options.config, options.more_config))?;
        share_compiled(plane, state.path())?;
        let kubeconfig = options.identity.kubeconfig(plane, name, state.path())?;
        let client_ca = plane.client_ca_file();
        let port = controlplane::ports::one()?;
        let log = plane.dir().join("logs").join(format!("{name}.1.log"));
        let command = command(name, &options, &kubeconfig, &client_ca, port, state.path())?;
        let process = Process::spawn("pluglet", &command, &log)?;
        Ok(Self { name: name.to_owned(), options, process, kubeconfig, client_ca, port, log, starts: 1, state })
    }

    /// Waits until the API server says that the node is Ready.
    pub async fn ready(&self, client: &Client) -> Result<()> {
        let nodes = Api::<NodeObject>::all(client.clone());
        until(&format!("node {} to be Ready", self.name), SOON, async || {
            let Some(node) = nodes.get_opt(&self.name).await? else { return Ok(Answer::NotYet("no node".into())) };
            let conditions = node.status.and_then(|status| status.conditions).unwrap_or_default();
            let ready = conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
            Ok(if ready { Answer::Yes(()) } else { Answer::NotYet(format!("{conditions:?}")) })
        })
        .await
        .with_context(|| self.process.log_tail(20))
    }

    /// kill -9.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// SIGTERM; answers how it ended.
    pub fn terminate(&mut self) -> Result<ExitStatus> {
        self.process.terminate(SOON)
    }

    /// Starts it again, with the same state, after [`Self::kill`] or [`Self::terminate`]. Its log is a new file.
    pub fn restart(&mut self) -> Result<()> {
        self.starts += 1;
        self.log.set_file_name(format!("{}.{}.log", self.name, self.starts));
        let command =
            command(&self.name, &self.options, &self.kubeconfig, &self.client_ca, self.port, self.state.path())?;
        self.process = Process::spawn("pluglet", &command, &self.log)?;
        Ok(())
    }

    /// Its state directory.
    pub fn state(&self) -> &Path {
        self.state.path()
    }

    /// Where it can be called directly.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// What the present process has logged.
    pub fn log(&self) -> Result<String> {
        fs::read_to_string(&self.log).with_context(|| self.log.display().to_string())
    }

    /// Waits until the present process has logged a line with all of `parts`; answers the line.
    pub async fn logged(&self, parts: &[&str]) -> Result<String> {
        until(&format!("{} to log {parts:?}", self.name), SOON, async || {
            let log = self.log()?;
            let line = log.lines().find(|line| parts.iter().all(|part| line.contains(part)));
            Ok(line.map_or_else(|| Answer::NotYet(self.process.log_tail(5)), |line| Answer::Yes(line.to_owned())))
        })
        .await
    }

    /// Stops the process in its tracks (SIGSTOP): it sees and does nothing until [`Self::thaw`].
    pub fn freeze(&self) -> Result<()> {
        self.process.signal(Signal::STOP)
    }

    /// Lets the process go on.
    pub fn thaw(&self) -> Result<()> {
        self.process.signal(Signal::CONT)
    }

    /// What the mock provider has in its memory that outlives it, whoever put it there.
    pub fn workloads(&self) -> Result<Vec<Workload>> {
        backend::workloads(&self.memory())
    }

    /// Takes all pods from the mock provider, as a backend that loses them does. Only while the process does not run.
    pub fn lose_workloads(&self) -> Result<()> {
        fs::remove_file(self.memory()).with_context(|| self.memory().display().to_string())
    }

    fn memory(&self) -> PathBuf {
        self.state.path().join("kv").join(&self.name).join(format!("{}.kv", self.options.provider))
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Peak resident memory, bytes.
    pub fn peak_memory(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).context("no VmHWM")?;
        let Some(kilobytes) = line.split_whitespace().nth(1) else { bail!("unexpected {line:?}") };
        Ok(kilobytes.parse::<u64>()? * 1024)
    }
}

/// Compiling a component takes an unoptimised build seconds: all nodes of a run share what the first has compiled.
fn share_compiled(plane: &ControlPlane, state: &Path) -> Result<()> {
    let shared = plane.dir().join("cwasm");
    if !shared.is_dir() {
        // Another test may have made it meanwhile.
        DirBuilder::new().mode(0o700).recursive(true).create(&shared)?;
    }
    symlink(shared, state.join("cwasm")).context("cwasm")
}

fn command(
    name: &str,
    options: &NodeOptions,
    kubeconfig: &Path,
    client_ca: &Path,
    port: u16,
    state: &Path,
) -> Result<Command> {
    let mut command = Command::new(binary()?);
    command
        .args(["run", "--node-name", name, "--provider", options.provider, "--address", "127.0.0.1"])
        .args(["--port", &port.to_string()])
        .arg("--plugin-dir")
        .arg(components()?)
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .arg("--client-ca-file")
        .arg(client_ca)
        .arg("--state-dir")
        .arg(state)
        .arg("--config")
        .arg(state.join("pluglet.yaml"))
        .args(&options.flags)
        .env("RUST_LOG", "info,pluglet=debug,kube_client=off,kube_runtime=off");
    Ok(command)
}
