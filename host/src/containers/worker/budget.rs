//! How many events one pod may cause.
//!
//! In: moments. Out: yes or no. Invariant: as many as a kubelet's recorder lets through for one object (`EventSourceObjectSpamFilter` in client-go): 25 at once, then
//! one in 5 minutes. A pod that fails for ever would otherwise write to the API server for ever.

use std::time::Duration;

use tokio::time::Instant;

const BURST: u32 = 25;
const EACH: Duration = Duration::from_secs(300);

/// What is left of it.
pub(super) struct Budget {
    left: u32,
    since: Instant,
}

impl Budget {
    pub(super) fn full(now: Instant) -> Self {
        Self { left: BURST, since: now }
    }

    /// Takes one, if there is one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        while self.left < BURST && now.duration_since(self.since) >= EACH {
            self.left += 1;
            self.since += EACH;
        }
        if self.left == BURST {
            self.since = now;
        }
        let taken = self.left > 0;
        self.left = self.left.saturating_sub(1);
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_has_twenty_five_events_and_then_one_in_five_minutes() {
        let begin = Instant::now();
        let mut budget = Budget::full(begin);
        assert_eq!((0..100).filter(|_| budget.take(begin)).count(), 25);
        assert!(!budget.take(begin + EACH - Duration::from_secs(1)));
        assert!(budget.take(begin + EACH) && !budget.take(begin + EACH));
        assert_eq!((0..100).filter(|_| budget.take(begin + EACH * 1000)).count(), 25);
    }
}
