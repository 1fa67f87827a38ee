//! How many Kubernetes events a provider may tell.
//!
//! In: events about pods. Out: whether one goes on. Invariant: so many in a minute about one pod, and no more pods in a minute than are
//! remembered: a provider that invents pods gets no more by it. Pure but for the counter.

use std::collections::HashMap;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use tokio::time::Instant;
use tracing::warn;

const WINDOW: Duration = Duration::from_secs(60);

/// Pods that are remembered: ten times what a node has.
const MAX_PODS: usize = 4096;

/// Counts for each pod in the present minute.
#[derive(Debug)]
pub(crate) struct Notes {
    per_minute: u32,
    window: Option<Instant>,
    told: HashMap<String, u32>,
    dropped: Counter,
    warned: bool,
}

impl Notes {
    pub(crate) fn new(per_minute: u32, dropped: Counter) -> Self {
        Self { per_minute, window: None, told: HashMap::new(), dropped, warned: false }
    }

    /// Whether another event about that pod goes on.
    pub(super) fn admit(&mut self, uid: &str, now: Instant) -> bool {
        if self.window.is_none_or(|window| now.duration_since(window) >= WINDOW) {
            self.window = Some(now);
            self.told.clear();
            self.warned = false;
        }
        let room = self.told.len() < MAX_PODS;
        let admitted = match self.told.get_mut(uid) {
            Some(told) => {
                *told = told.saturating_add(1);
                *told <= self.per_minute
            }
            None if room => {
                self.told.insert(uid.to_owned(), 1);
                self.per_minute > 0
            }
            None => false,
        };
        if !admitted {
            self.dropped.inc();
            if !std::mem::replace(&mut self.warned, true) {
                warn!(
                    "the provider tells more events than it may (limits.events); the rest of this minute's are dropped"
                );
            }
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_has_so_many_events_in_a_minute_and_others_are_not_touched() {
        let now = Instant::now();
        let mut notes = Notes::new(5, Counter::default());
        assert_eq!((0..100).filter(|_| notes.admit("a", now)).count(), 5);
        assert!(notes.admit("b", now));
        assert_eq!(notes.dropped.get(), 95);
        assert!(notes.admit("a", now + WINDOW));
    }

    #[test]
    fn invented_pods_do_not_help() {
        let now = Instant::now();
        let mut notes = Notes::new(5, Counter::default());
        let admitted = (0..100_000).filter(|n| notes.admit(&n.to_string(), now)).count();
        assert_eq!(admitted, MAX_PODS);
    }
}
