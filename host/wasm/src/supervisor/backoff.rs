//! How long to wait before a provider is started again.
//!
//! In: how long it was up. Out: a delay. Invariant: 0.2 s at first, doubling to 30 s; from the start again once it was up for a minute.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(30);

/// An incarnation that lived for so long did not die of what the last one died of.
const HEALTHY_AFTER: Duration = Duration::from_secs(60);

/// The delays of one provider.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The delay after an incarnation that was up for `uptime` (zero when it never was). `asked` is how long the backend wants to be
    /// left alone; it can only lengthen the delay.
    pub(crate) fn next(&mut self, uptime: Duration, asked: Option<Duration>) -> Duration {
        if uptime >= HEALTHY_AFTER {
            self.failures = 0;
        }
        let delay = FIRST.saturating_mul(1 << self.failures.min(16)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        jittered(delay).max(asked.unwrap_or_default())
    }
}

/// 80–100 % of the delay: many hosts whose backend died together must not come back together.
fn jittered(delay: Duration) -> Duration {
    // The standard library's hasher has random keys; a better source of chance is not needed here.
    let chance = RandomState::new().hash_one(0) % 201;
    delay.saturating_sub(delay.saturating_mul(u32::try_from(chance).unwrap_or(0)) / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_range(delay: Duration, full_ms: u64) -> bool {
        let full = Duration::from_millis(full_ms);
        delay <= full && delay >= full * 79 / 100
    }

    #[test]
    fn delays_double_up_to_half_a_minute() {
        let mut backoff = Backoff::default();
        for full in [200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000] {
            let delay = backoff.next(Duration::ZERO, None);
            assert!(in_range(delay, full), "{delay:?} for {full} ms");
        }
    }

    #[test]
    fn a_minute_of_health_starts_the_delays_again() {
        let mut backoff = Backoff::default();
        backoff.next(Duration::ZERO, None);
        backoff.next(Duration::from_secs(59), None);
        assert!(in_range(backoff.next(Duration::from_secs(60), None), 200));
    }

    #[test]
    fn the_backends_wish_can_only_lengthen_the_delay() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.next(Duration::ZERO, Some(Duration::from_secs(90))), Duration::from_secs(90));
        assert!(in_range(backoff.next(Duration::ZERO, Some(Duration::from_millis(1))), 400));
    }
}
