//! One token, for everybody who needs it.
//!
//! In: a [`TokenSource`]. Out: a token, as soon as there is one. Invariant: a token request belongs to the cache and not to who caused
//! it: it goes on when that one goes away, ends when the cache is dropped, and always leaves an outcome behind.

use std::sync::{Arc, Mutex};

use rustls::crypto::ring;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::state::{Decision, State};
use super::{Granted, Token, TokenSource};
use crate::error::chain;
use crate::{CredentialError, locked};

/// What a token request came to; `None` while it is under way.
type Outcome = Option<Result<Arc<Token>, CredentialError>>;

/// A token that is there when it is needed.
pub(crate) struct TokenCache {
    shared: Arc<Shared>,
    /// Aborts the token request when the cache is dropped. Not in `shared`, which the request itself holds.
    requests: Mutex<JoinSet<()>>,
}

struct Shared {
    source: Box<dyn TokenSource>,
    inner: Mutex<Inner>,
}

struct Inner {
    state: State,
    /// Of the last request.
    outcome: watch::Receiver<Outcome>,
}

impl TokenCache {
    pub(crate) fn new(source: impl TokenSource) -> Self {
        let inner = Inner { state: State::default(), outcome: watch::channel(None).1 };
        let shared = Shared { source: Box::new(source), inner: Mutex::new(inner) };
        Self { shared: Arc::new(shared), requests: Mutex::default() }
    }

    /// A token that can be used now. Waits only when there is none.
    pub(crate) async fn token(&self) -> Result<Arc<Token>, CredentialError> {
        let mut outcome = match self.decide() {
            (Decision::Use(token) | Decision::UseAndRefresh(token), _) => return Ok(token),
            (Decision::Fail(error), _) => return Err(error),
            (Decision::Refresh | Decision::Wait, outcome) => outcome,
        };
        // Cancel-safe: only looks.
        match outcome.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(outcome)) => outcome.clone(),
            Ok(None) | Err(_) => Err(CredentialError::Interrupted),
        }
    }

    /// The backend refused the token with this serial; see [`crate::Credential::rejected`].
    pub(crate) fn rejected(&self, serial: u64) -> bool {
        locked(&self.shared.inner).state.rejected(serial, Instant::now())
    }

    /// Decides, and starts a request if that was the decision.
    fn decide(&self) -> (Decision, watch::Receiver<Outcome>) {
        let (decision, outcome, request) = {
            let mut inner = locked(&self.shared.inner);
            let decision = inner.state.decide(Instant::now());
            let request = matches!(decision, Decision::Refresh | Decision::UseAndRefresh(_)).then(|| {
                let (tell, outcome) = watch::channel(None);
                inner.outcome = outcome;
                Request { shared: Arc::clone(&self.shared), tell, asked: Instant::now() }
            });
            (decision, inner.outcome.clone(), request)
        };
        // Outside the lock: on a runtime that is shutting down, spawning drops the request, which takes the lock.
        if let Some(request) = request {
            let mut requests = locked(&self.requests);
            while requests.try_join_next().is_some() {}
            requests.spawn(request.run());
        }
        (decision, outcome)
    }
}

/// A token request. Settles when it is dropped, whatever for.
struct Request {
    shared: Arc<Shared>,
    tell: watch::Sender<Outcome>,
    asked: Instant,
}

impl Request {
    async fn run(self) {
        let result = self.shared.source.fetch().await;
        self.settle(result);
    }

    fn settle(&self, result: Result<Granted, CredentialError>) {
        let outcome = {
            let mut inner = locked(&self.shared.inner);
            match result {
                Ok(granted) => Ok(inner.state.granted(self.asked, granted, random())),
                Err(error) => {
                    let (pause, has_token) = inner.state.failed(Instant::now(), error.clone());
                    Err((error, pause, has_token))
                }
            }
        };
        let outcome = outcome.map_err(|(error, pause, has_token)| {
            tracing::warn!(
                error = chain(&error),
                ?pause,
                has_token,
                "no new token, not asking again before the pause is over"
            );
            error
        });
        self.tell.send_replace(Some(outcome));
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if self.tell.borrow().is_none() {
            self.settle(Err(CredentialError::Interrupted));
        }
    }
}

/// 0 to 1. Only spreads load, so a generator without entropy is no failure.
fn random() -> f64 {
    let mut bytes = [0; 2];
    match ring::default_provider().secure_random.fill(&mut bytes) {
        Ok(()) => f64::from(u16::from_le_bytes(bytes)) / f64::from(u16::MAX),
        Err(_) => 0.5,
    }
}

#[cfg(test)]
mod tests;
