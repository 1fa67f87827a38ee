//! What the provider tells unasked, waiting for the host to take it.
//!
//! In: reports. Out: batches of [`Event`]s in the order of their first report. Invariant: at most one status per UID waits, the
//! newest; the queue is bounded, and when it would overflow one `Resync` takes the place of everything in it.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::task::{Poll, Waker};

use crate::{NodeFacts, PodRef, Status};

/// Beyond this many waiting events the host is better off listing all pods again.
const MOST_WAITING: usize = 100_000;

/// Something that happened in the backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The whole present status of a pod.
    Status(PodRef, Status),
    /// The pod is stopped and removed.
    Gone(PodRef),
    /// Something worth telling the pod's owner, shown by `kubectl describe pod`.
    Pod(PodEvent),
    /// Something has become of a container or sandbox of this pod, by its id. Only of a [`crate::Runtime`].
    ContainerChanged(PodRef, String),
    /// The node's facts changed: all of them.
    Node(NodeFacts),
    /// Events may have been lost: the host lists all pods.
    Resync,
}

/// A Kubernetes event on a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodEvent {
    /// On which pod.
    pub pod: PodRef,
    /// `Warning` or `Normal`.
    pub warning: bool,
    /// UpperCamelCase, such as `Pulled`.
    pub reason: String,
    /// For people.
    pub message: String,
}

/// An event, or the place in the order of a status that is kept apart so that a newer one can take its place.
enum Waiting {
    StatusOf(String),
    Event(Event),
}

#[derive(Default)]
struct State {
    order: VecDeque<Waiting>,
    statuses: BTreeMap<String, (PodRef, Status)>,
    waker: Option<Waker>,
    reader: u64,
}

/// The queue between the provider and the stream that the host reads.
#[derive(Default)]
pub(crate) struct EventQueue(RefCell<State>);

impl EventQueue {
    /// Add an event; a status replaces the one of the same UID that still waits.
    pub(crate) fn push(&self, event: Event) {
        let mut state = self.0.borrow_mut();
        if state.order.len() >= MOST_WAITING {
            state.order.clear();
            state.statuses.clear();
            state.order.push_back(Waiting::Event(Event::Resync));
        }
        match event {
            Event::Status(pod, status) => {
                let uid = pod.uid.clone();
                if state.statuses.insert(uid.clone(), (pod, status)).is_none() {
                    state.order.push_back(Waiting::StatusOf(uid));
                }
            }
            event => state.order.push_back(Waiting::Event(event)),
        }
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Become the only reader: whoever read before is told to end.
    #[cfg_attr(
        not(any(target_arch = "wasm32", test)),
        expect(dead_code, reason = "the harness takes events without waiting")
    )]
    pub(crate) fn open(&self) -> u64 {
        let mut state = self.0.borrow_mut();
        state.reader += 1;
        let reader = state.reader;
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        reader
    }

    /// Wait for events and take at most `most` of them. None when another reader has taken over.
    #[cfg_attr(
        not(any(target_arch = "wasm32", test)),
        expect(dead_code, reason = "the harness takes events without waiting")
    )]
    pub(crate) async fn next_batch(&self, reader: u64, most: usize) -> Option<Vec<Event>> {
        poll_fn(|context| {
            let batch = {
                let mut state = self.0.borrow_mut();
                if state.reader != reader {
                    return Poll::Ready(None);
                }
                if state.order.is_empty() {
                    state.waker = Some(context.waker().clone());
                    return Poll::Pending;
                }
                state.take(most)
            };
            Poll::Ready(Some(batch))
        })
        .await
    }

    /// Take everything that waits.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn drain(&self) -> Vec<Event> {
        self.0.borrow_mut().take(usize::MAX)
    }
}

impl State {
    fn take(&mut self, most: usize) -> Vec<Event> {
        let count = most.min(self.order.len());
        let mut batch = Vec::with_capacity(count);
        for waiting in self.order.drain(..count) {
            match waiting {
                Waiting::Event(event) => batch.push(event),
                Waiting::StatusOf(uid) => {
                    batch.extend(self.statuses.remove(&uid).map(|(pod, status)| Event::Status(pod, status)));
                }
            }
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn a_reader_waits_for_events_and_takes_them_in_batches() {
        let queue = EventQueue::default();
        let reader = queue.open();
        let mut waiting = Box::pin(queue.next_batch(reader, 2));
        assert_eq!(waiting.as_mut().now_or_never(), None);
        for _ in 0..3 {
            queue.push(Event::Resync);
        }
        assert_eq!(waiting.now_or_never().flatten().map(|batch| batch.len()), Some(2));
        assert_eq!(queue.next_batch(reader, 2).now_or_never().flatten().map(|batch| batch.len()), Some(1));
    }

    #[test]
    fn a_new_reader_ends_the_one_before_it() {
        let queue = EventQueue::default();
        let first = queue.open();
        let second = queue.open();
        queue.push(Event::Resync);
        assert_eq!(queue.next_batch(first, 1).now_or_never(), Some(None));
        assert_eq!(queue.next_batch(second, 1).now_or_never(), Some(Some(vec![Event::Resync])));
    }
}
