//! Restarts that probes ask for: which are owed, and when.
//!
//! In: a container that failed a probe, how the provider answers. Out: the container whose restart is due. Invariant: a container that fails again
//! and again is restarted ever less often, as on a kubelet; a restart that could not be made stays owed.

use std::collections::BTreeMap;
use std::future::pending;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::pods::state::{FIRST_RETRY, LONGEST_RETRY, exponential};

/// Before the second restart; doubles with each (`CrashLoopBackOff`: `initialBackOff` and `MaxContainerBackOff` in the kubelet).
const FIRST_BACK_OFF: Duration = Duration::from_secs(10);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(300);
/// A container that was not restarted for so long begins anew (`hasExpired` in client-go's `backoff.go`: twice the longest).
const CALM: Duration = Duration::from_secs(600);

/// What a pod's containers have had of restarts, and still are to get.
#[derive(Default)]
pub(super) struct Restarts {
    owed: BTreeMap<String, Owed>,
    made: BTreeMap<String, Made>,
}

struct Owed {
    grace: Duration,
    /// Why.
    message: String,
    /// How often the provider could not do it.
    failures: u32,
    due: Instant,
}

struct Made {
    last: Instant,
    /// In a row, without a calm time between two.
    count: u32,
}

impl Restarts {
    /// A container is to be restarted, with so much time to stop. Answers how long that has to wait.
    pub(super) fn owe(&mut self, container: &str, grace: Duration, message: String, now: Instant) -> Duration {
        self.made.retain(|_, made| now.duration_since(made.last) <= CALM);
        let made = self.made.get(container).map_or(0, |made| made.count);
        let pause = match made.checked_sub(1) {
            Some(doublings) => exponential(FIRST_BACK_OFF, LONGEST_BACK_OFF, doublings),
            None => Duration::ZERO,
        };
        self.owed.insert(container.to_owned(), Owed { grace, message, failures: 0, due: now + pause });
        pause
    }

    /// The same at once: somebody else paces it.
    pub(super) fn owe_at_once(&mut self, container: &str, grace: Duration, message: String, now: Instant) {
        self.owed.insert(container.to_owned(), Owed { grace, message, failures: 0, due: now });
    }

    /// The container whose restart is due next, when it is; for ever nothing where none is owed.
    pub(super) async fn due(&self) -> String {
        match self.owed.iter().min_by_key(|(_, owed)| owed.due) {
            Some((container, owed)) => {
                sleep_until(owed.due).await;
                container.clone()
            }
            None => pending().await,
        }
    }

    /// Another call is under way.
    pub(super) fn postpone(&mut self, container: &str, now: Instant) {
        if let Some(owed) = self.owed.get_mut(container) {
            owed.due = now + FIRST_RETRY;
        }
    }

    /// The provider is asked now: not due again before it has answered. Answers the time that the container has to stop.
    pub(super) fn begin(&mut self, container: &str, now: Instant) -> Option<Duration> {
        let owed = self.owed.get_mut(container)?;
        owed.due = now + LONGEST_RETRY;
        Some(owed.grace)
    }

    /// It was made. Answers why; None where it was not owed any more.
    pub(super) fn made(&mut self, container: &str, now: Instant) -> Option<String> {
        let owed = self.owed.remove(container);
        let made = self.made.entry(container.to_owned()).or_insert(Made { last: now, count: 0 });
        (made.last, made.count) = (now, made.count.saturating_add(1));
        owed.map(|owed| owed.message)
    }

    /// It could not be made. Answers when it is tried again; None where it is not owed any more.
    pub(super) fn failed(&mut self, container: &str, now: Instant) -> Option<Duration> {
        let owed = self.owed.get_mut(container)?;
        let pause = exponential(FIRST_RETRY, LONGEST_RETRY, owed.failures);
        owed.failures = owed.failures.saturating_add(1);
        owed.due = now + pause;
        Some(pause)
    }

    /// It will not be made.
    pub(super) fn forgive(&mut self, container: &str) {
        self.owed.remove(container);
    }

    /// Keeps only those that are still needed.
    pub(super) fn retain(&mut self, needed: impl Fn(&str) -> bool) {
        self.owed.retain(|container, _| needed(container));
    }

    /// The pod is being stopped, or does not run.
    pub(super) fn forgive_all(&mut self) {
        self.owed.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(7);

    #[test]
    fn restarts_wait_as_a_kubelets_do_and_a_calm_time_begins_anew() {
        let (mut restarts, mut now) = (Restarts::default(), Instant::now());
        let mut pauses = vec![];
        for _ in 0..8 {
            let pause = restarts.owe("c", GRACE, String::new(), now);
            pauses.push(pause.as_secs());
            now += pause;
            assert_eq!(restarts.begin("c", now), Some(GRACE));
            restarts.made("c", now);
        }
        assert_eq!(pauses, [0, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(restarts.owe("other", GRACE, String::new(), now), Duration::ZERO, "each container has its own");
        assert_eq!(restarts.owe("c", GRACE, String::new(), now + CALM + FIRST_RETRY), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_restart_that_could_not_be_made_is_tried_again_and_less_often() {
        let mut restarts = Restarts::default();
        restarts.owe("c", GRACE, String::new(), Instant::now());
        let mut pauses = vec![];
        for _ in 0..4 {
            let container = restarts.due().await;
            restarts.begin(&container, Instant::now());
            pauses.push(restarts.failed(&container, Instant::now()).unwrap().as_secs());
        }
        assert_eq!(pauses, [1, 2, 4, 8]);
        restarts.retain(|container| container != "c");
        assert_eq!(restarts.failed("c", Instant::now()), None, "it came back by itself meanwhile");
    }
}
