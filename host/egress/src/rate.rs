//! Requests per second of one endpoint.
//!
//! In: the rate. Out: a moment from which the next request may go. Invariant: over any second no more than twice the rate goes (the
//! burst and the rate itself); requests go in the order in which they asked; one that is given up takes nothing. The generic cell rate
//! algorithm (ITU-T I.371).

use std::num::NonZeroU32;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

#[derive(Debug)]
pub(crate) struct Rate {
    interval: Duration,
    /// When the bucket will be empty again. Locked by the one whose turn is next, while it waits.
    next: Mutex<Option<Instant>>,
}

/// How much may be asked for at once.
const BURST: Duration = Duration::from_secs(1);

impl Rate {
    pub(crate) fn new(per_second: NonZeroU32) -> Self {
        Self { interval: Duration::from_secs(1) / per_second.get(), next: Mutex::new(None) }
    }

    /// Wait for a turn. It is taken when it has come, not before: turns of callers that have given up meanwhile would add up to a debt that
    /// lets all later ones time out, too.
    pub(crate) async fn turn(&self) {
        let mut next = self.next.lock().await;
        let now = Instant::now();
        let due = next.unwrap_or(now).max(now);
        let burst = BURST.saturating_sub(self.interval);
        if due > now + burst {
            sleep_until(due.checked_sub(burst).unwrap_or(due)).await;
        }
        *next = Some(due + self.interval);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_goes_at_once_and_the_rest_at_the_rate() {
        let rate = Rate::new(NonZeroU32::new(10).unwrap());
        let start = Instant::now();
        for _ in 0..10 {
            rate.turn().await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        for _ in 0..20 {
            rate.turn().await;
        }
        let elapsed = start.elapsed();
        assert!((Duration::from_millis(1990)..Duration::from_millis(2100)).contains(&elapsed), "{elapsed:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_that_is_given_up_is_the_next_ones() {
        let rate = Rate::new(NonZeroU32::MIN);
        rate.turn().await;
        let start = Instant::now();
        for _ in 0..100 {
            assert!(tokio::time::timeout(Duration::from_millis(1), rate.turn()).await.is_err());
        }
        rate.turn().await;
        assert!(start.elapsed() <= Duration::from_millis(1100), "{:?}", start.elapsed());
    }
}
