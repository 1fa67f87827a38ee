//! The API lane of an actor: keeps the status that the API server holds equal to the truth.
//!
//! In: the actor's view of the pod. Out: status patches, one at a time. Invariant: equal statuses are never written, and neither is one
//! that is about to be overtaken.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use futures::FutureExt;
use k8s_openapi::api::core::v1::PodStatus;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;
use tokio::time::{Instant, sleep_until};
use tracing::{info, trace, warn};

use super::Actor;
use crate::pods::kept::Kept;
use crate::pods::port::WriteError;
use crate::pods::state::{Event, Failure, Place, State, Wish, exponential};
use crate::status::{self, Facts, Held, patch};

/// A create or a stop that is through sooner costs one status write instead of two: the API server need not hear of what is
/// about to be over.
pub(super) const QUIET: Duration = Duration::from_secs(1);
/// Pause after a status write that failed; doubles.
const FIRST_WRITE_RETRY: Duration = Duration::from_millis(500);
const LONGEST_WRITE_RETRY: Duration = Duration::from_secs(30);
/// Least time between two writes of one and the same status. Without it two writers that disagree about a field, or an API server
/// that never keeps one as sent, would make a loop as fast as the network.
const REASSERT: Duration = Duration::from_secs(10);

/// Writes that a pod may have in a row, and how often one more after that. A provider that reports another status all the time would
/// have each of them written as fast as the API server answers; no pod of an honest one changes so often.
const WRITE_BURST: u32 = 10;
const WRITE_PACE: Duration = Duration::from_secs(1);

/// How long to wait after so many failed writes in a row.
pub(super) fn pause(failures: u32, error: &WriteError) -> Duration {
    let asked = if let WriteError::Later { after, .. } = error { after.unwrap_or_default() } else { Duration::ZERO };
    exponential(FIRST_WRITE_RETRY, LONGEST_WRITE_RETRY, failures).max(asked)
}

/// The status writes that a pod has left: a token bucket, told by the moment when it will be full.
pub(super) struct Budget {
    full_at: Instant,
}

impl Budget {
    pub(super) fn full(now: Instant) -> Self {
        Self { full_at: now }
    }

    /// Takes one write, or says when there will be one.
    fn take(&mut self, now: Instant) -> Result<(), Instant> {
        let spent = self.full_at.max(now);
        let latest = now + WRITE_PACE * (WRITE_BURST - 1);
        if spent > latest {
            return Err(now + (spent - latest));
        }
        self.full_at = spent + WRITE_PACE;
        Ok(())
    }
}

/// A write that has ended.
pub(super) struct Write {
    outcome: Result<u64, WriteError>,
    status: Box<PodStatus>,
}

/// A patch in few bytes. Equal ones are the same write.
fn digest(patch: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    patch.to_string().hash(&mut hasher);
    hasher.finish()
}

impl Actor {
    /// Starts a status write when the API server holds something else than it shall.
    pub(super) fn sync_status(&mut self) {
        // An adopted pod whose status the provider could not tell keeps the one it has, and so does one that ended before this process began.
        let untold = self.report.is_none() && !self.failed;
        let unknown = untold && matches!(self.machine.state, State::Running | State::Ended);
        let settled = unknown || matches!(self.machine.state, State::Gone | State::Removing);
        if self.write.is_some() || settled || self.machine.wish == Wish::Vanished || self.draining || !self.dirty {
            return;
        }
        self.dirty = false;
        let wanted = self.wanted();
        let Some(patch) = patch::between(&self.key.uid, &self.baseline.get(), &wanted) else {
            if self.machine.state == State::Finishing {
                self.step(Event::Written);
            }
            return;
        };
        if self.refused.as_deref() == Some(&wanted) {
            return;
        }
        let digest = digest(&patch);
        let passing = match self.machine.state {
            State::Pending | State::Creating => self.held.is_none(),
            State::Stopping => true,
            _ => false,
        };
        let again = self.written == Some(digest);
        if (passing || again || self.write_failures > 0) && Instant::now() < self.write_after {
            self.look_again(self.write_after);
            return;
        }
        if let Err(later) = self.afford(&wanted) {
            // A deletion waits for nobody: the end that was last sent is the one that counts.
            if self.machine.state == State::Finishing {
                self.step(Event::Written);
            } else {
                self.look_again(later);
            }
            return;
        }
        trace!(pod = %self.key, uid = %self.key.uid, %patch, "writing the status");
        let (store, key) = (self.shared.store.clone(), self.key.clone());
        self.written = Some(digest);
        self.told_end |= has_ended(&wanted);
        let wanted = Box::new(wanted);
        self.write =
            Some(async move { Write { outcome: store.patch_status(&key, patch).await, status: wanted } }.boxed());
    }

    /// Compares the status once more at this moment, or earlier.
    fn look_again(&mut self, at: Instant) {
        if self.status_timer.as_ref().is_none_or(|timer| timer.deadline() > at) {
            self.status_timer = Some(Box::pin(sleep_until(at)));
        }
    }

    /// Pays for a write, or says when it can be paid for. The end of a pod is never late, but only one end is free: a provider can
    /// tell as many as it likes. A write that failed waits for its own pause.
    fn afford(&mut self, wanted: &PodStatus) -> Result<(), Instant> {
        let told = self.told_end || has_ended(&self.baseline.get());
        let free = self.write_failures > 0 || (has_ended(wanted) && !told);
        self.budget.take(Instant::now()).or_else(|later| if free { Ok(()) } else { Err(later) })
    }

    fn wanted(&self) -> PodStatus {
        let now = Time(Timestamp::from_second(Timestamp::now().as_second()).unwrap_or(Timestamp::UNIX_EPOCH));
        status::translate(&Facts {
            pod: &self.pod.get(),
            generation: self.observed_generation(),
            baseline: &self.baseline.get(),
            report: self.report.as_ref().map(|report| report.get()).as_deref(),
            held: self.held.as_ref().map(held),
            failed: self.failed,
            stopped: self.machine.state == State::Finishing,
            allocated: self.resize.allocated(),
            resize: self.resize.pending(),
            probed: &|container| self.probed(container),
            host_ip: &self.shared.node.address.to_string(),
            now: &now,
        })
    }

    /// A change that the provider still has to take is not observed yet: a later process sees by that what it owes.
    fn observed_generation(&self) -> Option<i64> {
        let takes_changes = matches!(self.machine.state, State::Running | State::Updating)
            && self.machine.wish == Wish::Run
            && self.shared.features().update;
        if takes_changes { self.delivered } else { self.pod.get().metadata.generation }
    }

    pub(super) fn write_ended(&mut self, write: Write) {
        self.write = None;
        self.dirty = true;
        match write.outcome {
            Ok(version) => {
                self.write_failures = 0;
                self.write_after = Instant::now() + REASSERT;
                // A version that the watch has passed already holds our write and whatever came after it.
                if version >= self.baseline_version {
                    self.baseline_version = version;
                    let mut held = PodStatus::clone(&self.baseline.get());
                    patch::apply(&mut held, &write.status);
                    self.baseline = Kept::new(held);
                }
            }
            // Its end arrives by the watch.
            Err(WriteError::Gone) => self.refused = Some(write.status),
            Err(WriteError::Refused(message)) => {
                warn!(pod = %self.key, uid = %self.key.uid, %message, "the API server refused the status");
                self.shared.events.record(&self.key, true, "StatusRefused", &message);
                self.refused = Some(write.status);
                self.finish_without_report();
            }
            Err(error @ WriteError::Later { .. }) => {
                let pause = pause(self.write_failures, &error);
                self.write_failures += 1;
                self.write_after = Instant::now() + pause;
                info!(pod = %self.key, uid = %self.key.uid, %error, ?pause, "status not written, trying again");
            }
        }
    }

    /// What a provider reported can be something that the API server will never take. A deletion must not wait for that: the pod ends
    /// with what the host knows by itself, and without a status if not even that is taken.
    fn finish_without_report(&mut self) {
        if self.machine.state != State::Finishing {
            return;
        }
        if self.report.take().is_some() {
            self.refused = None;
        } else {
            self.step(Event::Written);
        }
    }
}

fn held(failure: &Failure) -> Held<'_> {
    let container = if let Place::Container(container) = &failure.place { Some(container.as_str()) } else { None };
    let creating = failure.place == Place::Volumes;
    Held { reason: &failure.reason, message: &failure.message, container, creating }
}

fn has_ended(status: &PodStatus) -> bool {
    status.phase.as_deref().is_some_and(status::Phase::is_terminal_name)
}
