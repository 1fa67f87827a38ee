//! The worker of one pod: looks, decides, acts, tells.
//!
//! In: the orders in its [`Handle`]. Out: calls of the runtime, statuses and events. Invariant: one thing at a time for one pod, as on a kubelet; what takes long (a
//! pull, a hook, a pause) is given up when the pod is to end, and what has begun in the engine is found again by the look that follows.

mod acting;
mod budget;
mod hooks;
mod images;
mod looking;
mod starting;
mod stopping;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use pluglet_model::PodPlan;
use pluglet_model::pod::Volume;
use pluglet_model::provider::ProviderEvent;
use pluglet_model::runtime::PodContents;
use pluglet_rules::lifecycle::Verdicts;
use pluglet_rules::runtime::status::Notes;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::Tools;
use super::files::Files;
use super::handle::{Handle, Shown};
use budget::Budget;
use images::Pulls;

/// Between two tries at something that failed; doubles.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// Drives one pod.
pub(super) struct Worker {
    handle: Arc<Handle>,
    tools: Arc<Tools>,
    plan: Option<Arc<PodPlan>>,
    /// The pod as the API server has it, where nobody has resolved it for this process: enough to stop it as it should be.
    recalled: Option<Arc<Pod>>,
    /// Of which plan the files are written.
    files: Option<(Arc<PodPlan>, Arc<Files>)>,
    contents: PodContents,
    /// It was listed at least once by this worker.
    known: bool,
    /// Sandboxes or containers of which something has become since they were looked at.
    changed: BTreeSet<String>,
    verdicts: Verdicts,
    /// How long containers that failed a probe have to stop.
    graces: BTreeMap<String, Duration>,
    notes: Notes,
    pulls: Pulls,
    /// In a row.
    failures: u32,
    /// Last told.
    told: Option<PodStatus>,
    /// The least number of the next run, where a rule has removed all runs before.
    counts: BTreeMap<String, u32>,
    /// What may still be told by events.
    budget: Budget,
    /// Containers that could not be started, and why.
    tried: BTreeMap<String, String>,
    /// Pauses that were told, by container and attempt.
    told_back_off: BTreeSet<(String, u32)>,
}

/// When to look again, if nothing happens before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Again {
    /// At once: something was done.
    Now,
    At(Instant),
    /// Not before something happens.
    Never,
}

impl Again {
    fn sooner(self, other: Self) -> Self {
        match (self, other) {
            (Self::Now, _) | (_, Self::Now) => Self::Now,
            (Self::At(one), Self::At(other)) => Self::At(one.min(other)),
            (Self::At(one), Self::Never) | (Self::Never, Self::At(one)) => Self::At(one),
            (Self::Never, Self::Never) => Self::Never,
        }
    }
}

impl Worker {
    pub(super) fn new(handle: Arc<Handle>, tools: Arc<Tools>) -> Self {
        let contents = handle.shown().contents;
        Self {
            handle,
            tools,
            plan: None,
            recalled: None,
            files: None,
            contents,
            known: false,
            changed: BTreeSet::new(),
            verdicts: Verdicts::default(),
            graces: BTreeMap::new(),
            notes: Notes::default(),
            pulls: Pulls::default(),
            failures: 0,
            told: None,
            counts: BTreeMap::new(),
            budget: Budget::full(Instant::now()),
            tried: BTreeMap::new(),
            told_back_off: BTreeSet::new(),
        }
    }

    /// Until the pod is gone, or this process ends.
    pub(super) async fn run(mut self, cancel: CancellationToken) {
        loop {
            let done = cancel.run_until_cancelled(self.turn()).await;
            if done.is_none_or(|gone| gone) {
                return;
            }
        }
    }

    /// One look, what follows from it, and the wait for the next. True: the pod is gone.
    async fn turn(&mut self) -> bool {
        self.take_orders();
        if let Some(by) = self.handle.delete_by() {
            Box::pin(self.remove(by)).await;
            self.send(ProviderEvent::Gone(self.handle.key.clone())).await;
            return true;
        }
        // Apart, so that a pod that rests is small.
        let again = match Box::pin(self.step()).await {
            Ok(again) => {
                self.failures = 0;
                again
            }
            Err(error) => {
                let pause = self.pause_after_failure();
                // A call that was given up may have taken effect.
                self.known = false;
                debug!(pod = %self.handle.key, uid = %self.handle.key.uid, %error, ?pause, "not in step with the engine");
                Again::At(Instant::now() + pause)
            }
        };
        self.tell().await;
        match again {
            Again::Now => {}
            Again::Never => self.handle.wake.notified().await,
            Again::At(at) => {
                tokio::select! {
                    // Cancel-safe: a permit that is not taken stays.
                    () = self.handle.wake.notified() => {}
                    // Cancel-safe: the moment stays the same.
                    () = sleep_until(at) => {}
                }
            }
        }
        false
    }

    fn take_orders(&mut self) {
        let orders = self.handle.take();
        if orders.recalled.is_some() {
            self.recalled = orders.recalled;
        }
        if let Some(plan) = orders.plan {
            self.plan = Some(plan);
        }
        if let Some(plan) = self.plan.as_ref().filter(|_| !orders.volumes.is_empty()) {
            self.plan = Some(Arc::new(with_volumes(plan, orders.volumes)));
        }
        if let Some(contents) = orders.contents {
            self.saw(contents);
        }
        self.known &= !orders.doubted;
        self.changed.extend(orders.changed);
        for (id, grace) in orders.failed {
            self.verdicts.liveness.insert(id.clone(), false);
            // One that has not started yet has failed at that.
            self.verdicts.startup.entry(id.clone()).or_insert(false);
            self.graces.insert(id, grace);
        }
        for id in orders.started {
            self.verdicts.startup.insert(id, true);
        }
    }

    /// What is known of the pod.
    fn pod(&self) -> Option<&Pod> {
        self.plan.as_ref().map(|plan| &*plan.pod).or(self.recalled.as_deref())
    }

    fn pause_after_failure(&mut self) -> Duration {
        let pause = FIRST_RETRY.saturating_mul(2_u32.saturating_pow(self.failures.min(16))).min(LONGEST_RETRY);
        self.failures = self.failures.saturating_add(1);
        pause
    }

    /// Tells how the pod is, if that is news.
    async fn tell(&mut self) {
        // An end is told once, with all that is to be said of it.
        self.hear_last_words().await;
        let status = self.status();
        self.handle.show(Shown { contents: self.contents.clone(), status: status.clone(), plan: self.plan.clone() });
        if self.told.as_ref() != Some(&status) {
            self.told = Some(status.clone());
            self.send(ProviderEvent::Status(self.handle.key.clone(), Box::new(status))).await;
        }
    }

    /// An event on a container, or on the pod.
    async fn record(&mut self, container: Option<&str>, warning: bool, reason: &str, message: impl Into<String>) {
        let message = message.into();
        if !self.budget.take(Instant::now()) {
            debug!(pod = %self.handle.key, uid = %self.handle.key.uid, reason, message, "too many events: not told");
            return;
        }
        let event = ProviderEvent::PodEvent {
            key: self.handle.key.clone(),
            container: container.map(str::to_owned),
            warning,
            reason: reason.to_owned(),
            message,
        };
        self.send(event).await;
    }

    async fn send(&self, event: ProviderEvent) {
        // Nobody listens any more once the process drains.
        self.tools.events.send(event).await.ok();
    }
}

/// The plan with these volumes in place of its own of the same names.
fn with_volumes(plan: &PodPlan, volumes: BTreeMap<String, Volume>) -> PodPlan {
    let mut plan = plan.clone();
    plan.volumes.retain(|volume| !volumes.contains_key(&volume.name));
    plan.volumes.extend(volumes.into_values());
    plan
}

#[cfg(test)]
mod tests;
