//! All endpoints of one provider.
//!
//! In: rights, ceilings; requests. Out: see the four operations (`fetch`, `send`, `upgrade`, `websocket`). Invariant: what one provider has
//! under way is bounded whatever it does, over all of its endpoints together; each refusal is counted, and told in the log without
//! letting the provider flood it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tracing::warn;

use crate::connect::{Resolve, SystemResolver};
use crate::endpoint::{BindError, Endpoint};
use crate::error::{Error, Refusal, quoted};
use crate::grant::Rights;
use crate::metrics::Metrics;
use crate::seldom::Seldom;

/// What one provider may have under way, over all endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ceilings {
    /// Requests under way. Each may hold an answer of several MiB and a file descriptor.
    pub requests: usize,
    /// Requests that wait for a place. A guest can begin 10,000 in the background; each costs the host a few KiB before it is even looked at.
    pub waiting: usize,
    /// Streams, upgraded connections and websockets that are open. They live for hours, so they must not take the places of requests.
    pub streams: usize,
    /// Bytes of request bodies, waiting ones included, and of answers that are being collected, each. They are copied out of the guest
    /// before anything can be refused; a guest that repeats a large request, or asks for many large answers, would fill the host's memory.
    pub body_bytes: usize,
}

impl Default for Ceilings {
    fn default() -> Self {
        Self { requests: 128, waiting: 1024, streams: 256, body_bytes: 128 << 20 }
    }
}

/// So many places, at least one.
pub(crate) fn places(count: usize) -> Semaphore {
    Semaphore::new(count.clamp(1, Semaphore::MAX_PERMITS))
}

/// The way out of one provider.
pub struct Egress {
    pub(crate) provider: String,
    endpoints: BTreeMap<String, Endpoint>,
    /// Granted, but the manifest does not name them.
    unasked: Vec<String>,
    pub(crate) metrics: Metrics,
    pub(crate) requests: Semaphore,
    waiting: Arc<Semaphore>,
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) request_bytes: Arc<Semaphore>,
    pub(crate) answer_bytes: Arc<Semaphore>,
    /// Bounded: the operator's names times the reasons.
    told: Mutex<BTreeMap<(String, &'static str), Seldom>>,
}

impl Egress {
    /// Bind each right to connections of its own: those of one endpoint never serve another.
    ///
    /// # Errors
    /// When a certificate or credential file cannot be used.
    pub fn new(provider: &str, rights: Rights, ceilings: &Ceilings, metrics: Metrics) -> Result<Self, BindError> {
        Self::with_resolver(provider, rights, ceilings, metrics, Arc::new(SystemResolver::default()))
    }

    /// The same, with names resolved by `resolver`.
    ///
    /// # Errors
    /// As [`Egress::new`].
    pub fn with_resolver(
        provider: &str,
        rights: Rights,
        ceilings: &Ceilings,
        metrics: Metrics,
        resolver: Arc<dyn Resolve>,
    ) -> Result<Self, BindError> {
        let bind = |right: crate::grant::Right| {
            let counters = metrics.of(provider, &right.name);
            Ok((right.name.clone(), Endpoint::bind(right, counters, Arc::clone(&resolver))?))
        };
        Ok(Self {
            provider: provider.to_owned(),
            endpoints: rights.rights.into_iter().map(bind).collect::<Result<_, BindError>>()?,
            unasked: rights.unasked,
            requests: places(ceilings.requests),
            waiting: Arc::new(places(ceilings.requests.saturating_add(ceilings.waiting))),
            streams: Arc::new(places(ceilings.streams)),
            request_bytes: Arc::new(places(ceilings.body_bytes)),
            answer_bytes: Arc::new(places(ceilings.body_bytes)),
            metrics,
            told: Mutex::default(),
        })
    }

    /// The endpoint of that name.
    pub(crate) fn find(&self, name: &str) -> Result<&Endpoint, Error> {
        self.endpoints.get(name).ok_or_else(|| {
            if self.unasked.iter().any(|unasked| unasked == name) {
                Error::Denied(Refusal::NotInManifest(quoted(name)))
            } else {
                Error::Denied(Refusal::Endpoint(quoted(name)))
            }
        })
    }

    /// The right to wait for a place; not given to everyone.
    pub(crate) fn queue(&self) -> Result<OwnedSemaphorePermit, Error> {
        Arc::clone(&self.waiting)
            .try_acquire_owned()
            .map_err(|_| Error::Busy("this provider has too many requests waiting; await some before beginning more"))
    }

    /// Put down how an operation ended if it was refused.
    pub(crate) fn noted<T>(&self, endpoint: &str, outcome: Result<T, Error>) -> Result<T, Error> {
        if let Err(Error::Denied(refusal)) = &outcome {
            self.tell(endpoint, refusal);
        }
        outcome
    }

    fn tell(&self, endpoint: &str, refusal: &Refusal) {
        let granted = self.endpoints.contains_key(endpoint);
        let label = if granted { endpoint } else { "" };
        self.metrics.refused(&self.provider, label, refusal.reason());
        let due = {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            told.entry((label.to_owned(), refusal.reason())).or_default().admit(Instant::now())
        };
        if due.is_some() {
            let provider = &self.provider;
            let endpoint = quoted(endpoint);
            warn!(provider, endpoint, reason = refusal.reason(), "request refused: {}", refusal.explain(&endpoint));
        }
    }
}
