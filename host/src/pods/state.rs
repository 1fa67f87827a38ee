//! The life of a pod on this node, as one state machine.
//!
//! In: [`Event`]s (what the API server wants, what the provider answers and reports, timers). Out: the next [`State`] and the
//! [`Action`]s to run. Invariant: pure. No clock, no I/O; the same machine and event always give the same answer.
//!
//! ```text
//!            ┌─────────┐  ask   ┌──────────┐ accepted ┌─────────┐ all containers ended ┌───────┐
//!  bound ───►│ Pending ├───────►│ Creating ├─────────►│ Running ├─────────────────────►│ Ended │
//!            └─▲────┬──┘        └──┬────┬──┘          └─▲─┬──┬──┘                      └──┬─▲──┘
//!              │    │  try again   │    │ never          │ │  │ lost, may not restart     │ │
//!              │    │◄─────────────┘    └────────────────┼─┼──┼───────────────────────────┼─┘
//!              │    │                           Updating◄─┘ │  └───────────────────────────┤
//!              └────┼────────── lost, may restart ──────────┤                              │
//!                   │ deletion, or the object is gone       │                              │
//!                   ▼                                       ▼                              ▼
//!            ┌──────────────────────────────────────────────────────────────────────────────┐
//!            │ Stopping: the provider was told to delete; wait until it has stopped         │
//!            └──────────────────────┬─────────────────────────────────┬─────────────────────┘
//!                     object there  ▼                  object is gone ▼
//!                     ┌───────────┐ status written ┌──────────┐   ┌──────┐
//!                     │ Finishing ├───────────────►│ Removing ├──►│ Gone │
//!                     └───────────┘                └──────────┘   └──────┘
//! ```
//!
//! The deletion handshake (Kubernetes' own order): stop everything, write the terminal status, then delete the object with grace 0
//! and the UID as precondition. Job controllers count on the status being there first.

use std::time::Duration;

use pluglet_model::provider::{Error, Retry};

/// First pause after a failed attempt; doubles each time.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// Longest pause between attempts, as the kubelet's image and crash back-off has it.
const LONGEST_RETRY: Duration = Duration::from_secs(300);
/// First pause after the provider crashed under a call that need not be at fault.
const SOON: Duration = Duration::from_millis(250);
/// Longest such pause.
const LONGEST_SOON: Duration = Duration::from_secs(5);
/// A provider that watches is asked for the status this long after the grace period should have ended.
const GRACE_MARGIN: Duration = Duration::from_secs(5);
/// A provider that does not watch is first asked this soon after a delete; doubles up to [`GRACE_MARGIN`].
const FIRST_POLL: Duration = Duration::from_millis(250);

/// Where a pod is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// The provider is to be asked to create it, now or when the retry timer fires.
    Pending,
    /// A create call is under way.
    Creating,
    /// The provider answers for it.
    Running,
    /// The provider answers for it and an update call is under way.
    Updating,
    /// It has come to its end, or can never start. The object stays until somebody deletes it.
    Ended,
    /// The provider was told to delete it and has not yet stopped it.
    Stopping,
    /// Stopped. The terminal status is being written.
    Finishing,
    /// The object is being deleted, or waits for finalizers of others.
    Removing,
    /// Over. The actor ends.
    Gone,
}

/// What the API server wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// The pod shall run.
    Run,
    /// It was deleted with this grace period, in seconds.
    Stop(u32),
    /// The object does not exist any more.
    Vanished,
}

/// What happened.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// The API server's wish changed.
    Wished(Wish),
    /// The spec, labels or annotations differ from what the provider was last given.
    Changed,
    /// The retry or poll timer fired.
    Due,
    /// The create call ended. `Ok(true)`: the containers have ended already.
    Created(Result<bool, Error>),
    /// The update call ended.
    Updated(Result<bool, Error>),
    /// The delete call ended.
    Deleted(Result<(), Error>),
    /// The provider told a status. True: all containers have ended.
    Reported(bool),
    /// The provider does not know the pod.
    Lost,
    /// The status that the API server holds is the one we want it to hold.
    Written,
    /// The API server has taken our delete (or never had the object).
    Removed,
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    /// Call the provider.
    Create,
    /// Call the provider.
    Update,
    /// Call the provider; seconds of grace.
    Delete(u32),
    /// Ask the provider for the status of this pod.
    Poll,
    /// Send [`Event::Due`] after this time; replaces an earlier one.
    Wake(Duration),
    /// The pod can never run again: make its phase Failed.
    Fail(Failure),
    /// Remember why it does not run yet, for its status.
    Hold(Failure),
    /// It runs: forget what was held.
    Clear,
    /// Record an event on the pod.
    Record(Failure),
    /// Delete the object with grace 0 and the UID as precondition.
    Remove,
}

/// Why a pod does not run, in Kubernetes' words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// UpperCamelCase.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

/// One pod's machine: the state and what it must remember to decide.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    /// Where it is.
    pub state: State,
    /// What the API server last wanted.
    pub wish: Wish,
    /// Failed attempts in a row at what it is doing.
    attempts: u32,
    /// A create call was ever made, so the provider may know the pod even if it said no.
    asked: bool,
    /// The grace period that the provider was last given.
    told_grace: Option<u32>,
    /// An update is owed.
    stale: bool,
    policy: Policy,
}

/// What the machine must know of pod and provider; both do not change during a pod's life.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// `restartPolicy` is not Never: a pod that the provider lost may be created again.
    pub may_restart: bool,
    /// The provider reports by itself.
    pub watches: bool,
    /// The provider takes updates.
    pub updates: bool,
}

impl Machine {
    /// A pod that the provider has never heard of.
    pub(crate) fn new(policy: Policy) -> Self {
        Self {
            state: State::Pending,
            wish: Wish::Run,
            attempts: 0,
            asked: false,
            told_grace: None,
            stale: false,
            policy,
        }
    }

    /// A pod found in the provider's list, or one that ended before this process began.
    pub(crate) fn adopted(policy: Policy, ended: bool) -> Self {
        Self { state: if ended { State::Ended } else { State::Running }, asked: true, ..Self::new(policy) }
    }

    /// The one place where a pod's life is decided.
    pub(crate) fn next(mut self, event: Event) -> (Self, Vec<Action>) {
        let actions = match event {
            Event::Wished(wish) => self.wished(wish),
            Event::Changed => self.changed(),
            Event::Due => self.due(),
            Event::Created(outcome) => self.created(outcome),
            Event::Updated(outcome) => self.updated(outcome),
            Event::Deleted(outcome) => self.deleted(outcome),
            Event::Reported(ended) => self.reported(ended),
            Event::Lost => self.lost(),
            Event::Written if self.state == State::Finishing => {
                self.state = State::Removing;
                vec![Action::Remove]
            }
            Event::Written => vec![],
            // The object may live on with finalizers of others: it is theirs now. Its end arrives as a wish.
            Event::Removed => vec![],
        };
        (self, actions)
    }

    fn wished(&mut self, wish: Wish) -> Vec<Action> {
        self.wish = wish;
        match (self.state, wish) {
            (_, Wish::Run) => vec![],
            (State::Pending, _) if !self.asked => self.stopped(),
            (State::Pending | State::Running | State::Ended, _) => self.stop(),
            // A call is under way; its end looks at the wish.
            (State::Creating | State::Updating, _) => vec![],
            (State::Stopping, _) if self.told_grace.is_some_and(|told| self.grace() < told) => self.stop(),
            (State::Finishing | State::Removing, Wish::Vanished) => self.gone(),
            (State::Stopping | State::Finishing | State::Removing | State::Gone, _) => vec![],
        }
    }

    fn changed(&mut self) -> Vec<Action> {
        match self.state {
            // The change may be the cure: no reason to wait the pause out.
            State::Pending if self.asked => {
                self.attempts = 0;
                vec![Action::Wake(Duration::ZERO)]
            }
            _ if !self.policy.updates => vec![],
            State::Running => {
                self.state = State::Updating;
                self.stale = false;
                vec![Action::Update]
            }
            State::Creating | State::Updating => {
                self.stale = true;
                vec![]
            }
            _ => vec![],
        }
    }

    fn due(&mut self) -> Vec<Action> {
        match self.state {
            State::Pending => {
                self.state = State::Creating;
                self.asked = true;
                vec![Action::Create]
            }
            State::Running if self.stale => self.changed(),
            State::Stopping if self.told_grace.is_none() => self.stop(),
            State::Stopping => {
                self.attempts += 1;
                vec![Action::Poll, Action::Wake(self.poll_interval())]
            }
            // The delete of the object failed and is tried again.
            State::Removing => vec![Action::Remove],
            _ => vec![],
        }
    }

    fn created(&mut self, outcome: Result<bool, Error>) -> Vec<Action> {
        if self.state != State::Creating {
            return vec![];
        }
        if self.wish != Wish::Run {
            // Even a failed create may have taken effect.
            return self.stop();
        }
        match outcome {
            Ok(ended) => {
                self.attempts = 0;
                self.state = if ended { State::Ended } else { State::Running };
                let mut actions = vec![Action::Clear];
                if std::mem::take(&mut self.stale) {
                    actions.extend(self.changed());
                }
                actions
            }
            // An earlier attempt took effect, with what the pod was then.
            Err(Error::AlreadyExists) => {
                self.state = State::Running;
                let update = self.changed();
                if update.is_empty() { vec![Action::Clear, Action::Poll] } else { update }
            }
            Err(error) if error.retry() == Retry::Never => {
                self.state = State::Ended;
                let failure = failure(&error);
                vec![Action::Record(failure.clone()), Action::Fail(failure)]
            }
            Err(error) => {
                self.state = State::Pending;
                self.try_again(&error, "creating the pod")
            }
        }
    }

    fn updated(&mut self, outcome: Result<bool, Error>) -> Vec<Action> {
        if self.state != State::Updating {
            return vec![];
        }
        self.state = State::Running;
        if self.wish != Wish::Run {
            return self.stop();
        }
        match outcome {
            Ok(ended) => {
                self.attempts = 0;
                if ended {
                    self.state = State::Ended;
                    return vec![];
                }
                if std::mem::take(&mut self.stale) { self.changed() } else { vec![] }
            }
            Err(Error::NotFound) => self.lost(),
            // The pod runs on as it was; its owner learns why the change has no effect.
            Err(error) if error.retry() == Retry::Never => vec![Action::Record(failure(&error))],
            Err(error) => {
                self.stale = true;
                let mut actions = self.try_again(&error, "updating the pod");
                // A running pod keeps its status: only the event tells.
                actions.retain(|action| !matches!(action, Action::Hold(_)));
                actions
            }
        }
    }

    fn deleted(&mut self, outcome: Result<(), Error>) -> Vec<Action> {
        if self.state != State::Stopping {
            return vec![];
        }
        match outcome {
            Ok(()) => {
                self.attempts = 0;
                vec![Action::Wake(self.poll_interval())]
            }
            Err(Error::NotFound) => self.stopped(),
            Err(error) => {
                // Due then tells it again; the pod stays Terminating, with the reason in an event.
                self.told_grace = None;
                let mut actions = self.try_again(&error, "stopping the pod");
                actions.retain(|action| !matches!(action, Action::Hold(_)));
                actions
            }
        }
    }

    fn reported(&mut self, ended: bool) -> Vec<Action> {
        match (self.state, ended) {
            // A create that was given up took effect after all.
            (State::Pending, false) => {
                self.state = State::Running;
                self.asked = true;
                vec![Action::Clear]
            }
            (State::Pending | State::Running, true) => {
                self.state = State::Ended;
                vec![Action::Clear]
            }
            (State::Stopping, true) => self.stopped(),
            // While a call is under way its answer is as new; a pod that ended never runs again.
            _ => vec![],
        }
    }

    fn lost(&mut self) -> Vec<Action> {
        match self.state {
            State::Running if self.policy.may_restart => {
                self.state = State::Pending;
                vec![Action::Record(lost("and is created again")), Action::Wake(Duration::ZERO)]
            }
            State::Running => {
                self.state = State::Ended;
                let failure = lost("and its restartPolicy is Never");
                vec![Action::Record(failure.clone()), Action::Fail(failure)]
            }
            State::Stopping => self.stopped(),
            _ => vec![],
        }
    }

    /// Tell the provider to delete the pod.
    fn stop(&mut self) -> Vec<Action> {
        self.state = State::Stopping;
        let grace = self.grace();
        self.told_grace = Some(grace);
        vec![Action::Delete(grace)]
    }

    /// The provider has nothing of this pod any more.
    fn stopped(&mut self) -> Vec<Action> {
        if self.wish == Wish::Vanished {
            return self.gone();
        }
        self.state = State::Finishing;
        vec![]
    }

    fn gone(&mut self) -> Vec<Action> {
        self.state = State::Gone;
        vec![]
    }

    fn grace(&self) -> u32 {
        match self.wish {
            Wish::Stop(seconds) => seconds,
            Wish::Run | Wish::Vanished => 0,
        }
    }

    fn poll_interval(&self) -> Duration {
        if self.policy.watches && self.attempts == 0 {
            return Duration::from_secs(self.grace().into()) + GRACE_MARGIN;
        }
        exponential(FIRST_POLL, GRACE_MARGIN, self.attempts)
    }

    fn try_again(&mut self, error: &Error, doing: &str) -> Vec<Action> {
        let pause = match error.retry() {
            Retry::Soon => exponential(SOON, LONGEST_SOON, self.attempts),
            Retry::Backoff(after) => {
                exponential(FIRST_RETRY, LONGEST_RETRY, self.attempts).max(after.unwrap_or_default())
            }
            Retry::Slowly | Retry::Never => LONGEST_RETRY,
        };
        self.attempts += 1;
        let held = failure(error);
        let mut actions = vec![Action::Wake(pause)];
        if error.retry() != Retry::Soon {
            let message = format!("{doing}: {}; next try in {pause:?}", held.message);
            actions.push(Action::Record(Failure { reason: held.reason, message }));
        }
        actions.push(Action::Hold(held));
        actions
    }
}

fn failure(error: &Error) -> Failure {
    Failure { reason: error.reason(), message: error.to_string() }
}

fn lost(consequence: &str) -> Failure {
    Failure { reason: "ProviderLostPod", message: format!("the provider no longer knows the pod, {consequence}") }
}

fn exponential(first: Duration, longest: Duration, attempts: u32) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(attempts.min(16))).min(longest)
}

#[cfg(test)]
mod tests;
