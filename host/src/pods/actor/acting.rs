//! Runs the machine: its actions, the provider's calls, their answers.
//!
//! In: [`Event`]s, [`Answer`]s. Out: calls, events for users. Invariant: a call that waits for another is never forgotten for a less urgent
//! one.

use futures::FutureExt;
use k8s_openapi::api::core::v1::PodStatus;
use pluglet_model::provider::{Error, Retry};
use tokio::time::{Instant, sleep_until};
use tracing::{debug, info, warn};

use super::Actor;
use super::lanes::{Answer, Call, Lane, Trouble};
use super::material::{Material, Unresolved};
use super::writing::{self, QUIET};
use crate::pods::kept::Kept;
use crate::pods::port::WriteError;
use crate::pods::state::{Action, Event, Failure, Place, State};
use crate::status::field_path;

impl Actor {
    /// Gives an event to the machine and runs what it answers.
    pub(super) fn step(&mut self, event: Event) {
        let before = self.machine.state;
        let (machine, actions) = self.machine.clone().next(event);
        self.machine = machine;
        self.dirty = true;
        if !matches!(self.machine.state, State::Pending | State::Creating | State::Running | State::Updating) {
            self.unresolved = false;
        }
        if before != self.machine.state {
            debug!(pod = %self.key, uid = %self.key.uid, from = ?before, to = ?self.machine.state, "state");
            // What was to be asked of the provider is answered.
            if self.machine.state == State::Finishing {
                self.wake = None;
            }
            if matches!(self.machine.state, State::Pending | State::Creating | State::Stopping) {
                self.write_after = Instant::now() + QUIET;
            }
            self.let_go();
        }
        for action in actions {
            self.act(action);
        }
    }

    /// Gives back what the state does not need: a pod that has ended is not probed, and nothing is watched for it.
    fn let_go(&mut self) {
        match (&self.machine.state, &mut self.probes) {
            (State::Running | State::Updating, _) => {}
            // Readiness is looked at until the end.
            (State::Stopping, Some(probes)) => {
                probes.terminating();
                self.restarts.forgive_all();
            }
            _ => {
                self.probes = None;
                self.restarts.forgive_all();
            }
        }
        if !matches!(self.machine.state, State::Pending | State::Creating | State::Running | State::Updating) {
            (self.refresh_timer, self.deadline) = (None, None);
            *self.material = Material::default();
        }
    }

    /// The time has come, unless the pod still waits for what it names or for its node.
    pub(super) fn due(&mut self) {
        if self.machine.state == State::Pending {
            if self.refused_by_node {
                return;
            }
            if !self.material.is_loaded() {
                self.unresolved = true;
                return;
            }
        }
        self.step(Event::Due);
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Create => self.call_provider(Call::Create),
            Action::Update => self.call_provider(Call::Update),
            Action::Delete(grace) => self.call_provider(Call::Delete(grace)),
            Action::Poll => self.call_provider(Call::Poll),
            Action::Wake(pause) => self.wake = Some(Box::pin(sleep_until(Instant::now() + pause))),
            Action::Hold(failure) => self.held = Some(failure),
            Action::Clear => self.held = None,
            Action::Fail(failure) => {
                self.held = Some(failure);
                self.failed = true;
            }
            // The provider made up this name, or nobody has the pod any more: an event about it would be a lie about somebody else's.
            Action::Record(failure) if self.pod.get().spec.is_none() => {
                debug!(uid = %self.key.uid, reason = %failure.reason, "{}", failure.message);
            }
            Action::Record(failure) => self.record(&failure),
            Action::Remove => {
                let (store, key) = (self.shared.store.clone(), self.key.clone());
                self.remove = Some(async move { store.delete(&key).await }.boxed());
            }
        }
    }

    /// Tells the pod's owner. A container that cannot be made is the kubelet's event `Failed`.
    fn record(&self, failure: &Failure) {
        warn!(pod = %self.key, uid = %self.key.uid, reason = %failure.reason, "{}", failure.message);
        match &failure.place {
            Place::Pod | Place::Volumes => {
                self.shared.events.record(&self.key, true, &failure.reason, &failure.message);
            }
            Place::Container(container) => {
                let message = format!("Error: {}", failure.message);
                let path = field_path(&self.pod.get(), container);
                self.shared.events.record_about(&self.key, path, true, "Failed", &message);
            }
        }
    }

    pub(super) fn call_provider(&mut self, call: Call) {
        if self.draining {
            return;
        }
        if self.call.is_some() {
            match call {
                // They can wait for the next timer.
                Call::Poll | Call::Restart { .. } => {}
                call => {
                    if self.queued.as_ref().is_none_or(|queued| queued.urgency() <= call.urgency()) {
                        self.queued = Some(call);
                    }
                }
            }
            return;
        }
        if matches!(call, Call::Delete(_)) {
            self.told_to_stop = self.shared.restarts();
        }
        if matches!(call, Call::Create | Call::Update) {
            self.material.hold_all(&self.shared, &self.pod.get(), &self.wake_up);
            self.given = self.pod.clone();
        }
        if call == Call::Create {
            // Also where its answer is lost and a report tells that it took effect.
            self.delivered = self.given.get().metadata.generation;
        }
        let lane = Lane {
            shared: self.shared.clone(),
            key: self.key.clone(),
            pod: self.pod.get(),
            newest_report: self.seen_report,
        };
        self.call = Some(lane.call(call, &mut self.material));
    }

    pub(super) fn answered(&mut self, answer: Answer) {
        self.call = None;
        match answer {
            Answer::Created(outcome, asked_with, material) => {
                self.material = material;
                match outcome {
                    Ok(status) => {
                        let ended = self.accept(status, asked_with);
                        self.resize.created(&self.given.get(), &self.pod.get());
                        self.has_files();
                        self.step(Event::Created(Ok(ended)));
                    }
                    Err(Trouble::Provider(error)) => {
                        if matches!(error, Error::AlreadyExists) {
                            // As it was when an earlier attempt took effect.
                            self.delivered = self.baseline.get().observed_generation;
                        }
                        self.step(Event::Created(Err(error)));
                    }
                    Err(Trouble::Unresolved(unresolved)) => self.wait_for_what_it_names(&unresolved),
                }
                self.settle(asked_with);
            }
            Answer::Updated(outcome, asked_with, material) => {
                self.material = material;
                match outcome {
                    Ok(status) => {
                        let ended = self.accept(status, asked_with);
                        self.resize.updated(&self.given.get(), &self.pod.get(), None);
                        self.delivered = self.given.get().metadata.generation;
                        self.has_files();
                        self.step(Event::Updated(Ok(ended)));
                    }
                    Err(Trouble::Provider(error)) => {
                        if matches!(error, Error::NotFound) {
                            self.forget_report();
                        }
                        self.resize.updated(&self.given.get(), &self.pod.get(), Some(&error));
                        if error.retry() == Retry::Never {
                            self.delivered = self.given.get().metadata.generation;
                        }
                        self.has_files();
                        self.step(Event::Updated(Err(error)));
                    }
                    Err(Trouble::Unresolved(unresolved)) => self.wait_for_what_it_names(&unresolved),
                }
                self.settle(asked_with);
            }
            Answer::Refreshed(outcome, unresolved, material) => {
                self.material = material;
                self.refreshed(outcome, unresolved.as_ref());
            }
            Answer::Restarted(container, outcome) => self.restarted(&container, outcome),
            Answer::Deleted(outcome) => self.step(Event::Deleted(outcome)),
            Answer::Polled(Ok(report)) => self.reported(&Kept::new(report)),
            Answer::Polled(Err(Error::NotFound)) => self.lost(),
            Answer::Polled(Err(error)) => debug!(pod = %self.key, %error, "status call failed; the timer asks again"),
        }
        // The material has come back, perhaps to a pod that does not need it any more.
        self.let_go();
        if std::mem::take(&mut self.woken_in_call) {
            self.wake_up.notify_one();
        }
        if let Some(call) = self.queued.take() {
            self.call_provider(call);
        }
    }

    fn wait_for_what_it_names(&mut self, unresolved: &Unresolved) {
        self.unresolved = true;
        self.step(match unresolved.failure() {
            None => Event::Loading,
            // Told already: another object that it names has changed.
            Some(failure) if !unresolved.needs_retry && self.held.as_ref() == Some(&failure) => Event::Loading,
            Some(failure) if unresolved.needs_retry => Event::Unreachable(failure),
            Some(failure) => Event::Unresolved(failure),
        });
    }

    /// Takes the status that a call answered, unless an event arrived during the call: which of the two is newer nobody can tell, and
    /// [`Self::settle`] asks.
    fn accept(&mut self, answered: PodStatus, asked_with: u64) -> bool {
        self.accepted = Instant::now();
        let told = self.report.clone().filter(|_| self.seen_report != asked_with);
        let report = told.unwrap_or_else(|| Kept::new(answered));
        let ended = self.has_ended(&report.get());
        self.take(report);
        ended
    }

    /// After a call during which the provider also told something: asks how it is.
    fn settle(&mut self, asked_with: u64) {
        if self.seen_report != asked_with && self.machine.state == State::Running {
            self.call_provider(Call::Poll);
        }
    }

    pub(super) fn remove_ended(&mut self, outcome: Result<(), WriteError>) {
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
