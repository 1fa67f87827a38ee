//! From a stream of the guest into a channel of the host.
//!
//! In: `stream<T>`. Out: batches in a bounded channel. Invariant: the guest's write waits while the channel is full, and ends with
//! "dropped" once the receiver is gone; no more than one batch is lifted at a time.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::channel::mpsc;
use tokio::sync::oneshot;
use wasmtime::StoreContextMut;
use wasmtime::component::{FutureConsumer, Lift, Source, StreamConsumer, StreamResult};

/// Items that are taken from the guest at once. Larger batches save little and are held in the host's memory: 64 log lines of 16 KiB
/// are a megabyte.
const BATCH: usize = 64;

/// Pumps items, each through `convert`.
pub(crate) struct Pump<T, U, G> {
    sink: mpsc::Sender<Vec<U>>,
    convert: fn(T) -> U,
    /// Dropped with the stream: what is counted for as long as it is open.
    _guard: G,
}

impl<T, U, G> Pump<T, U, G> {
    /// A pump into `sink`.
    pub(crate) fn new(sink: mpsc::Sender<Vec<U>>, convert: fn(T) -> U, guard: G) -> Self {
        Self { sink, convert, _guard: guard }
    }
}

impl<D, T, U, G> StreamConsumer<D> for Pump<T, U, G>
where
    D: 'static,
    T: Lift + Send + 'static,
    U: Send + 'static,
    G: Send + Unpin + 'static,
{
    type Item = T;

    fn poll_consume(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'_, D>,
        mut source: Source<'_, T>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let pump = self.get_mut();
        match pump.sink.poll_ready(cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => return Poll::Ready(Ok(StreamResult::Dropped)),
            // The guest takes its write back; nothing was taken from it.
            Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
            Poll::Pending => return Poll::Pending,
        }
        let count = source.remaining(&mut store).min(BATCH);
        if count == 0 {
            // The guest only asks whether a write would be taken.
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let mut items = Vec::with_capacity(count);
        source.read(&mut store, &mut items)?;
        match pump.sink.start_send(items.into_iter().map(pump.convert).collect()) {
            Ok(()) => Poll::Ready(Ok(StreamResult::Completed)),
            Err(_) => Poll::Ready(Ok(StreamResult::Dropped)),
        }
    }
}

/// Takes the one value of a `future<T>`.
pub(crate) struct Take<T>(Option<oneshot::Sender<T>>);

impl<T> Take<T> {
    /// Takes it into `sink`.
    pub(crate) fn new(sink: oneshot::Sender<T>) -> Self {
        Self(Some(sink))
    }
}

impl<D, T> FutureConsumer<D> for Take<T>
where
    D: 'static,
    T: Lift + Send + 'static,
{
    type Item = T;

    fn poll_consume(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        store: StoreContextMut<'_, D>,
        mut source: Source<'_, T>,
        _finish: bool,
    ) -> Poll<wasmtime::Result<()>> {
        let mut value: Option<T> = None;
        source.read(store, &mut value)?;
        if let (Some(value), Some(sink)) = (value, self.get_mut().0.take()) {
            // Nobody waits for it any more: the user has left.
            let _ = sink.send(value);
        }
        Poll::Ready(Ok(()))
    }
}
