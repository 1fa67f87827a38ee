//! What a provider says about its node, made slow and revocable.
//!
//! In: fact records, as often as the provider likes; what the Node holds. Out: the record in force, and the names that no record stands for
//! any more. Invariant: records are exchanged at [`FACTS_PACE`] at most; a name is only ever taken back if this process put it there.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, NodeCondition, Taint};
use pluglet_model::provider::{Health, NodeFacts};
use tokio::time::Instant;

use super::desired::Settings;

/// Least time between two changes of the Node that only changed facts cause. Each is up to three writes, and everybody who watches nodes
/// hears of them: a provider that changes a label all the time would keep the API server, the scheduler and every watcher busy.
pub(super) const FACTS_PACE: Duration = Duration::from_secs(10);

/// Lets one record of facts in at a time.
#[derive(Default)]
pub(super) struct Pace {
    in_force: Option<NodeFacts>,
    /// Not before this moment the record is exchanged. None: it never was.
    next: Option<Instant>,
    /// A newer record waits.
    waiting: bool,
}

impl Pace {
    /// Puts the record in force into `health`, which is that of `health` when its time has come. True when it was exchanged.
    pub(super) fn admit(&mut self, health: &mut Health, now: Instant) -> bool {
        self.waiting = false;
        let Some(info) = &mut health.info else { return false };
        match &self.in_force {
            Some(facts) if *facts == info.node => return false,
            Some(facts) if self.next.is_some_and(|next| now < next) => {
                info.node.clone_from(facts);
                self.waiting = true;
                return false;
            }
            // What a node begins with is no change: the first change after it is not delayed.
            before => self.next = before.is_some().then_some(now + FACTS_PACE),
        }
        self.in_force = Some(info.node.clone());
        true
    }

    /// When the record that waits may come into force.
    pub(super) fn due(&self) -> Option<Instant> {
        self.next.filter(|_| self.waiting)
    }
}

/// What this process added to the Node because the provider said so. A provider that rotates its names would otherwise make the Node
/// grow without end, until the API server takes no write of it any more and the node is lost. What was there before is not in here:
/// naming and dropping somebody's taint must not remove it.
#[derive(Debug, Default)]
pub(super) struct Added {
    labels: BTreeSet<String>,
    /// Key and effect.
    taints: BTreeSet<(String, String)>,
    conditions: BTreeSet<String>,
}

impl Added {
    /// The labels were written on a node that was like this.
    pub(super) fn labels_written(&mut self, facts: &NodeFacts, node: Option<&Node>) {
        let held = node.and_then(|node| node.metadata.labels.as_ref());
        let new = facts.labels.keys().filter(|key| !held.is_some_and(|held| held.contains_key(*key)));
        self.labels.extend(new.cloned());
    }

    /// Likewise. Taints that the operator chose replace the provider's, which are not written then.
    pub(super) fn taints_written(&mut self, settings: &Settings, facts: &NodeFacts, node: Option<&Node>) {
        if settings.taints.is_some() {
            return;
        }
        let new =
            facts.taints.iter().map(identity).filter(|taint| !held_taints(node).any(|held| identity(held) == *taint));
        self.taints.extend(new);
    }

    /// Likewise.
    pub(super) fn conditions_written(&mut self, facts: &NodeFacts, node: Option<&Node>) {
        let new = facts.conditions.iter().map(|condition| &condition.type_);
        let new = new.filter(|name| !held_conditions(node).any(|held| held.type_ == **name));
        self.conditions.extend(new.cloned());
    }

    /// Whether the provider is why the Node has, or had, this label.
    pub(super) fn label(&self, key: &str) -> bool {
        self.labels.contains(key)
    }

    /// Likewise.
    pub(super) fn taint(&self, taint: &Taint) -> bool {
        self.taints.contains(&identity(taint))
    }

    /// Likewise.
    pub(super) fn condition(&self, name: &str) -> bool {
        self.conditions.contains(name)
    }

    /// Forgets what is gone from the node. Called when a record comes into force: what an earlier one wrote has been watched by then.
    pub(super) fn forget_absent(&mut self, node: Option<&Node>) {
        let labels = node.and_then(|node| node.metadata.labels.as_ref());
        self.labels.retain(|key| labels.is_some_and(|labels| labels.contains_key(key)));
        self.taints.retain(|taint| held_taints(node).any(|held| identity(held) == *taint));
        self.conditions.retain(|name| held_conditions(node).any(|held| held.type_ == *name));
    }
}

fn identity(taint: &Taint) -> (String, String) {
    (taint.key.clone(), taint.effect.clone())
}

fn held_taints(node: Option<&Node>) -> impl Iterator<Item = &Taint> {
    node.and_then(|node| node.spec.as_ref()?.taints.as_ref()).into_iter().flatten()
}

fn held_conditions(node: Option<&Node>) -> impl Iterator<Item = &NodeCondition> {
    node.and_then(|node| node.status.as_ref()?.conditions.as_ref()).into_iter().flatten()
}
