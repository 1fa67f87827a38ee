//! `fetch`: a whole request and its whole answer.
//!
//! In: an [`Outgoing`] request and its body. Out: an [`Answer`]. Invariant: it ends within its time and holds no more than its bytes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout};

use crate::answer::{self, Answer};
use crate::check::{self, Outgoing};
use crate::egress::Egress;
use crate::endpoint::{Endpoint, Via};
use crate::error::Error;

impl Egress {
    /// Send a request and wait for its whole answer, of which at most `max_bytes`.
    ///
    /// # Errors
    /// See [`Error`]. Any status is a success.
    pub async fn fetch(&self, outgoing: Outgoing, body: Bytes, max_bytes: usize) -> Result<Answer, Error> {
        let name = outgoing.endpoint.clone();
        let outcome = self.fetch_checked(outgoing, body, max_bytes).await;
        self.noted(&name, outcome)
    }

    async fn fetch_checked(&self, outgoing: Outgoing, body: Bytes, max_bytes: usize) -> Result<Answer, Error> {
        let endpoint = self.find(&outgoing.endpoint)?;
        let checked = check::request(&endpoint.right, &outgoing, endpoint.owned_headers())?;
        let limits = &endpoint.right.grant.limits;
        let _bytes = endpoint.counted(self.room_for(endpoint, &body))?;
        let _waiting = endpoint.counted(self.queue())?;
        let cap = limits.max_response_bytes.min(max_bytes);
        // The time covers everything: a place, name, connection, credential, request, and the answer to its last byte.
        let whole = async {
            // The endpoint's first: requests that wait for a slow backend must not hold the places of those to others.
            let _own = place(&endpoint.requests).await?;
            endpoint.turn().await;
            let _place = place(&self.requests).await?;
            let _in_flight = endpoint.metrics.begin();
            let exchange = endpoint.exchange(checked, body, Via::Pool).await?;
            answer::whole(exchange, cap, &self.answer_bytes).await
        };
        let started = Instant::now();
        let outcome = timeout(within(limits.timeout, outgoing.timeout), whole).await.unwrap_or(Err(Error::Timeout));
        endpoint.metrics.ended(word(outcome.as_ref().map(|answer| answer.status)), started.elapsed().as_secs_f64());
        outcome
    }

    /// Room for a request's body, which is in memory already.
    pub(crate) fn room_for(&self, endpoint: &Endpoint, body: &Bytes) -> Result<OwnedSemaphorePermit, Error> {
        let limits = &endpoint.right.grant.limits;
        let bytes = u32::try_from(body.len()).map_err(|_| Error::TooLarge)?;
        if u64::from(bytes) > limits.max_request_bytes {
            return Err(Error::TooLarge);
        }
        Arc::clone(&self.request_bytes)
            .try_acquire_many_owned(bytes)
            .map_err(|_| Error::Busy("this provider has too many bytes of request bodies under way"))
    }
}

/// One of the places.
pub(crate) async fn place(semaphore: &tokio::sync::Semaphore) -> Result<tokio::sync::SemaphorePermit<'_>, Error> {
    // Nobody closes them.
    semaphore.acquire().await.map_err(|_| Error::Busy("the host is shutting down"))
}

/// The grant's time, or less.
pub(crate) fn within(granted: Duration, asked: Option<Duration>) -> Duration {
    asked.map_or(granted, |asked| asked.min(granted))
}

/// How a request ended, in one word of a closed set.
pub(crate) fn word(outcome: Result<u16, &Error>) -> &'static str {
    match outcome {
        Ok(status) => match status / 100 {
            1 => "1xx",
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            5 => "5xx",
            _ => "other",
        },
        Err(Error::Denied(_)) => "denied",
        Err(Error::Timeout) => "timeout",
        Err(Error::Connect(_)) => "connect",
        Err(Error::TooLarge) => "too-large",
        Err(Error::Protocol(_)) => "protocol",
        Err(Error::Busy(_)) => "busy",
        Err(Error::Credential { .. }) => "credential",
    }
}
