//! Bytes of the guest in chunks.
//!
//! In: `stream<u8>` of the guest. Out: chunks in a bounded channel. Invariant: the guest's write waits while the channel is full, and ends with
//! "dropped" once the receiver is gone; what is under way is in the host's memory, two chunks for each stream.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::channel::mpsc;
use wasmtime::StoreContextMut;
use wasmtime::component::{Source, StreamConsumer, StreamResult};

/// Bytes that are taken from the guest at once.
const CHUNK_BYTES: usize = 64 << 10;

/// Takes the guest's bytes in chunks.
pub(crate) struct ToChunks(mpsc::Sender<Bytes>);

impl ToChunks {
    /// Into a channel of its own, or one that several streams share: their chunks arrive in the order in which they were written.
    pub(crate) fn new(sink: mpsc::Sender<Bytes>) -> Self {
        Self(sink)
    }
}

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
