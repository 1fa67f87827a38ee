//! Keeps the Node object true.
//!
//! In: the object by watch, the provider's health, a slow heartbeat. Out: a create or patches. Invariant: runs until the drain; a failed
//! write is tried again, a forbidden one is told once.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use pluglet_model::provider::{Health, NodeFacts};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::desired::{self, Due, Settings};
use super::facts::{Added, Pace};
use super::port::{NodeError, NodeStore};

/// How often the status is written although nothing changed, as `nodeStatusReportFrequency` of a kubelet.
const HEARTBEAT: Duration = Duration::from_secs(300);
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_secs(10);

/// The object as the watch last showed it: None while it does not exist.
pub(crate) type NodeStream = BoxStream<'static, Option<Node>>;

/// What others learn of the object.
pub(crate) struct Told {
    /// Its UID, for as long as it exists.
    pub uid: watch::Sender<Option<String>>,
    /// The object as last seen.
    pub object: watch::Sender<Option<Arc<Node>>>,
}

/// Reconciles until `cancel`.
pub(crate) async fn run(
    settings: Settings,
    store: Arc<dyn NodeStore>,
    mut nodes: NodeStream,
    mut health: watch::Receiver<Health>,
    told: Told,
    cancel: CancellationToken,
) {
    let mut reconciler = Reconciler {
        settings,
        store,
        node: None,
        seen: false,
        forbidden: vec![],
        failures: 0,
        sent: None,
        away: None,
        pace: Pace::default(),
        added: Added::default(),
        failure: None,
        told,
    };
    let mut heartbeat = Instant::now() + HEARTBEAT;
    let mut retry: Option<Instant> = None;
    loop {
        let mut heard = false;
        tokio::select! {
            // Cancel-safe: a stream's next item is not taken before it is there.
            Some(node) = nodes.next() => reconciler.observe(node),
            // Cancel-safe: `changed` marks as seen only when it returns.
            Ok(()) = health.changed() => heard = true,
            // Cancel-safe: deadlines are kept outside.
            () = sleep_until(heartbeat) => {}
            () = sleep_until(retry.unwrap_or(heartbeat)), if retry.is_some() => {}
            () = sleep_until(reconciler.lost_at().unwrap_or(heartbeat)), if reconciler.lost_at().is_some() => {}
            () = sleep_until(reconciler.pace.due().unwrap_or(heartbeat)), if reconciler.pace.due().is_some() => {}
            // Cancel-safe: a token is not consumed.
            () = cancel.cancelled() => return,
        }
        if !reconciler.seen {
            continue;
        }
        let due = Instant::now() >= heartbeat;
        if due {
            heartbeat = Instant::now() + HEARTBEAT;
        }
        let mut current = health.borrow_and_update().clone();
        let news = reconciler.admit(&mut current);
        // Or a provider whose facts the API server refuses would have each refused write tried again as fast as it changes them.
        if heard && !news && !due && retry.is_some_and(|at| Instant::now() < at) {
            continue;
        }
        retry = match reconciler.reconcile(&current, due).await {
            Ok(()) => {
                reconciler.failures = 0;
                None
            }
            Err(error) => Some(Instant::now() + reconciler.failed(&error)),
        };
    }
}

struct Reconciler {
    settings: Settings,
    store: Arc<dyn NodeStore>,
    node: Option<Node>,
    /// The watch has told at least once whether the node exists.
    seen: bool,
    /// What this identity may not change (NodeRestriction keeps taints from nodes): said once, then left alone.
    forbidden: Vec<&'static str>,
    failures: u32,
    /// The facts of the last status that was written.
    sent: Option<NodeFacts>,
    /// Since when the provider has been away, and whether that was told as too long.
    away: Option<(Instant, bool)>,
    pace: Pace,
    added: Added,
    /// What the provider's health last was.
    failure: Option<String>,
    told: Told,
}

impl Reconciler {
    /// When the provider will have been away for too long.
    fn lost_at(&self) -> Option<Instant> {
        self.away.filter(|(_, told)| !told).map(|(since, _)| since + self.settings.provider_tolerance)
    }

    /// Replaces facts that come too soon by those in force. True when something that counts is new.
    fn admit(&mut self, health: &mut Health) -> bool {
        let exchanged = self.pace.admit(health, Instant::now());
        if exchanged {
            self.added.forget_absent(self.node.as_ref());
        }
        let failed = self.failure != health.failure;
        self.failure.clone_from(&health.failure);
        exchanged || failed
    }

    /// Whether it has.
    fn is_lost(&mut self, health: &Health) -> bool {
        if health.failure.is_none() && health.trouble.is_none() {
            self.away = None;
            return false;
        }
        let (since, told) = self.away.get_or_insert((Instant::now(), false));
        let lost = since.elapsed() >= self.settings.provider_tolerance;
        *told = lost;
        lost
    }

    fn observe(&mut self, node: Option<Node>) {
        if self.node.is_some() && node.is_none() {
            warn!(node = self.settings.name, "somebody deleted the node: registering it again");
        }
        if let Some(node) = &node {
            self.told.object.send_replace(Some(Arc::new(node.clone())));
        }
        self.told.uid.send_if_modified(|uid| {
            let now = node.as_ref().and_then(|node| node.metadata.uid.clone());
            std::mem::replace(uid, now.clone()) != now
        });
        self.seen = true;
        self.node = node;
    }

    async fn reconcile(&mut self, health: &Health, heartbeat: bool) -> Result<(), NodeError> {
        let now = Time(Timestamp::from_second(Timestamp::now().as_second()).unwrap_or(Timestamp::UNIX_EPOCH));
        let provider_lost = self.is_lost(health);
        let Some(node) = &self.node else {
            return self.register(health, &now).await;
        };
        let facts = health.info.as_ref().map(|info| info.node.clone());
        let due = Due { heartbeat, resources_sent: facts.is_some() && self.sent == facts, provider_lost };
        if let Some(patch) = desired::status_patch(&self.settings, health, node, &now, due, &self.added) {
            self.store.patch_status(patch).await?;
            if let Some(facts) = &facts {
                self.added.conditions_written(facts, Some(node));
            }
            self.sent.clone_from(&facts);
        }
        let labels = desired::label_patch(&self.settings, health, node, &self.added);
        let taints = desired::taint_patch(&self.settings, health, node, &self.added);
        for (what, patch) in [("labels", labels), ("taints", taints)] {
            let Some(patch) = patch.filter(|_| !self.forbidden.contains(&what)) else { continue };
            match self.store.patch(patch).await {
                Ok(()) => {
                    info!(node = self.settings.name, "{what} of this node were missing or changed: put right");
                    match &facts {
                        Some(facts) if what == "labels" => self.added.labels_written(facts, Some(node)),
                        Some(facts) => self.added.taints_written(&self.settings, facts, Some(node)),
                        None => {}
                    }
                }
                Err(NodeError::Forbidden(message)) => {
                    self.forbidden.push(what);
                    let node = &self.settings.name;
                    warn!(node, message, "{what} of this node differ, and only an administrator may change them");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn register(&mut self, health: &Health, now: &Time) -> Result<(), NodeError> {
        // What a node registers with, some identities may never add later.
        let Some(info) = &health.info else {
            warn!(node = self.settings.name, "not registered yet: the provider has not started");
            return Ok(());
        };
        let uid = self.store.create(&desired::object(&self.settings, health, now)).await?;
        self.added.labels_written(&info.node, None);
        self.added.taints_written(&self.settings, &info.node, None);
        self.added.conditions_written(&info.node, None);
        // The watch will tell too, but an exit before that must know what to remove.
        self.told.uid.send_replace(uid);
        info!(node = self.settings.name, "registered");
        Ok(())
    }

    fn failed(&mut self, error: &NodeError) -> Duration {
        let pause = FIRST_RETRY.saturating_mul(2_u32.saturating_pow(self.failures.min(8))).min(LONGEST_RETRY);
        self.failures += 1;
        warn!(node = self.settings.name, %error, ?pause, "the node could not be written, trying again");
        pause
    }
}

#[cfg(test)]
mod tests;
