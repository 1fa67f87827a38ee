//! Bytes of the guest, on their way out.
//!
//! In: `stream<u8>` of the guest. Out: chunks, for a request's body or for an upgraded connection. Invariant: the guest's write waits while two
//! chunks are under way; its end closes that direction of a connection and nothing else.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::StreamExt as _;
use futures::channel::mpsc;
use pluglet_egress::Writer;
use wasmtime::StoreContextMut;
use wasmtime::component::{Source, StreamConsumer, StreamResult};

/// Bytes that are taken from the guest at once. What is on its way is in the host's memory: two chunks for each stream.
const CHUNK_BYTES: usize = 64 << 10;

/// From the guest to whoever takes the chunks.
pub(super) struct Outflow {
    /// For the guest's stream.
    pub(super) consumer: ToChunks,
    /// For the taker.
    pub(super) chunks: mpsc::Receiver<Bytes>,
}

impl Outflow {
    pub(super) fn channel() -> Self {
        // One more than its number: each sender has a place of its own.
        let (sink, chunks) = mpsc::channel(1);
        Self { consumer: ToChunks(sink), chunks }
    }
}

/// Takes the guest's bytes in chunks.
pub(super) struct ToChunks(mpsc::Sender<Bytes>);

impl<D: 'static> StreamConsumer<D> for ToChunks {
    type Item = u8;

    fn poll_consume(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<'_, D>,
        source: Source<'_, u8>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let sink = &mut self.get_mut().0;
        match sink.poll_ready(cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => return Poll::Ready(Ok(StreamResult::Dropped)),
            // The guest takes its write back; nothing was taken from it.
            Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
            Poll::Pending => return Poll::Pending,
        }
        let mut direct = source.as_direct(store);
        let given = direct.remaining();
        let chunk = Bytes::copy_from_slice(given.split_at(given.len().min(CHUNK_BYTES)).0);
        let taken = chunk.len();
        // An empty write only asks whether one would be taken.
        if taken > 0 && sink.start_send(chunk).is_err() {
            return Poll::Ready(Ok(StreamResult::Dropped));
        }
        direct.mark_read(taken);
        Poll::Ready(Ok(StreamResult::Completed))
    }
}

/// Write what the guest sends to the connection, then close that direction.
pub(super) async fn write_all(mut chunks: mpsc::Receiver<Bytes>, mut writer: Writer) {
    while let Some(chunk) = chunks.next().await {
        if writer.write(&chunk).await.is_err() {
            // The connection is gone: the reader tells why, and the guest's next write sees that nobody takes it.
            return;
        }
    }
    // As above.
    let _ = writer.finish().await;
}
