//! Keeps the provider's copies of ConfigMaps, Secrets, labels and tokens like the originals.
//!
//! In: what the pod names has changed, a token is due. Out: [`Call::Refresh`] with the volumes that differ. Invariant: a running pod never
//! loses a file because its source is gone or a token cannot be renewed: it keeps what it has, and an event says so.

use std::time::Duration;

use pluglet_model::provider::{Error, Level, Retry};
use pluglet_rules::references;
use tokio::time::{Instant, sleep_until};

use super::lanes::Call;
use super::material::Unresolved;
use super::{Actor, spread};
use crate::pods::state::{Event, FIRST_RETRY, Failure, LONGEST_RETRY, State, Wish, exponential};

/// After a restart each pod's files are handed over anew, since nobody knows which the provider has. Not all in one moment.
const SPREAD: Duration = Duration::from_secs(10);

impl Actor {
    /// Takes up a pod that the provider runs already.
    pub(super) fn adopted(&mut self) {
        if self.machine.state != State::Running {
            return;
        }
        let generation = self.pod.get().metadata.generation;
        let observed = self.baseline.get().observed_generation;
        // It changed while nobody looked; or nobody but this process knows what it is to be.
        let driven = self.shared.provider.level() == Level::Containers;
        if driven || observed < generation && self.shared.features().update {
            self.material.hold_all(&self.shared, &self.pod.get(), &self.wake_up);
            self.step(Event::Changed);
            return;
        }
        if observed.is_some() && observed < generation {
            let message = "the pod's spec changed while nobody looked, and the provider cannot change a pod that runs: it takes effect when the pod is created again";
            self.shared.events.record(&self.key, true, "ProviderUnsupported", message);
        }
        if self.has_files_to_refresh() {
            self.material.hold_files(&self.shared, &self.pod.get(), &self.wake_up);
            self.refresh_in(spread(&self.key, SPREAD));
        }
    }

    /// The provider was given all files.
    pub(super) fn has_files(&mut self) {
        self.material.hold_files(&self.shared, &self.pod.get(), &self.wake_up);
        self.refresh_timer = self.material.renew_at().map(|at| Box::pin(sleep_until(at)));
    }

    fn has_files_to_refresh(&self) -> bool {
        self.shared.features().refresh && references::makes_files(&self.pod.get(), &self.shared.kinds())
    }

    /// Hands over what has changed, when nothing more important is under way.
    pub(super) fn sync_files(&mut self) {
        let runs = self.machine.state == State::Running && self.machine.wish == Wish::Run;
        if !self.outdated || !runs || self.call.is_some() || self.draining || !self.material.is_loaded() {
            return;
        }
        self.outdated = false;
        if self.has_files_to_refresh() {
            self.call_provider(Call::Refresh);
        }
    }

    pub(super) fn refreshed(&mut self, outcome: Result<(), Error>, unresolved: Option<&Unresolved>) {
        let (mut failure, mut pause) = (None, None);
        match outcome {
            Ok(()) => {}
            // Its own end follows.
            Err(Error::NotFound) => return self.lost(),
            Err(error) => {
                let retry = error.retry();
                failure = Some(Failure::of_pod(error.reason(), format!("refreshing files: {error}")));
                pause = match retry {
                    Retry::Never => None,
                    Retry::Soon => Some(self.next_pause(Duration::ZERO)),
                    Retry::Backoff(after) => Some(self.next_pause(after.unwrap_or_default())),
                    Retry::Slowly => Some(LONGEST_RETRY),
                };
                failure = failure.filter(|_| retry != Retry::Soon);
            }
        }
        if let Some(unresolved) = unresolved {
            failure = failure.or_else(|| unresolved.failure());
            pause = pause.or_else(|| unresolved.needs_retry.then(|| self.next_pause(Duration::ZERO)));
        }
        if failure.is_none() && pause.is_none() {
            self.refresh_failures = 0;
        }
        self.tell_of_files(failure);
        let renewal = self.material.renew_at();
        let retry = pause.map(|pause| Instant::now() + pause);
        let next = renewal.into_iter().chain(retry).min();
        self.refresh_timer = next.map(|at| Box::pin(sleep_until(at)));
    }

    /// Once for each thing that is wrong, not at each attempt.
    fn tell_of_files(&mut self, failure: Option<Failure>) {
        if let Some(failure) = failure.as_ref().filter(|failure| self.stale_files.as_ref() != Some(failure)) {
            self.shared.events.record(&self.key, true, &failure.reason, &failure.message);
        }
        self.stale_files = failure;
    }

    fn refresh_in(&mut self, pause: Duration) {
        self.refresh_timer = Some(Box::pin(sleep_until(Instant::now() + pause)));
    }

    fn next_pause(&mut self, at_least: Duration) -> Duration {
        let pause = exponential(FIRST_RETRY, LONGEST_RETRY, self.refresh_failures);
        self.refresh_failures += 1;
        pause.max(at_least)
    }
}
