//! Bytes of a peer, on their way to the guest.
//!
//! In: the body of an answer, or an upgraded connection. Out: `stream<u8>` of the guest, and the future that says how it ended. Invariant:
//! the peer is read only as far as the guest reads; the end is told once.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use pluglet_egress::{AnswerBody, Error, Piece, Reader};
use tokio::sync::oneshot;
use wasmtime::StoreContextMut;
use wasmtime::component::{Destination, StreamProducer, StreamResult};

use super::Headers;
use crate::bindings::pluglet::provider::http::HttpError;
use crate::pump::Rest;

/// What comes next from a peer.
pub(super) enum Next {
    /// Bytes, at least one.
    Bytes(Bytes),
    /// The end, with trailers where there are any; or why it is none.
    End(Result<Headers, Error>),
}

/// Where bytes for a guest come from.
pub(super) trait Origin: Send + Unpin + 'static {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next>;
}

impl Origin for AnswerBody {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        Self::poll_next(self, cx).map(|piece| match piece {
            Some(Ok(Piece::Bytes(bytes))) => Next::Bytes(bytes),
            Some(Ok(Piece::Trailers(trailers))) => Next::End(Ok(trailers)),
            Some(Err(failure)) => Next::End(Err(failure)),
            None => Next::End(Ok(Headers::new())),
        })
    }
}

impl Origin for Reader {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        Self::poll_next(self, cx).map(|bytes| match bytes {
            Some(Ok(bytes)) => Next::Bytes(bytes),
            Some(Err(failure)) => Next::End(Err(failure)),
            None => Next::End(Ok(Headers::new())),
        })
    }
}

/// The bytes of an [`Origin`], as a stream of the guest.
pub(super) struct Inflow<O> {
    origin: O,
    rest: Rest,
    ending: Option<Ending>,
}

impl<O: Origin> Inflow<O> {
    pub(super) fn new(origin: O, ending: Ending) -> Self {
        Self { origin, rest: Rest::default(), ending: Some(ending) }
    }
}

impl<D: 'static, O: Origin> StreamProducer<D> for Inflow<O> {
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
        let Self { origin, rest, ending } = self.get_mut();
        rest.produce(store, destination, finish, || {
            origin.poll_next(cx).map(|next| match next {
                Next::Bytes(bytes) => Some(bytes),
                Next::End(outcome) => {
                    if let Some(ending) = ending.take() {
                        ending.tell(outcome);
                    }
                    None
                }
            })
        })
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
    fn tell(self, outcome: Result<Headers, Error>) {
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
