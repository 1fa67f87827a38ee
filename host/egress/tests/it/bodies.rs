//! Bodies that a provider sends, as tests need them.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use pluglet_egress::{AnswerBody, Error, Piece, RequestBody};
use tokio::sync::mpsc;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Pairs = Vec<(String, String)>;

/// Pieces one after the other. None breaks off.
#[derive(Default)]
pub(crate) struct Pieces {
    pieces: VecDeque<Option<Bytes>>,
    trailers: Pairs,
    /// Whether the caller has had time to send what it has.
    waited: bool,
}

impl Pieces {
    pub(crate) fn of(pieces: &[&'static str]) -> Self {
        Self {
            pieces: pieces.iter().map(|piece| Some(Bytes::from_static(piece.as_bytes()))).collect(),
            ..Self::default()
        }
    }

    pub(crate) fn then_breaks_off(mut self) -> Self {
        self.pieces.push_back(None);
        self
    }

    pub(crate) fn trailer(mut self, name: &str, value: &str) -> Self {
        self.trailers.push((name.to_owned(), value.to_owned()));
        self
    }
}

impl RequestBody for Pieces {
    fn poll_bytes(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BoxError>>> {
        self.waited = !self.waited;
        if self.waited {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let piece = self.pieces.pop_front();
        Poll::Ready(piece.map(|piece| piece.ok_or_else(|| io::Error::other("broke off").into())))
    }

    fn poll_trailers(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Pairs> {
        Poll::Ready(std::mem::take(&mut self.trailers))
    }
}

/// The same piece for ever; counts how often it is asked.
pub(crate) struct Endless(pub(crate) Arc<AtomicUsize>);

impl Endless {
    pub(crate) const PIECE: usize = 64 << 10;
}

impl RequestBody for Endless {
    fn poll_bytes(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, BoxError>>> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Poll::Ready(Some(Ok(Bytes::from(vec![b'x'; Self::PIECE]))))
    }

    fn poll_trailers(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Pairs> {
        Poll::Ready(vec![])
    }
}

/// What a test sends while the request is under way. The end of the channel is the end of the body.
pub(crate) struct Piped(pub(crate) mpsc::UnboundedReceiver<Bytes>);

impl RequestBody for Piped {
    fn poll_bytes(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BoxError>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(Ok))
    }

    fn poll_trailers(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Pairs> {
        Poll::Ready(vec![])
    }
}

/// A body that the test feeds.
pub(crate) fn piped() -> (mpsc::UnboundedSender<Bytes>, Piped) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (sender, Piped(receiver))
}

/// All bytes of an answer and how it ended.
pub(crate) async fn whole(body: &mut AnswerBody) -> (Vec<u8>, Result<Pairs, Error>) {
    let mut bytes = Vec::new();
    loop {
        match body.next().await {
            Some(Ok(Piece::Bytes(piece))) => {
                assert!(!piece.is_empty());
                bytes.extend_from_slice(&piece);
            }
            Some(Ok(Piece::Trailers(trailers))) => return (bytes, Ok(trailers)),
            Some(Err(error)) => return (bytes, Err(error)),
            None => panic!("an end without trailers"),
        }
    }
}
