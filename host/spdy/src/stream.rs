//! One stream of a connection.
//!
//! In: bytes to send, what the peer sends. Out: the other. Invariant: a stream is answered before anything is sent on it, since peers drop what comes
//! earlier; what is sent on it arrives in order, its end included.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::frame::{Frame, Reset};
use crate::headers::Headers;

/// Largest piece of data that is sent at once: streams take turns.
const PIECE: usize = 32 * 1024;

/// What both directions of a stream share.
#[derive(Default)]
pub(crate) struct Life {
    /// The peer has ended both directions.
    pub(crate) reset: CancellationToken,
    /// The peer has said that it sends no more.
    finished: AtomicBool,
}

impl Life {
    pub(crate) fn finish(&self) {
        self.finished.store(true, Ordering::Release);
    }
}

/// A stream that the peer has opened, and that nobody has answered.
pub struct Opened {
    /// Its number: odd, and larger than that of the one before.
    pub id: u32,
    /// What the peer says of it.
    pub headers: Headers,
    ordered: mpsc::Sender<Frame>,
    unread: mpsc::Receiver<Bytes>,
    life: Arc<Life>,
}

/// The bytes that the peer sends on a stream. Dropping it drops what comes later.
pub struct Reader {
    unread: mpsc::Receiver<Bytes>,
    life: Arc<Life>,
}

/// Sends bytes on a stream. Dropping it ends nothing: see [`Writer::finish`] and [`Writer::reset`].
#[derive(Clone)]
pub struct Writer {
    id: u32,
    ordered: mpsc::Sender<Frame>,
    life: Arc<Life>,
}

/// The peer has reset the stream, or the connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the other side has closed the stream")]
pub struct Closed;

impl Opened {
    pub(crate) fn new(
        id: u32,
        headers: Headers,
        ordered: mpsc::Sender<Frame>,
        unread: mpsc::Receiver<Bytes>,
        life: Arc<Life>,
    ) -> Self {
        Self { id, headers, ordered, unread, life }
    }

    /// Answers it.
    ///
    /// # Errors
    /// When it is not there any more.
    pub async fn accept(self) -> Result<(Reader, Writer), Closed> {
        let Self { id, ordered, unread, life, .. } = self;
        let writer = Writer { id, ordered, life: life.clone() };
        writer.queue(Frame::SynReply { stream: id, fin: false, headers: Headers::default() }).await?;
        Ok((Reader { unread, life }, writer))
    }

    /// Ends it instead.
    pub async fn reject(self, reset: Reset) {
        self.ordered.send(Frame::RstStream { stream: self.id, status: reset as u32 }).await.ok();
    }
}

impl Reader {
    /// The next bytes; None when the peer has sent its last. Cancel-safe.
    ///
    /// # Errors
    /// When the stream was reset, or the connection has ended before.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Closed> {
        tokio::select! {
            biased;
            // Cancel-safe: a token is not consumed.
            () = self.life.reset.cancelled() => Err(Closed),
            // Cancel-safe: mpsc receive.
            bytes = self.unread.recv() => match bytes {
                Some(bytes) => Ok(Some(bytes)),
                None if self.life.finished.load(Ordering::Acquire) => Ok(None),
                None => Err(Closed),
            },
        }
    }
}

impl Writer {
    /// Sends bytes, once there is room. Not cancel-safe: a part may have been sent.
    ///
    /// # Errors
    /// When the stream was reset, or the connection has ended.
    pub async fn send(&self, mut bytes: Bytes) -> Result<(), Closed> {
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(PIECE));
            self.queue(Frame::Data { stream: self.id, fin: false, bytes: piece }).await?;
        }
        Ok(())
    }

    /// Says that nothing more comes. The other direction stays open.
    ///
    /// # Errors
    /// As [`Writer::send`].
    pub async fn finish(&self) -> Result<(), Closed> {
        self.queue(Frame::Data { stream: self.id, fin: true, bytes: Bytes::new() }).await
    }

    /// Ends both directions, after what was sent.
    pub async fn reset(&self, reset: Reset) {
        self.queue(Frame::RstStream { stream: self.id, status: reset as u32 }).await.ok();
    }

    /// Resolves when the stream was reset. The end of the connection is found by sending.
    pub async fn closed(&self) {
        tokio::select! {
            // Cancel-safe: a token is not consumed.
            () = self.life.reset.cancelled() => {}
            // Cancel-safe: it only waits.
            () = self.ordered.closed() => {}
        }
    }

    async fn queue(&self, frame: Frame) -> Result<(), Closed> {
        tokio::select! {
            biased;
            // Cancel-safe: a token is not consumed.
            () = self.life.reset.cancelled() => Err(Closed),
            // Whichever frame is not queued was for a stream that is over.
            outcome = self.ordered.send(frame) => outcome.map_err(|_| Closed),
        }
    }
}
