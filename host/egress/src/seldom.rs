//! A warning that a provider can cause at will.
//!
//! In: occasions to warn. Out: whether to, and how many were passed over since the last time. Invariant: at most one in a minute, and the
//! next one tells of the others. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// A provider that does the same wrong thing as fast as it can would otherwise fill whatever stores the host's log, past the rate of its own lines.
const PAUSE: Duration = Duration::from_secs(60);

/// One kind of warning.
#[derive(Debug, Default)]
pub struct Seldom {
    last: Option<Instant>,
    untold: u64,
}

impl Seldom {
    /// Whether to warn now, and then how many warnings were left out before.
    pub fn admit(&mut self, now: Instant) -> Option<u64> {
        if self.last.is_some_and(|last| now.duration_since(last) < PAUSE) {
            self.untold = self.untold.saturating_add(1);
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_warning_a_minute_tells_of_the_others() {
        let now = Instant::now();
        let mut seldom = Seldom::default();
        let told: Vec<u64> = (0..1000).filter_map(|_| seldom.admit(now)).collect();
        assert_eq!(told, [0]);
        assert_eq!(seldom.admit(now + PAUSE), Some(999));
        assert_eq!(seldom.admit(now + PAUSE * 2), Some(0));
    }
}
