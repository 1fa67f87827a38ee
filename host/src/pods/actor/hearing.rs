//! What an actor is told: the object, the provider's reports, the end of either.
//!
//! In: [`Inputs`]. Out: events for the machine. Invariant: what is older than what is known changes nothing.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use k8s_openapi::jiff::Timestamp;
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use super::writing::QUIET;
use super::{Actor, Inputs, Origin, resizing, resource_version};
use crate::pods::kept::Kept;
use crate::pods::state::{Event, Failure, Place, State, Wish};
use crate::status;

impl Actor {
    pub(super) fn begin(&mut self, origin: Origin) {
        let first = self.inputs.borrow_and_update().clone();
        self.seen_report = first.report.as_ref().map_or(0, |report| report.number);
        if origin == Origin::Adopted && self.pod.get().spec.is_some() {
            self.shared.provider.recall(&self.key, &self.pod.get());
        }
        self.look_at_wish(&first);
        self.set_deadline();
        match origin {
            Origin::Rejected(rejection) if self.machine.state == State::Pending => {
                self.shared.events.record(&self.key, true, &rejection.reason, &rejection.message);
                let message = rejection.status_message();
                self.step(Event::Rejected(Failure::of_pod(rejection.reason, message)));
            }
            Origin::New if self.machine.state == State::Pending => {
                self.write_after = Instant::now() + QUIET;
                self.material.hold_all(&self.shared, &self.pod.get(), &self.wake_up);
                self.look_at_refusal(&first);
                self.due();
            }
            Origin::Lost if self.machine.state == State::Running => {
                self.material.hold_all(&self.shared, &self.pod.get(), &self.wake_up);
                self.lost();
            }
            Origin::New | Origin::Rejected(_) | Origin::Lost | Origin::Adopted => {
                self.adopted();
                if let Some(report) = self.report.clone() {
                    self.reported(&report);
                }
            }
        }
    }

    /// Reads what changed in the inputs.
    pub(super) fn told(&mut self) {
        let inputs = self.inputs.borrow_and_update().clone();
        if self.is_old_news(&inputs) {
            return;
        }
        self.dirty = true;
        if !Arc::ptr_eq(&inputs.object, &self.pod) {
            self.object_changed(&inputs);
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
        self.look_at_refusal(&inputs);
        if !differs(&self.given, &self.pod) {
            if self.delivered == self.given.get().metadata.generation {
                self.delivered = self.pod.get().metadata.generation;
            }
            // One object is kept, not two that say the same.
            self.given = self.pod.clone();
        } else if self.machine.wish == Wish::Run && !self.refused_by_node {
            self.changed();
        }
    }

    /// The provider's list says each minute again how a pod is. Of one that goes on as it was nothing need be looked at.
    fn is_old_news(&mut self, inputs: &Inputs) -> bool {
        let Some(report) = inputs.report.as_ref().filter(|report| report.number != self.seen_report) else {
            return false;
        };
        let same = |known: &Arc<Kept<PodStatus>>| known.digest() == report.digest;
        let settled = self.call.is_none() && matches!(self.machine.state, State::Running | State::Ended);
        let lost = inputs.lost.map_or(0, |(number, _)| number);
        let old = self.report.as_ref().is_some_and(same)
            && settled
            && Arc::ptr_eq(&inputs.object, &self.pod)
            && lost == self.seen_lost
            && !inputs.vanished;
        if old {
            report.status.rest();
            self.seen_report = report.number;
            self.accepted = self.accepted.max(report.asked_at.unwrap_or_else(Instant::now));
        }
        old
    }

    /// The provider should hear of a change, once all that the pod names is known.
    fn changed(&mut self) {
        if self.machine.state == State::Running && !self.shared.features().update {
            self.tell_of_no_update();
        }
        let hears = self.machine.state == State::Pending
            || (self.machine.state == State::Running && self.shared.features().update);
        if self.call.is_none() && hears {
            self.material.hold_all(&self.shared, &self.pod.get(), &self.wake_up);
            if !self.material.is_loaded() {
                self.unresolved = true;
                return;
            }
        }
        self.step(Event::Changed);
    }

    /// Once for each change of the spec that goes beyond resources, which have an answer of their own.
    pub(super) fn tell_of_no_update(&mut self) {
        let (given, now) = (self.given.get(), self.pod.get());
        let generation = now.metadata.generation;
        if self.refused_change == generation || !resizing::is_more(&given, &now) {
            return;
        }
        self.refused_change = generation;
        let message =
            "the provider cannot change a pod that runs: its new spec takes effect when the pod is created again";
        self.shared.events.record(&self.key, true, "ProviderUnsupported", message);
    }

    /// Something that the pod names is another, or is there now.
    pub(super) fn named_object_changed(&mut self) {
        self.outdated = true;
        // The call that is under way may have looked before the change.
        self.woken_in_call = self.call.is_some();
        if !self.unresolved || self.call.is_some() || !self.material.is_loaded() {
            return;
        }
        self.unresolved = false;
        if self.machine.state == State::Running && self.machine.wish == Wish::Run && differs(&self.given, &self.pod) {
            self.step(Event::Changed);
        }
        // Also an update that could not be made before.
        self.due();
    }

    fn object_changed(&mut self, inputs: &Inputs) {
        let (before, object) = (self.pod.get(), inputs.object.get());
        // Labels and annotations can be files.
        self.outdated |= before.metadata.labels != object.metadata.labels
            || before.metadata.annotations != object.metadata.annotations;
        let given = self.machine.state != State::Pending;
        self.resize.spec_changed(&before, &object, given);
        self.pod = inputs.object.clone();
        let version = resource_version(&object);
        // A watch event may be older than the answer to our own write. One that is as new holds the same, and is shared with others.
        if version >= self.baseline_version {
            self.baseline_version = version;
            self.baseline = inputs.status.clone();
        }
        self.set_deadline();
    }

    fn look_at_wish(&mut self, inputs: &Inputs) {
        if inputs.vanished {
            if self.machine.wish != Wish::Vanished {
                self.step(Event::Wished(Wish::Vanished));
            }
            return;
        }
        let object = inputs.object.get();
        let metadata = &object.metadata;
        let Some(deadline) = metadata.deletion_timestamp.clone() else { return };
        let grace = metadata.deletion_grace_period_seconds.unwrap_or(0);
        if self.deletion.as_ref() != Some(&(deadline.clone(), grace)) {
            self.deletion = Some((deadline, grace));
            // After a restart part of the grace period is over.
            self.step(Event::Wished(Wish::Stop(self.grace_left())));
        }
    }

    /// A pod that this node cannot take now, and that must not be failed: the owner would make another at once.
    fn look_at_refusal(&mut self, inputs: &Inputs) {
        if self.machine.state != State::Pending || self.machine.wish != Wish::Run {
            return;
        }
        let held = inputs.refusal.as_ref().map(|refusal| Failure {
            reason: refusal.reason.clone(),
            message: format!("waiting for this node to have room: {}", refusal.message),
            place: Place::Pod,
        });
        match (held, self.refused_by_node) {
            (Some(failure), false) => {
                self.refused_by_node = true;
                self.shared.events.record(&self.key, true, &failure.reason, &failure.message);
                self.held = Some(failure);
            }
            (Some(failure), true) => self.held = Some(failure),
            (None, true) => {
                self.refused_by_node = false;
                self.held = None;
                self.due();
            }
            (None, false) => {}
        }
    }

    /// `activeDeadlineSeconds` counts from `status.startTime`, on whichever node of whichever process that was.
    fn set_deadline(&mut self) {
        let seconds = self.pod.get().spec.as_ref().and_then(|spec| spec.active_deadline_seconds);
        self.deadline = seconds.map(|seconds| {
            let now = Timestamp::now().as_second();
            let started = self.baseline.get().start_time.as_ref().map_or(now, |start| start.0.as_second());
            let left = u64::try_from(started.saturating_add(seconds) - now).unwrap_or(0);
            Box::pin(sleep_until(Instant::now() + std::time::Duration::from_secs(left)))
        });
    }

    pub(super) fn reported(&mut self, report: &Arc<Kept<PodStatus>>) {
        let ended = self.has_ended(&report.get());
        let settled = matches!(self.machine.state, State::Ended | State::Finishing | State::Removing);
        if settled && self.report.is_some() && !ended {
            debug!(pod = %self.key, "ignoring a report of life from a pod that has ended");
            return;
        }
        self.take(report.clone());
        self.step(Event::Reported(ended));
        if self.machine.state == State::Stopping && self.call.is_none() && self.told_to_stop != self.shared.restarts() {
            self.step(Event::Forgotten(self.grace_left()));
        }
    }

    /// What is left of a deletion's grace period, in seconds.
    fn grace_left(&self) -> u32 {
        let Some((deadline, grace)) = &self.deletion else { return 0 };
        let left = deadline.0.as_second() - Timestamp::now().as_second();
        u32::try_from((*grace).min(left).max(0)).unwrap_or(u32::MAX)
    }

    /// What the provider says of the pod from now on.
    pub(super) fn take(&mut self, report: Arc<Kept<PodStatus>>) {
        self.observe(&report.get());
        self.report = Some(report);
    }

    /// The provider does not know the pod. What it said before about a running one is void.
    pub(super) fn lost(&mut self) {
        // Also of one whose creation it has forgotten: it must not look alive while it is created again, or refused.
        if matches!(self.machine.state, State::Running | State::Pending | State::Creating) {
            self.forget_report();
        }
        self.step(Event::Lost);
    }

    pub(super) fn forget_report(&mut self) {
        self.report = None;
        self.probes = None;
    }

    /// By its own rules while it runs; once it is being stopped, whatever its restart policy.
    pub(super) fn has_ended(&self, report: &PodStatus) -> bool {
        if self.machine.state == State::Stopping {
            status::has_stopped(report)
        } else {
            status::has_ended(&self.pod.get(), report)
        }
    }
}

/// Whether the provider should be told: all but status and bookkeeping.
fn differs(given: &Arc<Kept<Pod>>, now: &Arc<Kept<Pod>>) -> bool {
    if Arc::ptr_eq(given, now) {
        return false;
    }
    let (given, now) = (given.get(), now.get());
    given.spec != now.spec
        || given.metadata.labels != now.metadata.labels
        || given.metadata.annotations != now.metadata.annotations
}
