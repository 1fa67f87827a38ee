//! The body of a request that flows.
//!
//! In: a [`RequestBody`] of a provider. Out: a body as the HTTP stack wants it. Invariant: trailers that may not be sent, or that nobody
//! announced, break the request off; so does the end of the exchange: no request outlives the answer that was waited for.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use hyper::body::{Body, Frame};
use tokio::sync::oneshot;

use crate::endpoint::BoxError;
use crate::header::{self, HeaderError};

/// A request's body as it comes from a provider: bytes, then trailers as pairs.
pub trait RequestBody: Send + 'static {
    /// The next bytes; None at the end. An error breaks the request off.
    fn poll_bytes(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BoxError>>>;
    /// The trailers, asked for after the end.
    fn poll_trailers(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Vec<(String, String)>>;
}

/// Trailers that a provider may not send. Travels through hyper as the body's error.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct TrailersRefused(pub(crate) HeaderError);

/// Nobody waits for the answer any more.
#[derive(Debug, thiserror::Error)]
#[error("the exchange is over")]
struct Over;

/// Says that the answer is still wanted, until it is dropped.
pub(crate) type Wanted = oneshot::Sender<Infallible>;

/// A provider's body as hyper wants it.
pub(crate) struct Outflow<B> {
    body: Pin<Box<B>>,
    owned: Vec<HeaderName>,
    announced: Vec<HeaderName>,
    /// HTTP/2 would go on reading the body after answer and place are gone.
    over: oneshot::Receiver<Infallible>,
    state: State,
}

enum State {
    Bytes,
    Trailers,
    Done,
}

impl<B: RequestBody> Outflow<B> {
    /// `owned` are the headers of the credential, `head` those of the request.
    pub(crate) fn new(body: B, owned: &[HeaderName], head: &HeaderMap) -> (Self, Wanted) {
        let (wanted, over) = oneshot::channel();
        let announced = header::announced(head);
        (Self { body: Box::pin(body), owned: owned.to_vec(), announced, over, state: State::Bytes }, wanted)
    }

    fn trailers(&self, pairs: &[(String, String)]) -> Result<HeaderMap, HeaderError> {
        let trailers = header::trailers(pairs, &self.owned)?;
        match trailers.keys().find(|name| !self.announced.contains(name)) {
            // HTTP/1.1 would leave them out without a word.
            Some(name) => Err(HeaderError::Unannounced(name.clone())),
            None => Ok(trailers),
        }
    }
}

impl<B: RequestBody> Body for Outflow<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let outflow = self.get_mut();
        if !matches!(outflow.state, State::Done) && Pin::new(&mut outflow.over).poll(cx).is_ready() {
            outflow.state = State::Done;
            return Poll::Ready(Some(Err(Over.into())));
        }
        if matches!(outflow.state, State::Bytes) {
            let bytes = ready!(outflow.body.as_mut().poll_bytes(cx));
            match bytes {
                Some(bytes) => {
                    if bytes.is_err() {
                        outflow.state = State::Done;
                    }
                    return Poll::Ready(Some(bytes.map(Frame::data)));
                }
                None => outflow.state = State::Trailers,
            }
        }
        if matches!(outflow.state, State::Done) {
            return Poll::Ready(None);
        }
        let pairs = ready!(outflow.body.as_mut().poll_trailers(cx));
        outflow.state = State::Done;
        if pairs.is_empty() {
            return Poll::Ready(None);
        }
        let trailers = outflow.trailers(&pairs);
        Poll::Ready(Some(trailers.map(Frame::trailers).map_err(|refused| TrailersRefused(refused).into())))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.state, State::Done)
    }
}
