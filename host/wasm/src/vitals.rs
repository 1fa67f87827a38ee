//! Signs of life of one incarnation, seen from outside while it runs.
//!
//! In: beats and calls, told from inside the store's event loop. Out: what the watchdog and the post-mortem need. Invariant: a call is
//! listed from the moment it enters the component until it is answered; a crash leaves the list as it was.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::call::Kind;

/// How long after its deadline a call may stay inside the component. The caller has given up by then; a started call cannot be
/// cancelled, only dropped with all others. A minute of patience costs one place of 64.
const STUCK_AFTER: Duration = Duration::from_secs(60);

/// The signs of one incarnation.
#[derive(Debug, Default)]
pub(crate) struct Vitals {
    beats: AtomicU64,
    up_since: OnceLock<Instant>,
    calls: Mutex<Calls>,
}

#[derive(Debug, Default)]
struct Calls {
    next: u64,
    inside: BTreeMap<u64, Call>,
}

#[derive(Debug)]
struct Call {
    kind: Kind,
    uid: Option<Arc<str>>,
    since: Instant,
}

/// A call that does not end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stuck {
    /// Which function.
    pub(crate) call: &'static str,
    /// About which pod.
    pub(crate) uid: Option<Arc<str>>,
}

impl Vitals {
    /// The event loop went round.
    pub(crate) fn beat(&self) {
        self.beats.fetch_add(1, Ordering::Relaxed);
    }

    /// How often it went round.
    pub(crate) fn beats(&self) -> u64 {
        self.beats.load(Ordering::Relaxed)
    }

    /// The provider has answered `start`.
    pub(crate) fn is_up(&self) {
        // Told once; a second time would change nothing.
        let _ = self.up_since.set(Instant::now());
    }

    /// For how long it has been up; zero when it never was.
    pub(crate) fn uptime(&self) -> Duration {
        self.up_since.get().map_or(Duration::ZERO, Instant::elapsed)
    }

    /// A call enters the component.
    pub(crate) fn enter(&self, kind: Kind, uid: Option<Arc<str>>) -> u64 {
        let mut calls = self.calls();
        let id = calls.next;
        calls.next += 1;
        calls.inside.insert(id, Call { kind, uid, since: Instant::now() });
        id
    }

    /// A call was answered. Not called when the incarnation ends: what is listed then was in flight.
    pub(crate) fn leave(&self, id: u64) {
        self.calls().inside.remove(&id);
    }

    /// The pods whose calls are inside.
    pub(crate) fn in_flight(&self) -> Vec<Arc<str>> {
        self.calls().inside.values().filter_map(|call| call.uid.clone()).collect()
    }

    /// A call that is past its deadline and the patience after it.
    pub(crate) fn stuck(&self, now: Instant) -> Option<Stuck> {
        self.calls()
            .inside
            .values()
            .find(|call| now.duration_since(call.since) > call.kind.deadline + STUCK_AFTER)
            .map(|call| Stuck { call: call.kind.name, uid: call.uid.clone() })
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::{CREATE, LIST, STATUS};

    #[test]
    fn calls_are_in_flight_from_entering_until_leaving() {
        let vitals = Vitals::default();
        let first = vitals.enter(CREATE, Some("a".into()));
        vitals.enter(STATUS, Some("b".into()));
        vitals.enter(LIST, None);
        assert_eq!(vitals.in_flight(), ["a".into(), "b".into()] as [Arc<str>; 2]);
        vitals.leave(first);
        assert_eq!(vitals.in_flight(), ["b".into()] as [Arc<str>; 1]);
    }

    #[test]
    fn a_call_is_stuck_a_minute_after_its_deadline() {
        let vitals = Vitals::default();
        vitals.enter(CREATE, Some("slow".into()));
        vitals.enter(STATUS, Some("stuck".into()));
        let now = Instant::now();
        assert_eq!(vitals.stuck(now + Duration::from_secs(80)), None);
        let stuck = vitals.stuck(now + Duration::from_secs(100)).unwrap();
        assert_eq!((stuck.call, stuck.uid.as_deref()), ("status", Some("stuck")));
        assert_eq!(vitals.stuck(now + Duration::from_secs(200)).unwrap().call, "create");
    }
}
