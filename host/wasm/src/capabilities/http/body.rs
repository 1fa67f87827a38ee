//! Bodies of requests, from the guest to the way out.
//!
//! In: `stream<u8>` and trailers of the guest. Out: a [`RequestBody`]. Invariant: a body whose sender is gone (the guest crashed) breaks off and
//! is never taken for a whole one.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::Stream as _;
use futures::channel::mpsc;
use pluglet_egress::RequestBody;
use tokio::sync::oneshot;
use wasmtime::component::{Accessor, FutureReader, StreamReader};

use super::Headers;
use super::pipe::Outflow;
use crate::pump::Take;
use crate::state::State;

/// Bytes of a request's trailers, with what holding them costs. They wait until the body has been sent, which may take as long as the
/// request: a guest could otherwise leave `limits.hostcallBytes` with the host for each of its requests.
const MAX_TRAILERS_BYTES: usize = 64 << 10;

/// A body that a guest sends.
pub(super) struct GuestBody {
    chunks: mpsc::Receiver<Bytes>,
    trailers: oneshot::Receiver<Result<Headers, TooLong>>,
    /// The trailers, once they have come: they say that the body was whole.
    whole: Option<Headers>,
}

impl GuestBody {
    /// Let the guest's streams flow here.
    pub(super) fn connect<T: Send>(
        accessor: &Accessor<T, State>,
        body: StreamReader<u8>,
        trailers: FutureReader<Headers>,
    ) -> Self {
        let outflow = Outflow::channel();
        let (told, will_tell) = oneshot::channel();
        accessor.with(|mut access| {
            // Either fails only for a stream that is gone, and then the body breaks off.
            let _ = body.pipe(&mut access, outflow.consumer);
            let _ = trailers.pipe(&mut access, Take::new(told, bounded));
        });
        Self { chunks: outflow.chunks, trailers: will_tell, whole: None }
    }
}

/// The guest is gone, or forgot its trailers: nobody knows whether that was all.
#[derive(Debug, thiserror::Error)]
#[error("the provider broke the body off")]
struct BrokenOff;

/// More trailers than may wait. A request without them would look whole, so it is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the provider's trailers have more than {MAX_TRAILERS_BYTES} bytes, so the body is broken off")]
struct TooLong;

/// The trailers, if they may wait.
fn bounded(trailers: Headers) -> Result<Headers, TooLong> {
    let cost = |(name, value): &(String, String)| size_of::<(String, String)>() + name.len() + value.len();
    if trailers.iter().map(cost).sum::<usize>() > MAX_TRAILERS_BYTES { Err(TooLong) } else { Ok(trailers) }
}

impl RequestBody for GuestBody {
    fn poll_bytes(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Box<dyn std::error::Error + Send + Sync>>>> {
        if let Some(bytes) = ready!(Pin::new(&mut self.chunks).poll_next(cx)) {
            return Poll::Ready(Some(Ok(bytes)));
        }
        // A guest that ends its stream in order always tells trailers, if only empty ones.
        match ready!(Pin::new(&mut self.trailers).poll(cx)) {
            Ok(Ok(trailers)) => {
                self.whole = Some(trailers);
                Poll::Ready(None)
            }
            Ok(Err(too_long)) => Poll::Ready(Some(Err(too_long.into()))),
            Err(_) => Poll::Ready(Some(Err(BrokenOff.into()))),
        }
    }

    fn poll_trailers(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Headers> {
        Poll::Ready(self.whole.take().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    fn body(trailers: Headers) -> GuestBody {
        let (told, will_tell) = oneshot::channel();
        assert!(told.send(bounded(trailers)).is_ok());
        GuestBody { chunks: mpsc::channel(0).1, trailers: will_tell, whole: None }
    }

    #[tokio::test]
    async fn trailers_that_are_too_long_are_let_go_and_break_the_body_off() {
        let mut long = body(vec![("a".to_owned(), "b".repeat(MAX_TRAILERS_BYTES))]);
        let error = poll_fn(|cx| Pin::new(&mut long).poll_bytes(cx)).await.unwrap().unwrap_err();
        assert!(error.to_string().contains("65536 bytes"), "{error}");
        let mut short = body(vec![("a".to_owned(), "b".to_owned())]);
        assert!(poll_fn(|cx| Pin::new(&mut short).poll_bytes(cx)).await.is_none());
    }

    #[test]
    fn empty_trailers_are_not_free() {
        assert_eq!(bounded(vec![(String::new(), String::new()); 10_000]), Err(TooLong));
    }
}
