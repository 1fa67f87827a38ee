//! A real Kubernetes control plane on loopback: etcd, kube-apiserver, kube-controller-manager and kube-scheduler.
//!
//! It has no kubelet: whoever uses it brings the node under test. In: the five Kubernetes binaries, found or made by
//! [`Binaries::locate`]. Out: a [`ControlPlane`] with kubeconfigs, a client, `kubectl`, the API server's audit log and
//! a dump for the case that something fails.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use controlplane::{ControlPlane, Options, TestNamespace};
//!
//! let cluster = ControlPlane::start(Options::default()).await?; // or attach_or_start(), or shared()
//! let client = cluster.client().await?; // one for each tokio runtime, see its doc
//! let namespace = TestNamespace::create(&cluster, &client, "a-pod-runs").await?;
//! let kubeconfig = cluster.kubeconfig_node("node-1")?; // what `pluglet run --kubeconfig` takes
//! let mark = cluster.audit().mark()?;
//! // … run a node, create pods in `namespace.name()` …
//! let calls = cluster.audit().since(&mark)?;
//! # Ok(()) }
//! ```
//!
//! Invariant: no process outlives the one that started it, however that one ends (see [`process`]), and a directory
//! left behind by a killed run is removed by the next one.

pub mod audit;
pub mod binaries;
mod certificates;
mod components;
mod control;
mod control_plane;
pub mod dump;
mod kubeconfig;
mod layout;
mod metrics_server;
mod namespace;
pub mod ports;
pub mod process;
mod supervisor;
pub mod wait;

use std::path::{Path, PathBuf};

/// The checkout that this program runs in.
///
/// Looked for at run time: a target directory may serve several checkouts, one after the other, and cargo then takes a program that was
/// built from another one for fresh.
pub fn repository() -> PathBuf {
    let start = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).or_else(|| std::env::current_dir().ok());
    let start = start.unwrap_or_default();
    let is_root = |dir: &&Path| dir.join("tests/controlplane/kubernetes/go.mod").is_file();
    start.ancestors().find(is_root).unwrap_or(Path::new(".")).to_owned()
}

pub use audit::{AuditLog, Call, Mark};
pub use binaries::Binaries;
pub use components::Component;
pub use control_plane::{ControlPlane, ENVIRONMENT, Options};
pub use metrics_server::MetricsServer;
pub use namespace::TestNamespace;
pub use process::Process;
