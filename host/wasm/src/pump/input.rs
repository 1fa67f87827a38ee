//! From a channel of the host into a stream of the guest.
//!
//! In: chunks or items in a bounded channel. Out: `stream<T>` of the guest. Invariant: no more is taken from the channel than the guest reads; a
//! guest that drops its end drops the receiver.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use futures::stream::{BoxStream, StreamExt as _};
use tokio::sync::mpsc;
use wasmtime::StoreContextMut;
use wasmtime::component::{Destination, Lower, StreamProducer, StreamResult};

/// What did not fit into the guest's last read.
#[derive(Default)]
pub(crate) struct Rest(Bytes);

impl Rest {
    /// One answer to a guest that reads: as many bytes as it has room for, straight into its memory, of what is left or else of what `next`
    /// gives. None of `next` is the end.
    pub(crate) fn produce<D>(
        &mut self,
        store: StoreContextMut<'_, D>,
        destination: Destination<'_, u8, Option<u8>>,
        finish: bool,
        mut next: impl FnMut() -> Poll<Option<Bytes>>,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        while self.0.is_empty() {
            match next() {
                Poll::Ready(Some(bytes)) => self.0 = bytes,
                Poll::Ready(None) => return Poll::Ready(Ok(StreamResult::Dropped)),
                // The guest takes its read back; nothing was taken from where the bytes come from.
                Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
                Poll::Pending => return Poll::Pending,
            }
        }
        let mut direct = destination.as_direct(store, self.0.len());
        let room = direct.remaining();
        let count = room.len().min(self.0.len());
        self.0.copy_to_slice(room.split_at_mut(count).0);
        direct.mark_written(count);
        Poll::Ready(Ok(StreamResult::Completed))
    }
}

/// Bytes that come in chunks.
pub(crate) struct FromChunks {
    chunks: mpsc::Receiver<Bytes>,
    rest: Rest,
}

impl FromChunks {
    pub(crate) fn new(chunks: mpsc::Receiver<Bytes>) -> Self {
        Self { chunks, rest: Rest::default() }
    }
}

impl<D: 'static> StreamProducer<D> for FromChunks {
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
        let Self { chunks, rest } = self.get_mut();
        rest.produce(store, destination, finish, || chunks.poll_recv(cx))
    }
}

/// Items, each through `convert`.
pub(crate) struct FromItems<T, U> {
    items: BoxStream<'static, T>,
    convert: fn(T) -> U,
}

impl<T, U> FromItems<T, U> {
    pub(crate) fn new(items: BoxStream<'static, T>, convert: fn(T) -> U) -> Self {
        Self { items, convert }
    }
}

impl<D, T, U> StreamProducer<D> for FromItems<T, U>
where
    D: 'static,
    T: Send + 'static,
    U: Lower + Send + Sync + 'static,
{
    type Item = U;
    type Buffer = Option<U>;

    fn poll_produce<'a>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'a, D>,
        mut destination: Destination<'a, U, Self::Buffer>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        if destination.remaining(&mut store) == Some(0) {
            // The guest only asks whether something is there; it will see when it reads.
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let this = self.get_mut();
        match this.items.poll_next_unpin(cx) {
            Poll::Ready(Some(item)) => {
                destination.set_buffer(Some((this.convert)(item)));
                Poll::Ready(Ok(StreamResult::Completed))
            }
            Poll::Ready(None) => Poll::Ready(Ok(StreamResult::Dropped)),
            Poll::Pending if finish => Poll::Ready(Ok(StreamResult::Cancelled)),
            Poll::Pending => Poll::Pending,
        }
    }
}
