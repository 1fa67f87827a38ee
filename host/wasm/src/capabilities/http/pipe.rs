//! Raw bytes of upgraded connections, and of bodies on their way out.
//!
//! In: `stream<u8>` of the guest, a connection. Out: the same on the other side. Invariant: the guest's write waits while two chunks are
//! under way; its end closes that direction of the connection and nothing else.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::StreamExt as _;
use futures::channel::mpsc;
use pluglet_egress::{Reader, Writer};
use wasmtime::StoreContextMut;
use wasmtime::component::{Destination, Source, StreamConsumer, StreamProducer, StreamResult};

use super::body::{Ending, hand_over};

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

/// What the connection sends, as a stream of the guest.
pub(super) struct Bytewise {
    reader: Reader,
    rest: Bytes,
    ending: Option<Ending>,
}

impl Bytewise {
    pub(super) fn new(reader: Reader, ending: Ending) -> Self {
        Self { reader, rest: Bytes::new(), ending: Some(ending) }
    }
}

impl<D: 'static> StreamProducer<D> for Bytewise {
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
            let outcome = match stream.reader.poll_next(cx) {
                Poll::Ready(Some(Ok(bytes))) => {
                    stream.rest = bytes;
                    None
                }
                Poll::Ready(Some(Err(failure))) => Some(Err(failure)),
                Poll::Ready(None) => Some(Ok(Vec::new())),
                Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
                Poll::Pending => return Poll::Pending,
            };
            if let Some(outcome) = outcome {
                if let Some(ending) = stream.ending.take() {
                    ending.tell(outcome);
                }
                return Poll::Ready(Ok(StreamResult::Dropped));
            }
        }
        hand_over(&mut stream.rest, store, destination);
        Poll::Ready(Ok(StreamResult::Completed))
    }
}
