//! From a stream of the guest into a channel of the host.
//!
//! In: `stream<T>`. Out: batches in a bounded channel. Invariant: the guest's write waits while the channel is full, and ends with
//! "dropped" once the receiver is gone; no more than one batch is lifted at a time, and what waits in the channel has been through
//! `convert`, which bounds it: what one lift may copy (`limits.hostcallBytes`) is far more than may wait.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::channel::mpsc;
use tokio::sync::oneshot;
use wasmtime::StoreContextMut;
use wasmtime::component::{FutureConsumer, Lift, Source, StreamConsumer, StreamResult};

mod bytes;
mod input;

pub(crate) use bytes::ToChunks;
pub(crate) use input::{FromChunks, FromItems, Rest};

/// Makes of one item of the guest what goes on: one, or several where it was too long for one.
type Convert<T, U> = fn(T, &mut VecDeque<U>);

/// What goes on at once where items are small: entering the host for each sixteen of them would cost more than they do.
pub(crate) struct Portion<U> {
    /// At most so many items.
    pub(crate) items: usize,
    /// At most so many bytes, unless one alone has more.
    pub(crate) bytes: usize,
    /// The bytes of one.
    pub(crate) weigh: fn(&U) -> usize,
    /// Makes a batch ready for another thread.
    pub(crate) pack: fn(Vec<U>) -> Vec<U>,
}

/// Pumps items, each through `convert`.
pub(crate) struct Pump<T, U, G> {
    sink: mpsc::Sender<Vec<U>>,
    /// Items that are taken from the guest at once: at first, and where they are large. Each batch is in the host's memory, and a guest of 1 MiB
    /// can make every item of it point at the same bytes.
    batch: usize,
    /// Items that are taken with the next write.
    take: usize,
    portion: Portion<U>,
    convert: Convert<T, U>,
    /// Taken and converted, more than fits into one batch. Empty whenever the guest's write is answered.
    held: VecDeque<U>,
    /// Dropped with the stream: what is counted for as long as it is open.
    _guard: G,
}

impl<T, U, G> Pump<T, U, G> {
    /// A pump into `sink`.
    pub(crate) fn new(sink: mpsc::Sender<Vec<U>>, batch: usize, convert: Convert<T, U>, guard: G) -> Self {
        let portion = Portion { items: batch, bytes: usize::MAX, weigh: |_| 0, pack: |batch| batch };
        Self { sink, batch, take: batch, portion, convert, held: VecDeque::new(), _guard: guard }
    }

    /// Takes more at once while items are small.
    pub(crate) fn portioned(mut self, portion: Portion<U>) -> Self {
        self.portion = portion;
        self
    }

    /// What was taken decides how much is taken next.
    fn learn(&mut self) {
        let taken: usize = self.held.iter().map(self.portion.weigh).sum();
        if taken > self.portion.bytes {
            self.take = self.batch;
        } else if taken <= self.portion.bytes / 4 {
            self.take = (self.take * 2).min(self.portion.items);
        }
    }

    /// How many of the items that are held go on together.
    fn together(&self) -> usize {
        let mut bytes: usize = 0;
        let fits = self.held.iter().take(self.portion.items).take_while(|item| {
            bytes = bytes.saturating_add((self.portion.weigh)(item));
            bytes <= self.portion.bytes
        });
        fits.count().max(1)
    }

    /// Hand on what is held, a batch at a time. `Pending` while the channel is full.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<StreamResult> {
        while !self.held.is_empty() {
            if ready!(self.sink.poll_ready(cx)).is_err() {
                return Poll::Ready(StreamResult::Dropped);
            }
            let batch = self.held.drain(..self.together()).collect();
            if self.sink.start_send((self.portion.pack)(batch)).is_err() {
                return Poll::Ready(StreamResult::Dropped);
            }
        }
        Poll::Ready(StreamResult::Completed)
    }
}

impl<D, T, U, G> StreamConsumer<D> for Pump<T, U, G>
where
    D: 'static,
    T: Lift + Send + 'static,
    U: Send + Unpin + 'static,
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
        // Taken from this write already, so it cannot be cancelled any more: a guest that tries waits for the receiver, as in its write.
        if !pump.held.is_empty() {
            return pump.poll_flush(cx).map(Ok);
        }
        match pump.sink.poll_ready(cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => return Poll::Ready(Ok(StreamResult::Dropped)),
            // The guest takes its write back; nothing was taken from it.
            Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
            Poll::Pending => return Poll::Pending,
        }
        let count = source.remaining(&mut store).min(pump.take);
        if count == 0 {
            // The guest only asks whether a write would be taken.
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let mut items = Vec::with_capacity(count);
        source.read(&mut store, &mut items)?;
        for item in items {
            (pump.convert)(item, &mut pump.held);
        }
        pump.learn();
        pump.poll_flush(cx).map(Ok)
    }
}

/// Takes the one value of a `future<T>`, through `convert`: it may wait long for who asked for it, and must be bounded by then.
pub(crate) struct Take<T, U> {
    sink: Option<oneshot::Sender<U>>,
    convert: fn(T) -> U,
}

impl<T, U> Take<T, U> {
    /// Takes it into `sink`.
    pub(crate) fn new(sink: oneshot::Sender<U>, convert: fn(T) -> U) -> Self {
        Self { sink: Some(sink), convert }
    }
}

impl<D, T, U> FutureConsumer<D> for Take<T, U>
where
    D: 'static,
    T: Lift + Send + 'static,
    U: Send + 'static,
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
        let take = self.get_mut();
        if let (Some(value), Some(sink)) = (value, take.sink.take()) {
            // Nobody waits for it any more: the user has left.
            let _ = sink.send((take.convert)(value));
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests;
