//! Which pods this node takes.
//!
//! In: new pods, the Node object, the provider's allocatable resources. Out: yes, no, or not now. Invariant: each pod counts once, from the
//! moment that it is taken until its end; a pod that runs already is taken whatever there is.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod, PodStatus};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use pluglet_model::provider::Health;
use pluglet_rules::admission::{NodeView, Rejection, admit, is_daemon_set_pod, unsupported};
use pluglet_rules::requests::{Ledger, Resources, requests};
use tokio::sync::watch;

use crate::status::Phase;

/// What becomes of a new pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Take,
    /// It fails, and its owner makes another, for another node perhaps.
    Reject(Rejection),
    /// A DaemonSet's controller makes another for this very node, at once and for ever: the pod waits until there is room.
    Wait(Rejection),
}

/// The pods that were taken, and what they request.
pub(super) struct Admission {
    node: watch::Receiver<Option<Arc<Node>>>,
    health: watch::Receiver<Health>,
    used: Ledger,
    counted: HashMap<Arc<str>, Resources>,
}

impl Admission {
    pub(super) fn new(node: watch::Receiver<Option<Arc<Node>>>, health: watch::Receiver<Health>) -> Self {
        Self { node, health, used: Ledger::default(), counted: HashMap::new() }
    }

    /// Whether the node has ever been seen: without its labels nobody can say what fits.
    pub(super) fn knows_node(&self) -> bool {
        self.node.borrow().is_some()
    }

    /// Resolves when it is seen, or changes.
    pub(super) async fn node_changed(&mut self) {
        if self.node.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Decides on a new pod, and counts it if it is taken.
    pub(super) fn decide(&mut self, uid: &Arc<str>, pod: &Pod) -> Decision {
        match self.judge(pod) {
            Ok(()) => {
                self.count(uid, pod, &PodStatus::default());
                Decision::Take
            }
            Err(rejection) if is_daemon_set_pod(pod) => Decision::Wait(rejection),
            Err(rejection) => Decision::Reject(rejection),
        }
    }

    /// Counts a pod that is here already, unless it has come to its end.
    pub(super) fn count(&mut self, uid: &Arc<str>, pod: &Pod, status: &PodStatus) {
        if !has_ended(status) && !self.counted.contains_key(uid) {
            let requests = requests(pod);
            self.used.add(&requests);
            self.counted.insert(uid.clone(), requests);
        }
    }

    /// A pod that is counted requests something else now: its resize is the provider's to judge, but the room it takes is no one else's. True
    /// when that may have made room.
    pub(super) fn resized(&mut self, uid: &str, pod: &Pod) -> bool {
        let Some(counted) = self.counted.get_mut(uid) else { return false };
        let before = std::mem::replace(counted, requests(pod));
        self.used.sub(&before);
        self.used.add(counted);
        before != *counted
    }

    /// A pod has changed, and may have come to its end. True when that made room.
    pub(super) fn changed(&mut self, uid: &Arc<str>, status: &PodStatus) -> bool {
        has_ended(status) && self.release(uid)
    }

    /// A pod is gone. True when that made room.
    pub(super) fn release(&mut self, uid: &str) -> bool {
        let Some(requests) = self.counted.remove(uid) else { return false };
        self.used.sub(&requests);
        true
    }

    fn judge(&self, pod: &Pod) -> Result<(), Rejection> {
        if let Some(rejection) = unsupported(pod) {
            return Err(rejection);
        }
        let (node, health) = (self.node.borrow(), self.health.borrow());
        // Neither is missing once pods are looked at.
        let (Some(node), Some(info)) = (&*node, &health.info) else { return Ok(()) };
        let empty = BTreeMap::new();
        let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
        let allocatable: BTreeMap<String, Quantity> =
            info.node.allocatable().iter().map(|(name, amount)| (name.clone(), Quantity(amount.clone()))).collect();
        let view = NodeView {
            name: node.metadata.name.as_deref().unwrap_or_default(),
            labels: node.metadata.labels.as_ref().unwrap_or(&empty),
            taints,
            operating_system: &info.node.operating_system,
            supplemental_groups_policy: false,
            allocatable: &Resources::from_list(&allocatable),
        };
        admit(pod, &view, &self.used)
    }
}

fn has_ended(status: &PodStatus) -> bool {
    status.phase.as_deref().is_some_and(Phase::is_terminal_name)
}

#[cfg(test)]
mod tests;
