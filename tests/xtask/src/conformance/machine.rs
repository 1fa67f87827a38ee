//! What the suite runs against: a control plane, an engine with the suite's images, and a node of pluglet's above it.
//!
//! In: the programs. Out: a [`Machine`] whose node is Ready. Invariant: dropping it, or stopping it, takes all of it down;
//! the node goes first, for it uses the others.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use controlplane::{ControlPlane, Options as PlaneOptions};
use engine::{Engine, Method, Options as EngineOptions};

use super::images;
use super::programs::Programs;
use crate::cargo::{self, Workspace};
use crate::failure;
use crate::node::{Node, Settings, Spec};

const NODE: &str = "conformance-node";

/// Some specs ask the kubelet's port by its number.
const KUBELET_PORT: u16 = 10250;

/// For pluglet to drain at the end.
const DRAIN: Duration = Duration::from_secs(40);

/// What the suite wants of a node: everything that a kubelet gives to who may create pods. Kernel parameters that are not safe are not among it,
/// and a spec looks whether they are refused.
const GRANTS: &str = "containers:
  volumes: directory
  hostPath: [{path: /}]
  privileged: true
  hostNetwork: true
  hostPID: true
  hostIPC: true
  hostPorts: true
  subPaths: true
  unconfined: true
  capabilities: [ALL]
";

/// All that runs. Dropped in this order.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) node: Node,
    engine: Engine,
    pub(super) plane: ControlPlane,
    dump: PathBuf,
}

impl Machine {
    /// Starts all of it, and waits until the node is Ready.
    pub(super) async fn start(
        workspace: &Workspace,
        programs: &Programs,
        pluglet: &Path,
        components: &Path,
    ) -> Result<Self> {
        cargo::heading("start a container engine, and make the suite's images");
        let Some(engine) = Engine::start(EngineOptions::default()).await?.ready() else {
            bail!("the suite runs real containers");
        };
        let sandbox = images::import(&engine, programs).await?;
        cargo::heading("start a control plane and a node");
        let plane = ControlPlane::start(PlaneOptions::default()).await?;
        let address = address()?;
        let config = config(&engine.socket(), &sandbox, lacks_resource_capability());
        let settings = Settings {
            config: Some(config),
            address: Some(address),
            port: TcpListener::bind((address, KUBELET_PORT)).is_ok().then_some(KUBELET_PORT),
            arguments: ["--taint", "none"].map(str::to_owned).into(),
        };
        let spec = Spec { name: NODE, provider: "containers", binary: pluglet, components, settings };
        let node = Node::start(&plane, &spec)?;
        let mut machine = Self { node, engine, plane, dump: failure::directory(workspace, "conformance") };
        let client = machine.plane.client().await?;
        if let Err(error) = machine.node.ready(&client).await {
            machine.dump();
            return Err(error);
        }
        eprintln!("node {NODE} is Ready at {}", machine.node.url());
        Ok(machine)
    }

    /// podman's name and version.
    pub(super) async fn engine_version(&self) -> Result<String> {
        let (_, body) = self.engine.request(Method::GET, "/version", "").await?;
        let version: serde_json::Value = serde_json::from_slice(&body)?;
        let version = version.get("Version").and_then(serde_json::Value::as_str).unwrap_or("of an unknown version");
        Ok(format!("podman {version}"))
    }

    /// Keeps what explains a failure.
    pub(super) fn dump(&self) {
        failure::dump(&self.plane, &self.dump, &[self.node.log().to_owned()]);
    }

    /// Takes all of it down, in order. The node's log stays in `output`.
    pub(super) async fn stop(mut self, dump: bool, output: &Path) -> Result<()> {
        if dump {
            self.dump();
        }
        let log = output.join("node.log");
        if let Err(error) = fs::copy(self.node.log(), &log) {
            eprintln!("cannot keep the node's log as {}: {error}", log.display());
        }
        cargo::heading("stop the node, the engine and the control plane");
        let stopped = self.node.stop(DRAIN);
        let Self { node, engine, plane, .. } = self;
        drop(node);
        let ended = engine.stop().await;
        drop(plane);
        stopped.and(ended)
    }
}

/// The address that this machine has to others. Nothing is sent.
fn address() -> Result<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    // A documentation address: all that matters is which way it would go.
    socket.connect((Ipv4Addr::new(198, 51, 100, 1), 9)).context("this machine has no address but loopback")?;
    Ok(socket.local_addr()?.ip())
}

fn config(socket: &Path, sandbox: &str, frugal: bool) -> String {
    let score = if frugal { "  minOomScoreAdjust: 0\n" } else { "" };
    format!(
        "config:\n  sandboxImage: {sandbox}\n{score}{GRANTS}endpoints:\n  engine:\n    url: unix://{}\n    upgrade: true\n    \
         timeout: 2m\n    concurrency: 128\n    maxResponse: 64Mi\n",
        socket.display()
    )
}

/// Whether this process, and so the engine, may not lower how soon a process is killed for memory.
fn lacks_resource_capability() -> bool {
    const CAP_SYS_RESOURCE: u32 = 24;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let mask = effective.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << CAP_SYS_RESOURCE) == 0)
}
