//! What has to happen later.
//!
//! In: times and what is due then. Out: what is due now. Invariant: there is a sleeper for the earliest time, and rarely more than one:
//! ten thousand pods cost the host one timer.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::channel::oneshot;
use pluglet_sdk::Host;

/// When something is due, and its number among all that was ever added.
pub(crate) type Key = (u64, u64);

/// Something that is due.
pub(crate) enum Due {
    /// The pod of that UID changes.
    Pod(String),
    /// Somebody waits for this time.
    Waiter(oneshot::Sender<()>),
}

/// All that is due later, by time and then by the order in which it was added.
#[derive(Default)]
pub(crate) struct Timers {
    due: RefCell<BTreeMap<Key, Due>>,
    added: Cell<u64>,
    /// When the sleepers under way wake.
    sleepers: RefCell<BTreeSet<u64>>,
}

impl Timers {
    /// Add something that is due at a time. The key takes it off again. Then see [`Timers::needs_sleeper`].
    pub(crate) fn add(&self, at_ns: u64, due: Due) -> Key {
        let key = (at_ns, self.added.get());
        self.added.set(key.1.wrapping_add(1));
        self.due.borrow_mut().insert(key, due);
        key
    }

    /// Take something off again.
    pub(crate) fn cancel(&self, key: Key) {
        self.due.borrow_mut().remove(&key);
    }

    /// Take what is due.
    pub(crate) fn take(&self, now_ns: u64) -> Vec<Due> {
        let mut due = self.due.borrow_mut();
        let later = due.split_off(&(now_ns.saturating_add(1), 0));
        std::mem::replace(&mut *due, later).into_values().collect()
    }

    /// The earliest time for which there is no sleeper yet. The caller sleeps until then.
    pub(crate) fn needs_sleeper(&self) -> Option<u64> {
        let (at_ns, _) = *self.due.borrow().first_key_value()?.0;
        let mut sleepers = self.sleepers.borrow_mut();
        if sleepers.first().is_some_and(|first| *first <= at_ns) {
            return None;
        }
        sleepers.insert(at_ns);
        Some(at_ns)
    }

    /// Sleep until the time that [`Timers::needs_sleeper`] gave.
    pub(crate) async fn sleep(&self, host: &Host, until_ns: u64) {
        host.sleep(Duration::from_nanos(until_ns.saturating_sub(host.now_unix_ns()))).await;
        self.sleepers.borrow_mut().remove(&until_ns);
    }
}
