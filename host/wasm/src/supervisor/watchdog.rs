//! Notices an incarnation that does not crash but does not work either.
//!
//! In: its vital signs. Out: the verdict. Invariant: it runs outside the store's event loop, because inside it would be held up by
//! the very thing it looks for; it never blames an incarnation for a pause of the whole machine.

use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};

use crate::vitals::{Stuck, Vitals};

/// Looks per stall time. A stall is as many looks in a row without a beat, not a difference of clocks: a machine that was suspended
/// or starved for a minute has skipped the looks as well.
const LOOKS: u32 = 4;

/// What is wrong.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The guest computes and does not give way.
    Stalled,
    /// A call does not end.
    Stuck(Stuck),
}

/// Wait until something is wrong. Holds no state that is lost when it is dropped.
pub(super) async fn watch(vitals: &Vitals, cpu_stall: Duration) -> Verdict {
    let mut look = interval((cpu_stall / LOOKS).max(Duration::from_millis(1)));
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = vitals.beats();
    let mut silent = 0;
    loop {
        look.tick().await;
        let beats = vitals.beats();
        if beats != last {
            last = beats;
            silent = 0;
        } else {
            silent += 1;
        }
        // The first look is at once, so one more than `LOOKS` makes up the whole time.
        if silent > LOOKS {
            return Verdict::Stalled;
        }
        if let Some(stuck) = vitals.stuck(Instant::now()) {
            return Verdict::Stuck(stuck);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    const STALL: Duration = Duration::from_secs(2);

    #[tokio::test(start_paused = true)]
    async fn silence_for_the_stall_time_is_a_stall() {
        let vitals = Vitals::default();
        assert_eq!(watch(&vitals, STALL).await, Verdict::Stalled);
    }

    #[tokio::test(start_paused = true)]
    async fn a_beating_incarnation_is_left_alone() {
        let vitals = Vitals::default();
        let mut watching = std::pin::pin!(watch(&vitals, STALL));
        for _ in 0..1000 {
            vitals.beat();
            tokio::time::advance(STALL / 8).await;
            assert_eq!(watching.as_mut().now_or_never(), None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_long_pause_of_everything_is_not_a_stall() {
        let vitals = Vitals::default();
        let mut watching = std::pin::pin!(watch(&vitals, STALL));
        assert_eq!(watching.as_mut().now_or_never(), None);
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(watching.as_mut().now_or_never(), None);
        vitals.beat();
        tokio::time::advance(STALL / LOOKS).await;
        assert_eq!(watching.as_mut().now_or_never(), None);
    }
}
