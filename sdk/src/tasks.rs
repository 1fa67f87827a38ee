//! Background tasks of the provider.
//!
//! In: futures from [`crate::Host::spawn`]. Out: one future that runs them all. Invariant: a task lives as long as the incarnation,
//! not as long as the call that spawned it.

use std::cell::RefCell;
use std::future::poll_fn;
use std::task::{Poll, Waker};

use futures::future::LocalBoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};

/// Tasks that were spawned and not yet picked up.
#[derive(Default)]
pub(crate) struct Tasks {
    spawned: RefCell<Vec<LocalBoxFuture<'static, ()>>>,
    waker: RefCell<Option<Waker>>,
}

impl Tasks {
    /// Hand over a task.
    pub(crate) fn spawn(&self, task: LocalBoxFuture<'static, ()>) {
        self.spawned.borrow_mut().push(task);
        let waker = self.waker.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Run all tasks. Never ends.
    pub(crate) async fn run(&self) {
        let mut running = FuturesUnordered::new();
        poll_fn(|context| {
            loop {
                // The waker first: a task may spawn another one while it is polled.
                *self.waker.borrow_mut() = Some(context.waker().clone());
                running.extend(self.spawned.take());
                match running.poll_next_unpin(context) {
                    Poll::Ready(Some(())) => {}
                    Poll::Ready(None) | Poll::Pending if self.spawned.borrow().is_empty() => return Poll::Pending,
                    Poll::Ready(None) | Poll::Pending => {}
                }
            }
        })
        .await
    }
}
