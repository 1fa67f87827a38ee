//! What the rest of the host can see of a provider's life.
//!
//! In: the supervisor's steps. Out: [`Health`] and [`Phase`], each over a `watch`, and once how the first start went. Invariant: both
//! change together; when the supervisor is gone, for whatever reason, both say so.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pluglet_model::provider::{Health, Info, NodeFacts};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::dispatch::Phase;
use crate::gate::Gate;
use crate::metrics::ProviderMetrics;

/// How the first start went: well, or not but worth trying again (`Ok`); or refused, with the provider's message.
pub(crate) type FirstStart = Result<(), String>;

/// Tells the host. Belongs to the supervisor.
pub(crate) struct Publisher {
    health: watch::Sender<Health>,
    phase: watch::Sender<Phase>,
    first: Mutex<Option<oneshot::Sender<FirstStart>>>,
    metrics: ProviderMetrics,
}

/// The other ends.
pub(crate) struct Seen {
    pub(crate) health: watch::Receiver<Health>,
    pub(crate) phase: watch::Receiver<Phase>,
    pub(crate) first: oneshot::Receiver<FirstStart>,
}

impl Publisher {
    /// A publisher for a provider that is about to be started.
    pub(crate) fn new(metrics: ProviderMetrics) -> (Self, Seen) {
        const WHY: &str = "it is being started";
        let (health, health_seen) = watch::channel(Health { failure: Some(WHY.to_owned()), ..Health::default() });
        let (phase, phase_seen) = watch::channel(Phase::Down { why: WHY.to_owned(), next: Instant::now() });
        let (first, first_seen) = oneshot::channel();
        let seen = Seen { health: health_seen, phase: phase_seen, first: first_seen };
        (Self { health, phase, first: Mutex::new(Some(first)), metrics }, seen)
    }

    /// It runs. The first time is not a restart.
    pub(crate) fn up(&self, info: Info, gate: Gate) {
        self.metrics.up.set(1);
        self.phase.send_replace(Phase::Up(gate));
        self.health.send_modify(|health| {
            if health.info.replace(info).is_some() {
                health.restarts += 1;
                self.metrics.restarts.inc();
            }
            health.failure = None;
        });
        self.first_start(Ok(()));
    }

    /// It does not run and is tried again after `delay`.
    pub(crate) fn down(&self, why: &str, delay: Duration) {
        self.metrics.up.set(0);
        self.phase.send_replace(Phase::Down { why: why.to_owned(), next: Instant::now() + delay });
        self.health.send_modify(|health| health.failure = Some(why.to_owned()));
        self.first_start(Ok(()));
    }

    /// It refuses its configuration. False when it has been started before: then it is only down.
    pub(crate) fn refused(&self, why: &str) -> bool {
        let first = self.first_start(Err(why.to_owned()));
        if first {
            self.stopped(why);
        }
        first
    }

    /// It was let go.
    pub(crate) fn stopped(&self, why: &str) {
        self.metrics.up.set(0);
        self.phase.send_replace(Phase::Stopped);
        self.health.send_modify(|health| health.failure = Some(why.to_owned()));
    }

    /// Whether the provider could list its pods.
    pub(crate) fn listed(&self, trouble: Option<String>) {
        self.health.send_if_modified(|health| {
            let changed = health.trouble != trouble;
            health.trouble = trouble;
            changed
        });
    }

    /// The backend's node changed.
    pub(crate) fn node(&self, facts: NodeFacts) {
        self.health.send_if_modified(|health| match &mut health.info {
            Some(info) if info.node != facts => {
                info.node = facts;
                true
            }
            _ => false,
        });
    }

    /// Whether this was the first.
    fn first_start(&self, outcome: FirstStart) -> bool {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A starter that has gone away does not need to know.
        first.map(|first| first.send(outcome)).is_some()
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        // After an orderly stop this was said already. Otherwise a bug ended the supervisor, and callers must not wait for ever.
        if !matches!(*self.phase.borrow(), Phase::Stopped) {
            self.stopped("the provider's supervisor is gone");
        }
    }
}
