//! A clock that a test moves.
//!
//! In: sleepers and jumps in time. Out: wake-ups in the order of their time. Invariant: time never moves by itself and never back.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// 2026-01-01T00:00:00Z.
const START_UNIX_NS: u64 = 1_767_225_600_000_000_000;

struct State {
    now_ns: u64,
    next_id: u64,
    /// Keyed by the time to wake and the order in which they went to sleep.
    sleepers: BTreeMap<(u64, u64), Waker>,
}

/// The virtual clock.
pub(super) struct Clock(RefCell<State>);

impl Default for Clock {
    fn default() -> Self {
        Self(RefCell::new(State { now_ns: START_UNIX_NS, next_id: 0, sleepers: BTreeMap::new() }))
    }
}

impl Clock {
    /// Nanoseconds since 1970.
    pub(super) fn now_ns(&self) -> u64 {
        self.0.borrow().now_ns
    }

    /// When the first sleeper wakes.
    pub(super) fn next_wake_ns(&self) -> Option<u64> {
        self.0.borrow().sleepers.first_key_value().map(|((at, _), _)| *at)
    }

    /// Move to a time and wake who has slept long enough. A time in the past changes nothing.
    pub(super) fn move_to(&self, ns: u64) {
        let woken = {
            let mut state = self.0.borrow_mut();
            let now = state.now_ns.max(ns);
            state.now_ns = now;
            let later = state.sleepers.split_off(&(now.saturating_add(1), 0));
            std::mem::replace(&mut state.sleepers, later)
        };
        woken.into_values().for_each(Waker::wake);
    }

    /// Forget all sleepers: their provider is gone.
    pub(super) fn forget_sleepers(&self) {
        self.0.borrow_mut().sleepers.clear();
    }

    /// Sleep until the clock has been moved this far.
    pub(super) async fn sleep_ms(&self, ms: u64) {
        let (until, id) = {
            let mut state = self.0.borrow_mut();
            state.next_id += 1;
            (state.now_ns.saturating_add(ms.saturating_mul(1_000_000)), state.next_id)
        };
        let _asleep = Asleep { clock: self, key: (until, id) };
        poll_fn(|context| {
            let mut state = self.0.borrow_mut();
            if state.now_ns >= until {
                return Poll::Ready(());
            }
            state.sleepers.insert((until, id), context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// Takes a sleeper off the list when its future is dropped, so that time does not stop for nobody.
struct Asleep<'a> {
    clock: &'a Clock,
    key: (u64, u64),
}

impl Drop for Asleep<'_> {
    fn drop(&mut self) {
        self.clock.0.borrow_mut().sleepers.remove(&self.key);
    }
}
