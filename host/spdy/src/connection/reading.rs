//! The read loop of a connection.
//!
//! In: frames. Out: opened streams, bytes for their readers, answers. Invariant: a frame is looked at only when there is room for what follows
//! from the one before.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use tokio::io::AsyncRead;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::codec::FramedRead;

use super::Active;
use crate::frame::{Error, Frame, FrameDecoder, Reset};
use crate::headers::Headers;
use crate::stream::{Life, Opened};

/// Streams that are open at once. Without a limit a peer could open two thousand million, each with a queue.
pub const MOST_STREAMS: usize = 512;
/// Pieces of a stream that wait for their reader. A piece is at most what one read of the connection brought.
const UNREAD: usize = 16;
/// While nobody reads a stream its peer is not read either, and would not be seen to leave. A ping that it cannot get breaks the connection.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);
/// Pieces that are smaller are copied: each would keep the whole of what was read with it.
const SMALL: usize = 1024;
/// So many streams are remembered without asking whether they are still used.
const FEW: usize = 64;

/// What the read loop knows.
pub(super) struct Reading {
    incoming: mpsc::Sender<Opened>,
    urgent: mpsc::Sender<Frame>,
    ordered: mpsc::Sender<Frame>,
    streams: HashMap<u32, Stream>,
    /// The number of the last stream.
    last: u32,
    /// When that many are remembered, those that nobody uses any more are forgotten.
    forget_at: usize,
    /// The peer opens no more.
    going_away: bool,
}

/// A stream, as long as somebody uses it.
struct Stream {
    /// None once the peer has finished.
    data: Option<mpsc::Sender<Bytes>>,
    life: Weak<Life>,
}

impl Reading {
    pub(super) fn new(
        incoming: mpsc::Sender<Opened>,
        urgent: mpsc::Sender<Frame>,
        ordered: mpsc::Sender<Frame>,
    ) -> Self {
        let streams = HashMap::new();
        Self { incoming, urgent, ordered, streams, last: 0, forget_at: FEW, going_away: false }
    }

    /// Reads until the peer closes the connection. The streams that are left are closed then.
    pub(super) async fn run<R: AsyncRead + Unpin>(
        &mut self,
        mut frames: FramedRead<R, FrameDecoder>,
        active: &Active,
    ) -> Result<(), Error> {
        while let Some(frame) = frames.next().await {
            active.now();
            self.heard(frame?).await;
        }
        Ok(())
    }

    async fn heard(&mut self, frame: Frame) {
        match frame {
            Frame::SynStream { stream, fin, headers } => self.opened(stream, fin, headers).await,
            Frame::Data { stream, fin, bytes } => self.data(stream, fin, bytes).await,
            Frame::Headers { stream, fin } => self.data(stream, fin, Bytes::new()).await,
            Frame::RstStream { stream, .. } => {
                if let Some(life) = self.streams.remove(&stream).and_then(|stream| stream.life.upgrade()) {
                    life.reset.cancel();
                }
            }
            // An even one answers a ping of ours, and there is none.
            Frame::Ping(id) if id % 2 == 1 => self.answer(Frame::Ping(id)).await,
            Frame::GoAway => self.going_away = true,
            Frame::Ping(_) | Frame::SynReply { .. } | Frame::Ignored => {}
        }
    }

    async fn opened(&mut self, id: u32, fin: bool, headers: Headers) {
        if id.is_multiple_of(2) || id <= self.last {
            return self.reset(id, Reset::ProtocolError).await;
        }
        self.last = id;
        if self.streams.len() >= self.forget_at.min(MOST_STREAMS) {
            self.streams.retain(|_, stream| stream.life.strong_count() > 0);
            self.forget_at = (self.streams.len() * 2).max(FEW);
        }
        if self.going_away || self.streams.len() >= MOST_STREAMS {
            return self.reset(id, Reset::RefusedStream).await;
        }
        let (data, unread) = mpsc::channel(UNREAD);
        let life = Arc::new(Life::default());
        if fin {
            life.finish();
        }
        let stream = Stream { data: (!fin).then_some(data), life: Arc::downgrade(&life) };
        self.streams.insert(id, stream);
        let opened = Opened::new(id, headers, self.ordered.clone(), unread, life);
        if self.incoming.send(opened).await.is_err() {
            self.streams.remove(&id);
            self.reset(id, Reset::RefusedStream).await;
        }
    }

    /// Waits until there is room. What nobody reads any more is dropped, and so is what comes after a reset: it was on its way.
    async fn data(&mut self, id: u32, fin: bool, bytes: Bytes) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if let Some(data) = stream.data.as_ref().filter(|_| !bytes.is_empty()) {
            let bytes = if bytes.len() < SMALL { Bytes::copy_from_slice(&bytes) } else { bytes };
            loop {
                match timeout(SIGN_OF_LIFE, data.reserve()).await {
                    Ok(Ok(place)) => break place.send(bytes),
                    Ok(Err(_)) => break,
                    // Where answers wait already there is no need for more.
                    Err(_) => drop(self.urgent.try_send(Frame::Ping(2))),
                }
            }
        }
        if fin {
            if let Some(life) = stream.life.upgrade() {
                life.finish();
            }
            stream.data = None;
        }
    }

    async fn reset(&self, stream: u32, status: Reset) {
        self.answer(Frame::RstStream { stream, status: status as u32 }).await;
    }

    /// The write loop ends only with this one.
    async fn answer(&self, frame: Frame) {
        self.urgent.send(frame).await.ok();
    }
}
