//! Bodies of `send`: from the guest to the way out, and back.
//!
//! In: `stream<u8>` and trailers of the guest; pieces of an answer. Out: the same on the other side. Invariant: a body whose sender is gone
//! (the guest crashed) breaks off and is never taken for a whole one; the end of an answer is told once, in the trailers.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use futures::Stream as _;
use futures::channel::mpsc;
use pluglet_egress::{AnswerBody, Error, Piece, RequestBody};
use tokio::sync::oneshot;
use wasmtime::StoreContextMut;
use wasmtime::component::{Accessor, Destination, FutureReader, StreamProducer, StreamReader, StreamResult};

use super::pipe::Outflow;
use crate::bindings::pluglet::provider::http::HttpError;
use crate::pump::Take;
use crate::state::State;

/// Headers as the contract has them.
type Headers = Vec<(String, String)>;

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

/// How a stream ended, on its way to the guest's future.
pub(super) struct Ending {
    endpoint: String,
    tell: oneshot::Sender<Result<Headers, HttpError>>,
}

/// The other end.
pub(super) struct Ended(oneshot::Receiver<Result<Headers, HttpError>>);

impl Ending {
    pub(super) fn channel(endpoint: String) -> (Self, Ended) {
        let (tell, told) = oneshot::channel();
        (Self { endpoint, tell }, Ended(told))
    }

    /// In order, or with an error. A guest that does not want to know is not an error.
    pub(super) fn tell(self, outcome: Result<Headers, Error>) {
        let _ = self.tell.send(outcome.map_err(|failure| super::error(&self.endpoint, failure)));
    }
}

impl Ended {
    /// For `streaming-response.trailers`.
    pub(super) async fn trailers(self) -> wasmtime::Result<Result<Headers, HttpError>> {
        // Without a word the guest itself has dropped the stream.
        Ok(self.0.await.unwrap_or_else(|_| Err(HttpError::Other("the body was not read to its end".to_owned()))))
    }

    /// For `connection.closed`.
    pub(super) async fn closed(self) -> wasmtime::Result<Result<(), HttpError>> {
        Ok(self.trailers().await?.map(drop))
    }
}

/// The body of an answer, as a stream of the guest.
pub(super) struct AnswerStream {
    body: AnswerBody,
    /// What did not fit into the guest's last read.
    rest: Bytes,
    ending: Option<Ending>,
}

impl AnswerStream {
    pub(super) fn new(body: AnswerBody, ending: Ending) -> Self {
        Self { body, rest: Bytes::new(), ending: Some(ending) }
    }

    fn end(&mut self, outcome: Result<Headers, Error>) -> StreamResult {
        if let Some(ending) = self.ending.take() {
            ending.tell(outcome);
        }
        StreamResult::Dropped
    }
}

impl<D: 'static> StreamProducer<D> for AnswerStream {
    type Item = u8;
    // Not used: bytes go straight into the guest's memory.
    type Buffer = Option<u8>;

    fn poll_produce<'a>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<'a, D>,
        destination: Destination<'a, u8, Self::Buffer>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let stream = self.get_mut();
        if stream.rest.is_empty() {
            match stream.body.poll_next(cx) {
                Poll::Ready(Some(Ok(Piece::Bytes(bytes)))) => stream.rest = bytes,
                Poll::Ready(Some(Ok(Piece::Trailers(trailers)))) => return Poll::Ready(Ok(stream.end(Ok(trailers)))),
                Poll::Ready(Some(Err(failure))) => return Poll::Ready(Ok(stream.end(Err(failure)))),
                Poll::Ready(None) => return Poll::Ready(Ok(stream.end(Ok(Headers::new())))),
                // The guest takes its read back; nothing was taken from the peer.
                Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
                Poll::Pending => return Poll::Pending,
            }
        }
        hand_over(&mut stream.rest, store, destination);
        Poll::Ready(Ok(StreamResult::Completed))
    }
}

/// As many bytes as the guest has room for, straight into its memory.
pub(super) fn hand_over<D: 'static>(
    rest: &mut Bytes,
    store: StoreContextMut<'_, D>,
    destination: Destination<'_, u8, Option<u8>>,
) {
    let mut direct = destination.as_direct(store, rest.len());
    let room = direct.remaining();
    let count = room.len().min(rest.len());
    rest.copy_to_slice(room.split_at_mut(count).0);
    direct.mark_written(count);
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
