//! Drives container engines: what a kubelet does above its container runtime.
//!
//! In: resolved pods, by the same [`Provider`](pluglet_model::provider::Provider) trait by which a provider of pods gets them; what the engine tells. Out: calls of a
//! [`Runtime`], statuses, events. Invariant: nothing is remembered that cannot be found again: after any restart what to do follows from the pod and from
//! what the engine has of it.
//!
//! ```text
//!  pods ──Provider──► driver ──one worker per pod──► Runtime (a component) ──► engine
//!                       ▲            │ look · decide (pluglet_rules::lifecycle) · act · tell
//!                       └─ container-changed, resync ◄──────────────────────────┘
//! ```
//!
//! Walk it in this order: [`driver`] finds the worker of each call, [`handle`] is what the two share, [`worker`] looks, decides and acts, [`mounts`] and [`files`]
//! make what containers get to see of this machine, [`collector`] removes images that nobody needs.

mod beneath;
pub(crate) mod collector;
pub(crate) mod driver;
mod files;
mod handle;
mod mounts;
mod worker;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use pluglet_model::provider::{Provider, ProviderEvent};
use pluglet_model::runtime::Runtime;
use pluglet_rules::grants::Grants;
use pluglet_rules::runtime::sandbox::NodeNames;
use tokio::sync::mpsc;

use crate::probes::{Reach, Runner};

/// What all workers share.
pub(crate) struct Tools {
    pub(crate) runtime: Arc<dyn Runtime>,
    /// The same component, for sessions, figures and its health.
    pub(crate) sessions: Arc<dyn Provider>,
    /// For hooks over the network.
    pub(crate) runner: Arc<dyn Runner>,
    /// For forwarded ports.
    pub(crate) reach: Reach,
    pub(crate) events: mpsc::Sender<ProviderEvent>,
    pub(crate) grants: Grants,
    /// When images are removed. None: never.
    pub(crate) images: Option<collector::Limits>,
    pub(crate) state_dir: PathBuf,
    pub(crate) names: NodeNames,
    /// The node's, which pods with its network have too.
    pub(crate) address: IpAddr,
    /// Nanoseconds since 1970, as the engine's times are.
    pub(crate) clock: fn() -> u64,
}

/// The clock of this machine.
pub(crate) fn clock() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(0)
}

impl Tools {
    /// The node's memory in bytes, as the engine tells it; 0 where it does not.
    fn node_memory(&self) -> u64 {
        let health = self.sessions.health();
        let health = health.borrow();
        let memory = health.info.as_ref().and_then(|info| info.node.capacity.get("memory"));
        let quantity = memory.and_then(|text| pluglet_rules::quantity::Quantity::parse(text).ok());
        quantity.and_then(|quantity| u64::try_from(quantity.value()).ok()).unwrap_or(0)
    }
}
