//! One SPDY connection, from the side that accepts streams.
//!
//! In: a byte stream. Out: [`Incoming`] streams, each with a [`Reader`] and a [`Writer`]. Invariant: memory is bounded, by what
//! [`MOST_STREAMS`] streams may hold unread; a peer that is not read from, or does not read, is made to wait.
//!
//! The peers that Kubernetes has know no windows. The only way to make one wait is not to read its connection: a stream that nobody reads stops
//! all the others in the end.
//!
//! ```text
//!            ┌───────────┐ SYN_STREAM ┌──────────┐ accept ┌────────┐
//!  bytes ───►│ read loop ├───────────►│ Incoming ├───────►│ Reader │
//!            │           ├─ DATA ─────┼──────────┼───────►│        │
//!            └─────┬─────┘            └──────────┘        └────────┘
//!                  │ PING, RST_STREAM: overtake
//!            ┌─────▼──────┐                               ┌────────┐
//!  bytes ◄───┤ write loop │◄──── SYN_REPLY, DATA ─────────┤ Writer │
//!            └────────────┘                               └────────┘
//! ```

mod reading;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::SinkExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::codec::{FramedRead, FramedWrite};

use crate::frame::{Error, Frame, FrameDecoder, FrameEncoder};
use crate::stream::Opened;
use reading::Reading;

pub use reading::MOST_STREAMS;

/// Streams that wait to be accepted.
pub(crate) const WAITING: usize = 64;
/// Frames that wait to be written. A peer that sends pings and reads nothing is not read from any more once so many answers wait.
const UNWRITTEN: usize = 64;
/// Bytes that are gathered before they are written.
const GATHERED: usize = 64 * 1024;

/// Drives a connection. Nothing happens on it but while [`Connection::run`] is polled.
pub struct Connection<T> {
    io: T,
    reading: Reading,
    urgent: mpsc::Receiver<Frame>,
    ordered: mpsc::Receiver<Frame>,
    active: Active,
}

/// The streams that the peer opens, in order.
pub struct Incoming(mpsc::Receiver<Opened>);

impl Incoming {
    /// The next one; None once the connection has ended. Cancel-safe.
    pub async fn next(&mut self) -> Option<Opened> {
        self.0.recv().await
    }
}

/// How a connection ended that did not break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The peer has closed it.
    Closed,
    /// Nothing was sent in either direction for so long as was said.
    Idle,
}

impl<T: AsyncRead + AsyncWrite> Connection<T> {
    /// Takes a connection over, and ends it when nothing happens on it for `idle`.
    pub fn new(io: T, idle: Duration) -> (Self, Incoming) {
        let (incoming, streams) = mpsc::channel(WAITING);
        let (urgent, urgent_frames) = mpsc::channel(UNWRITTEN);
        let (ordered, ordered_frames) = mpsc::channel(UNWRITTEN);
        let active = Active { idle, last: Arc::new(Mutex::new(Instant::now())) };
        let reading = Reading::new(incoming, urgent, ordered);
        (Self { io, reading, urgent: urgent_frames, ordered: ordered_frames, active }, Incoming(streams))
    }

    /// Reads and writes until the peer closes the connection. Then all its streams are closed. Dropping the future ends them too.
    ///
    /// # Errors
    /// When the connection breaks, or the peer breaks a rule after which nothing more can be read.
    pub async fn run(self) -> Result<End, Error> {
        let Self { io, mut reading, urgent, ordered, active } = self;
        let (from, to) = tokio::io::split(io);
        let frames = FramedRead::new(from, FrameDecoder::default());
        tokio::select! {
            // What is lost of the others when one ends is lost with the connection.
            outcome = reading.run(frames, &active) => outcome.map(|()| End::Closed),
            outcome = write(to, urgent, ordered, &active) => outcome.map(|()| End::Closed),
            () = active.idle() => Ok(End::Idle),
        }
    }
}

/// Writes what there is, and then flushes.
async fn write(
    to: impl AsyncWrite + Unpin,
    mut urgent: mpsc::Receiver<Frame>,
    mut ordered: mpsc::Receiver<Frame>,
    active: &Active,
) -> Result<(), Error> {
    let mut frames = FramedWrite::new(to, FrameEncoder::default());
    frames.set_backpressure_boundary(GATHERED);
    loop {
        let frame = tokio::select! {
            biased;
            // Cancel-safe: mpsc receive.
            Some(frame) = urgent.recv() => frame,
            // Cancel-safe, likewise.
            Some(frame) = ordered.recv() => frame,
            else => return Ok(()),
        };
        frames.feed(frame).await?;
        while let Ok(frame) = urgent.try_recv().or_else(|_| ordered.try_recv()) {
            frames.feed(frame).await?;
            active.now();
        }
        frames.flush().await?;
        active.now();
    }
}

/// When something last happened.
#[derive(Clone)]
struct Active {
    idle: Duration,
    last: Arc<Mutex<Instant>>,
}

impl Active {
    fn now(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Ends when nothing has happened for long enough.
    async fn idle(&self) {
        loop {
            let end = *self.last.lock().unwrap_or_else(PoisonError::into_inner) + self.idle;
            if end <= Instant::now() {
                return;
            }
            sleep_until(end).await;
        }
    }
}

#[cfg(test)]
mod tests;
