//! The transitions of the machine, see the picture in [`super`].
//!
//! In: an [`Event`]. Out: the machine after it, and [`Action`]s. Invariant: as in [`super`].

use std::time::Duration;

use pluglet_model::provider::{Error, Retry};

use super::{Action, Event, Failure, Machine, Policy, State, Wish};

/// First pause after a failed attempt; doubles each time.
pub(in crate::pods) const FIRST_RETRY: Duration = Duration::from_secs(1);
/// Longest pause between attempts, as the kubelet's image and crash back-off has it.
pub(in crate::pods) const LONGEST_RETRY: Duration = Duration::from_secs(300);
/// First pause after the provider crashed under a call that need not be at fault.
const SOON: Duration = Duration::from_millis(250);
/// Longest such pause.
const LONGEST_SOON: Duration = Duration::from_secs(5);
/// A provider that watches is asked for the status this long after the grace period should have ended.
const GRACE_MARGIN: Duration = Duration::from_secs(5);
/// A provider that does not watch is first asked this soon after a delete; doubles up to [`GRACE_MARGIN`].
pub(super) const FIRST_POLL: Duration = Duration::from_millis(250);

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
            verdict: None,
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
            Event::Loading => self.not_called().unwrap_or_default(),
            Event::Unresolved(failure) => self.unresolved(failure, false),
            Event::Unreachable(failure) => self.unresolved(failure, true),
            Event::Rejected(failure) => self.rejected(failure),
            Event::Expired(failure) => self.expired(failure),
            Event::Updated(outcome) => self.updated(outcome),
            Event::Deleted(outcome) => self.deleted(outcome),
            Event::Reported(ended) => self.reported(ended),
            Event::Lost => self.lost(),
            Event::Forgotten(left) => self.forgotten(left),
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
            (State::Pending | State::Ended, _) if !self.asked => self.stopped(),
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
            State::Pending => {
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
        self.asked = true;
        if self.must_stop() {
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

    /// The call that the state speaks of was not made. None: nothing more is to be done about that.
    fn not_called(&mut self) -> Option<Vec<Action>> {
        match self.state {
            State::Creating => self.state = State::Pending,
            State::Updating => {
                self.state = State::Running;
                self.stale = true;
            }
            _ => return Some(vec![]),
        }
        self.must_stop().then(|| if self.asked { self.stop() } else { self.stopped() })
    }

    fn unresolved(&mut self, failure: Failure, again: bool) -> Vec<Action> {
        if let Some(actions) = self.not_called() {
            return actions;
        }
        let mut actions = vec![Action::Record(failure.clone())];
        if again {
            actions.push(Action::Wake(exponential(FIRST_RETRY, LONGEST_RETRY, self.attempts)));
            self.attempts += 1;
        }
        // A running pod keeps its status: only the event tells.
        if self.state == State::Pending {
            actions.push(Action::Hold(failure));
        }
        actions
    }

    fn rejected(&mut self, failure: Failure) -> Vec<Action> {
        if self.state != State::Pending || self.asked {
            return vec![];
        }
        self.state = State::Ended;
        vec![Action::Fail(failure)]
    }

    fn expired(&mut self, failure: Failure) -> Vec<Action> {
        if self.must_stop() {
            return vec![];
        }
        let record = Action::Record(failure.clone());
        match self.state {
            State::Pending if !self.asked => {
                self.state = State::Ended;
                vec![record, Action::Fail(failure)]
            }
            State::Pending | State::Running => {
                self.verdict = Some(failure);
                let mut actions = self.stop();
                actions.push(record);
                actions
            }
            // A call is under way; its end looks at the verdict.
            State::Creating | State::Updating => {
                self.verdict = Some(failure);
                vec![record]
            }
            State::Ended | State::Stopping | State::Finishing | State::Removing | State::Gone => vec![],
        }
    }

    /// Nobody wants it to run any more.
    fn must_stop(&self) -> bool {
        self.wish != Wish::Run || self.verdict.is_some()
    }

    fn updated(&mut self, outcome: Result<bool, Error>) -> Vec<Action> {
        if self.state != State::Updating {
            return vec![];
        }
        self.state = State::Running;
        if self.must_stop() {
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

    fn forgotten(&mut self, left: u32) -> Vec<Action> {
        if self.state != State::Stopping {
            return vec![];
        }
        if let Wish::Stop(seconds) = self.wish {
            self.wish = Wish::Stop(seconds.min(left));
        }
        self.stop()
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
        self.state = match self.wish {
            Wish::Vanished => return self.gone(),
            Wish::Stop(_) => State::Finishing,
            // Nobody deleted it: it stays, with the verdict.
            Wish::Run => State::Ended,
        };
        self.verdict.take().map(Action::Fail).into_iter().collect()
    }

    fn gone(&mut self) -> Vec<Action> {
        self.state = State::Gone;
        vec![]
    }

    fn grace(&self) -> u32 {
        match self.wish {
            Wish::Stop(seconds) => seconds,
            Wish::Run => self.policy.grace,
            Wish::Vanished => 0,
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
            actions.push(Action::Record(Failure { message, ..held.clone() }));
        }
        actions.push(Action::Hold(held));
        actions
    }
}

fn failure(error: &Error) -> Failure {
    Failure::of_pod(error.reason(), error.to_string())
}

fn lost(consequence: &str) -> Failure {
    Failure::of_pod("ProviderLostPod", format!("the provider no longer knows the pod, {consequence}"))
}

/// The pause after so many failed attempts: doubling.
pub(in crate::pods) fn exponential(first: Duration, longest: Duration, attempts: u32) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(attempts.min(16))).min(longest)
}
