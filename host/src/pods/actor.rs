//! One pod: runs what [`state`](super::state) decides and keeps the API server's status equal to the truth.
//!
//! In: [`Inputs`] (the object, the provider's reports). Out: provider calls, status patches, the final delete, events. Invariant: at
//! most one provider call and at most one API write are under way for a pod; every write carries its UID.
//!
//! Two lanes run side by side so that a slow backend never holds up a status, nor a slow API server a deletion.

mod lanes;
mod writing;

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use pluglet_model::PodKey;
use pluglet_model::provider::{Features, Provider};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::port::{EventSink, PodStore, WriteError};
use super::state::{Action, Event, Failure, Machine, Policy, State, Wish};
use crate::{resolve, status};
use lanes::Answer;
use writing::{Budget, QUIET};

/// What all actors share.
pub(crate) struct Shared {
    pub provider: Arc<dyn Provider>,
    pub store: Arc<dyn PodStore>,
    pub events: Arc<dyn EventSink>,
    /// The node's address, for `status.hostIP`.
    pub host_ip: String,
}

impl Shared {
    fn features(&self) -> Features {
        self.provider.health().borrow().info.as_ref().map(|info| info.features).unwrap_or_default()
    }
}

/// What an actor is told. Only the newest value counts: nothing queues up for a busy actor.
#[derive(Clone, Debug)]
pub(crate) struct Inputs {
    /// The object as last seen.
    pub object: Arc<Pod>,
    /// The object does not exist any more.
    pub vanished: bool,
    /// The provider's last status.
    pub report: Option<Report>,
    /// Counts how often the provider said that it does not know the pod; the moment is when it was asked.
    pub lost: Option<(u64, Instant)>,
}

/// A status that the provider told.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    /// Rises with each report to any actor.
    pub number: u64,
    pub status: Arc<PodStatus>,
    /// When the provider was asked, for one that it did not tell by itself.
    pub asked_at: Option<Instant>,
}

/// How an actor's life begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The provider has never heard of the pod.
    New,
    /// The provider has it, or it ended before.
    Adopted,
    /// The API server says that it started, the provider does not know it.
    Lost,
}

/// The driver of one pod.
pub(crate) struct Actor {
    key: PodKey,
    shared: Arc<Shared>,
    inputs: watch::Receiver<Inputs>,
    machine: Machine,
    pod: Arc<Pod>,
    /// What the provider was last given.
    given: Arc<Pod>,
    /// `deletionTimestamp` and grace, as last looked at.
    deletion: Option<(Time, i64)>,
    report: Option<Arc<PodStatus>>,
    seen_report: u64,
    seen_lost: u64,
    /// When the provider last said that it has the pod: an older list proves nothing.
    accepted: Instant,
    held: Option<Failure>,
    failed: bool,
    /// The status that the API server holds, to our knowledge, and since which version of the object.
    baseline: PodStatus,
    baseline_version: u64,
    /// What the API server refused: not sent again until it differs.
    refused: Option<PodStatus>,
    call: Option<BoxFuture<'static, Answer>>,
    /// Waits for the call that is under way.
    queued: Option<Action>,
    write: Option<BoxFuture<'static, Result<u64, WriteError>>>,
    /// What was last sent.
    written: Option<PodStatus>,
    remove: Option<BoxFuture<'static, Result<(), WriteError>>>,
    write_failures: u32,
    remove_failures: u32,
    /// Not before this moment a status is written.
    write_after: Instant,
    /// How many may be written at all.
    budget: Budget,
    /// Something happened since the status was last compared.
    dirty: bool,
    /// The process is about to end: nothing new is begun.
    draining: bool,
    wake: Option<Pin<Box<Sleep>>>,
    status_timer: Option<Pin<Box<Sleep>>>,
}

impl Actor {
    /// An actor for the object in `inputs`.
    pub(crate) fn new(key: PodKey, shared: Arc<Shared>, inputs: watch::Receiver<Inputs>, origin: Origin) -> Self {
        let first = inputs.borrow().clone();
        let features = shared.features();
        let policy =
            Policy { may_restart: may_restart(&first.object), watches: features.watch, updates: features.update };
        let baseline = first.object.status.clone().unwrap_or_default();
        let ended = baseline.phase.as_deref().is_some_and(status::Phase::is_terminal_name);
        let machine = match origin {
            Origin::New if !ended => Machine::new(policy),
            _ => Machine::adopted(policy, ended),
        };
        let report = first.report.as_ref().map(|report| report.status.clone());
        Self {
            key,
            shared,
            machine,
            pod: first.object.clone(),
            given: first.object.clone(),
            deletion: None,
            report,
            seen_report: 0,
            seen_lost: 0,
            accepted: Instant::now(),
            held: None,
            failed: false,
            baseline_version: resource_version(&first.object),
            baseline,
            refused: None,
            call: None,
            queued: None,
            write: None,
            written: None,
            remove: None,
            write_failures: 0,
            write_after: Instant::now(),
            budget: Budget::full(Instant::now()),
            dirty: true,
            draining: false,
            remove_failures: 0,
            wake: None,
            status_timer: None,
            inputs,
        }
    }

    /// Drives the pod until it is gone, or until `cancel`: then what is under way is finished and nothing new begun.
    pub(crate) async fn run(mut self, origin: Origin, cancel: CancellationToken) {
        self.begin(origin);
        while self.machine.state != State::Gone || self.call.is_some() {
            if cancel.is_cancelled() && self.call.is_none() && self.write.is_none() && self.remove.is_none() {
                return;
            }
            self.draining = cancel.is_cancelled();
            self.sync_status();
            tokio::select! {
                // Cancel-safe: the future is polled in place and stays when another arm wins.
                answer = lane(&mut self.call) => self.answered(answer),
                // Cancel-safe, likewise.
                outcome = lane(&mut self.write) => self.write_ended(outcome),
                // Cancel-safe, likewise.
                outcome = lane(&mut self.remove) => self.remove_ended(outcome),
                // Cancel-safe: `changed` marks a value as seen only when it returns.
                changed = self.inputs.changed(), if !cancel.is_cancelled() => match changed {
                    Ok(()) => self.told(),
                    Err(_) => return,
                },
                // Cancel-safe: the timers are kept outside of the select.
                () = timer(&mut self.wake), if !cancel.is_cancelled() => {
                    self.wake = None;
                    self.step(Event::Due);
                }
                () = timer(&mut self.status_timer) => {
                    self.status_timer = None;
                    self.dirty = true;
                }
                // Cancel-safe: a token is not consumed. Only wakes the loop; the head of it looks.
                () = cancel.cancelled(), if !cancel.is_cancelled() => {}
            }
        }
        debug!(pod = %self.key, uid = %self.key.uid, "gone");
    }

    fn begin(&mut self, origin: Origin) {
        let first = self.inputs.borrow_and_update().clone();
        self.seen_report = first.report.as_ref().map_or(0, |report| report.number);
        self.look_at_wish(&first);
        match origin {
            Origin::New if self.machine.state == State::Pending => {
                if let Some(message) = resolve::unresolved(&self.pod) {
                    self.shared.events.record(&self.key, true, "ReferencesNotResolved", &message);
                }
                self.step(Event::Due);
            }
            Origin::Lost => self.lost(),
            Origin::New | Origin::Adopted => {
                if let Some(report) = self.report.clone() {
                    self.reported(&report);
                }
            }
        }
    }

    /// Reads what changed in the inputs.
    fn told(&mut self) {
        let inputs = self.inputs.borrow_and_update().clone();
        self.dirty = true;
        if !Arc::ptr_eq(&inputs.object, &self.pod) {
            self.pod = inputs.object.clone();
            let version = resource_version(&self.pod);
            // A watch event may be older than the answer to our own write.
            if version > self.baseline_version {
                self.baseline_version = version;
                self.baseline = self.pod.status.clone().unwrap_or_default();
            }
        }
        if let Some(report) = &inputs.report
            && report.number != self.seen_report
        {
            self.seen_report = report.number;
            // A list that was asked for before the provider last told us something is older than that.
            if report.asked_at.is_none_or(|asked_at| asked_at >= self.accepted) {
                self.accepted = report.asked_at.unwrap_or_else(Instant::now);
                self.reported(&report.status);
            }
        }
        if let Some((number, asked_at)) = inputs.lost
            && number != self.seen_lost
        {
            self.seen_lost = number;
            // A call under way says more about the pod than an older list; but one that stops it cannot make it come back.
            let settled = self.call.is_none() || self.machine.state == State::Stopping;
            if asked_at >= self.accepted && settled {
                self.lost();
            }
        }
        self.look_at_wish(&inputs);
        if self.machine.wish == Wish::Run && differs(&self.given, &self.pod) {
            self.step(Event::Changed);
        }
    }

    fn look_at_wish(&mut self, inputs: &Inputs) {
        if inputs.vanished {
            if self.machine.wish != Wish::Vanished {
                self.step(Event::Wished(Wish::Vanished));
            }
            return;
        }
        let metadata = &inputs.object.metadata;
        let Some(deadline) = metadata.deletion_timestamp.clone() else { return };
        let grace = metadata.deletion_grace_period_seconds.unwrap_or(0);
        if self.deletion.as_ref() != Some(&(deadline.clone(), grace)) {
            // After a restart part of the grace period is over.
            let left = deadline.0.as_second() - Timestamp::now().as_second();
            let seconds = u32::try_from(grace.min(left).max(0)).unwrap_or(u32::MAX);
            self.deletion = Some((deadline, grace));
            self.step(Event::Wished(Wish::Stop(seconds)));
        }
    }

    fn reported(&mut self, report: &Arc<PodStatus>) {
        let ended = self.has_ended(report);
        let settled = matches!(self.machine.state, State::Ended | State::Finishing | State::Removing);
        if settled && self.report.is_some() && !ended {
            debug!(pod = %self.key, "ignoring a report of life from a pod that has ended");
            return;
        }
        self.report = Some(report.clone());
        self.step(Event::Reported(ended));
    }

    /// The provider does not know the pod. What it said before about a running one is void.
    fn lost(&mut self) {
        // Also of one whose creation it has forgotten: it must not look alive while it is created again, or refused.
        if matches!(self.machine.state, State::Running | State::Pending | State::Creating) {
            self.report = None;
        }
        self.step(Event::Lost);
    }

    /// By its own rules while it runs; once it is being stopped, whatever its restart policy.
    fn has_ended(&self, report: &PodStatus) -> bool {
        if self.machine.state == State::Stopping {
            status::has_stopped(report)
        } else {
            status::has_ended(&self.pod, report)
        }
    }

    /// Gives an event to the machine and runs what it answers.
    fn step(&mut self, event: Event) {
        let before = self.machine.state;
        let (machine, actions) = self.machine.clone().next(event);
        self.machine = machine;
        self.dirty = true;
        if before != self.machine.state {
            debug!(pod = %self.key, uid = %self.key.uid, from = ?before, to = ?self.machine.state, "state");
            // What was to be asked of the provider is answered.
            if self.machine.state == State::Finishing {
                self.wake = None;
            }
            if matches!(self.machine.state, State::Pending | State::Creating | State::Stopping) {
                self.write_after = Instant::now() + QUIET;
            }
        }
        for action in actions {
            self.act(action);
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Create | Action::Update | Action::Delete(_) | Action::Poll => self.call_provider(action),
            Action::Wake(pause) => self.wake = Some(Box::pin(sleep_until(Instant::now() + pause))),
            Action::Hold(failure) => self.held = Some(failure),
            Action::Clear => self.held = None,
            Action::Fail(failure) => {
                self.held = Some(failure);
                self.failed = true;
            }
            // The provider made up this name, or nobody has the pod any more: an event about it would be a lie about somebody else's.
            Action::Record(failure) if self.pod.spec.is_none() => {
                debug!(uid = %self.key.uid, reason = failure.reason, "{}", failure.message);
            }
            Action::Record(failure) => {
                warn!(pod = %self.key, uid = %self.key.uid, reason = failure.reason, "{}", failure.message);
                self.shared.events.record(&self.key, true, failure.reason, &failure.message);
            }
            Action::Remove => {
                let (store, key) = (self.shared.store.clone(), self.key.clone());
                self.remove = Some(async move { store.delete(&key).await }.boxed());
            }
        }
    }

    fn call_provider(&mut self, action: Action) {
        if self.draining {
            return;
        }
        if self.call.is_some() {
            // A poll can wait for the next timer; a delete must not be forgotten.
            if action != Action::Poll {
                self.queued = Some(action);
            }
            return;
        }
        if matches!(action, Action::Create | Action::Update) {
            self.given = self.pod.clone();
        }
        self.call = Some(lanes::call(&self.shared.provider, &self.key, &self.pod, &action, self.seen_report));
    }

    fn answered(&mut self, answer: Answer) {
        self.call = None;
        match answer {
            Answer::Created(outcome, asked_with) => {
                let outcome = outcome.map(|status| self.accept(status, asked_with));
                self.step(Event::Created(outcome));
                self.settle(asked_with);
            }
            Answer::Updated(outcome, asked_with) => {
                let outcome = outcome.map(|status| self.accept(status, asked_with));
                self.step(Event::Updated(outcome));
                self.settle(asked_with);
            }
            Answer::Deleted(outcome) => self.step(Event::Deleted(outcome)),
            Answer::Polled(Ok(report)) => self.reported(&Arc::new(report)),
            Answer::Polled(Err(pluglet_model::provider::Error::NotFound)) => self.lost(),
            Answer::Polled(Err(error)) => debug!(pod = %self.key, %error, "status call failed; the timer asks again"),
        }
        if let Some(action) = self.queued.take() {
            self.act(action);
        }
    }

    /// Takes the status that a call answered, unless an event arrived during the call: which of the two is newer nobody can tell, and
    /// [`Self::settle`] asks.
    fn accept(&mut self, answered: PodStatus, asked_with: u64) -> bool {
        self.accepted = Instant::now();
        let told = self.report.clone().filter(|_| self.seen_report != asked_with);
        let report = told.unwrap_or_else(|| Arc::new(answered));
        let ended = self.has_ended(&report);
        self.report = Some(report);
        ended
    }

    /// After a call during which the provider also told something: asks how it is.
    fn settle(&mut self, asked_with: u64) {
        if self.seen_report != asked_with && self.machine.state == State::Running {
            self.act(Action::Poll);
        }
    }

    fn remove_ended(&mut self, outcome: Result<(), WriteError>) {
        self.remove = None;
        match outcome {
            Ok(()) | Err(WriteError::Gone) => self.step(Event::Removed),
            Err(error) => {
                let pause = writing::pause(self.remove_failures, &error);
                self.remove_failures += 1;
                info!(pod = %self.key, uid = %self.key.uid, %error, ?pause, "object not deleted, trying again");
                self.act(Action::Wake(pause));
            }
        }
    }
}

/// The result of a lane, or for ever nothing while it is empty.
async fn lane<T>(lane: &mut Option<BoxFuture<'static, T>>) -> T {
    match lane {
        Some(future) => future.await,
        None => pending().await,
    }
}

async fn timer(timer: &mut Option<Pin<Box<Sleep>>>) {
    match timer {
        Some(sleep) => sleep.as_mut().await,
        None => pending().await,
    }
}

fn may_restart(pod: &Pod) -> bool {
    pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref()) != Some("Never")
}

fn resource_version(pod: &Pod) -> u64 {
    pod.metadata.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0)
}

/// Whether the provider should be told: all but status and bookkeeping.
fn differs(given: &Arc<Pod>, now: &Arc<Pod>) -> bool {
    !Arc::ptr_eq(given, now)
        && (given.spec != now.spec
            || given.metadata.labels != now.metadata.labels
            || given.metadata.annotations != now.metadata.annotations)
}
