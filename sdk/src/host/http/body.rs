//! Bodies that flow.
//!
//! In: chunks and trailers from one side. Out: the same on the other, in order and with back-pressure. Invariant: a body whose writer
//! goes away before its end is broken, never complete; one that is dropped makes its writer stop.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::SinkExt;
use futures::channel::mpsc;
use futures::stream::{self, LocalBoxStream, Stream, StreamExt};

use super::{Headers, HttpError};

/// A piece of a body on its way.
pub(crate) enum Frame {
    Data(Vec<u8>),
    /// The last piece of a body that is complete.
    Trailers(Headers),
}

/// A body, of a request or of an answer. Also a stream of its chunks; chunks have no meaning.
pub struct Body {
    /// None once it has ended.
    frames: Option<LocalBoxStream<'static, Result<Frame, HttpError>>>,
    trailers: Headers,
}

impl Body {
    /// Nothing.
    #[must_use]
    pub fn empty() -> Self {
        Self { frames: None, trailers: Headers::new() }
    }

    /// Any stream of chunks. An `Err` breaks the body off, and the exchange with it.
    pub fn from_stream(chunks: impl Stream<Item = Result<Vec<u8>, HttpError>> + 'static) -> Self {
        Self::from_frames(chunks.map(|chunk| chunk.map(Frame::Data)))
    }

    /// A pair: write into the one from a task of your own ([`crate::Host::spawn`]), send the other. `capacity` chunks are kept before
    /// the writer has to wait for the reader.
    #[must_use]
    pub fn channel(capacity: usize) -> (BodyWriter, Self) {
        let (sender, receiver) = mpsc::channel(capacity);
        let dropped = || Err(HttpError::Other("the body's writer was dropped before the end of the body".to_owned()));
        (BodyWriter(sender), Self::from_frames(receiver.chain(stream::once(async move { dropped() }))))
    }

    /// A channel that may end at any time, as a connection may.
    pub(crate) fn pipe() -> (BodyWriter, Self) {
        let (sender, receiver) = mpsc::channel(0);
        (BodyWriter(sender), Self::from_frames(receiver))
    }

    pub(crate) fn from_frames(frames: impl Stream<Item = Result<Frame, HttpError>> + 'static) -> Self {
        Self { frames: Some(frames.boxed_local()), trailers: Headers::new() }
    }

    /// The next chunk. None at the end of a body that is complete. A chunk that was not waited for to its end is not lost.
    ///
    /// # Errors
    /// Once, when the body broke off.
    pub async fn chunk(&mut self) -> Result<Option<Vec<u8>>, HttpError> {
        poll_fn(|context| self.poll_next_unpin(context)).await.transpose()
    }

    /// The trailers. Empty until [`Body::chunk`] has answered None.
    #[must_use]
    pub fn trailers(&self) -> &[(String, String)] {
        &self.trailers
    }

    /// The rest of the body.
    ///
    /// # Errors
    /// When the body breaks off, and [`HttpError::TooLarge`] when it has more than `max_bytes`.
    pub async fn collect(mut self, max_bytes: usize) -> Result<Vec<u8>, HttpError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if chunk.len() > max_bytes.saturating_sub(bytes.len()) {
                return Err(HttpError::TooLarge);
            }
            bytes.extend(chunk);
        }
        Ok(bytes)
    }
}

impl Stream for Body {
    type Item = Result<Vec<u8>, HttpError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(frames) = &mut self.frames else { return Poll::Ready(None) };
        let end = match ready!(frames.poll_next_unpin(context)) {
            Some(Ok(Frame::Data(chunk))) => return Poll::Ready(Some(Ok(chunk))),
            Some(Ok(Frame::Trailers(trailers))) => {
                self.trailers = trailers;
                None
            }
            Some(Err(error)) => Some(Err(error)),
            None => None,
        };
        self.frames = None;
        Poll::Ready(end)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("open", &self.frames.is_some()).finish_non_exhaustive()
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        if bytes.is_empty() { Self::empty() } else { Self::from_stream(stream::iter([Ok(bytes)])) }
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::from(text.into_bytes())
    }
}

impl From<&str> for Body {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

/// The writing end of a [`Body`], or of an upgraded connection.
///
/// A body needs [`BodyWriter::finish`]: a writer that is dropped without it, by a `?` for example, breaks the request off, so that the peer
/// does not take half of it for the whole. A connection just ends.
#[derive(Debug)]
pub struct BodyWriter(mpsc::Sender<Result<Frame, HttpError>>);

impl BodyWriter {
    /// Send a chunk, and wait while the reader is slow. False when nobody reads any more: stop writing.
    pub async fn send(&mut self, chunk: impl Into<Vec<u8>>) -> bool {
        self.0.send(Ok(Frame::Data(chunk.into()))).await.is_ok()
    }

    /// The body is complete.
    pub async fn finish(self) {
        self.finish_with(Headers::new()).await;
    }

    /// The body is complete, and these are its trailers.
    pub async fn finish_with(mut self, trailers: Headers) {
        // A reader that has left does not need to know.
        let _ = self.0.send(Ok(Frame::Trailers(trailers))).await;
    }

    /// Break the body off.
    pub async fn fail(mut self, error: HttpError) {
        let _ = self.0.send(Err(error)).await;
    }
}
