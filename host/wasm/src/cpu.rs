//! How much CPU a provider may use.
//!
//! In: a future that runs guest code, a share. Out: the same future, which pauses while it is beyond its share. Invariant: over any long time
//! the guest has at most its share of one core; what it does not use it may save up to [`BURST`].
//!
//! The engine makes guest code give way every few milliseconds, so one poll is a short slice. Its cost is the thread's own CPU time, not
//! the clock's: on a busy machine a slice lasts longer than it costs. Asking for it takes a system call, which a guest that answers a
//! hundred thousand requests a second would feel; so short slices are taken by the clock, but for every sixteenth.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use pluglet_egress::Seldom;
use rustix::time::{ClockId, clock_gettime};
use tokio::time::{Instant, Sleep, sleep};
use tracing::warn;

use crate::metrics::ProviderMetrics;
use crate::vitals::Vitals;

/// CPU time that can be saved up: a provider that starts, lists thousands of pods or copies a file may go at full speed for so long.
const BURST: Duration = Duration::from_secs(5);

/// The longest pause. What a guest owes beyond it is forgiven: it was a machine that stood still, or a call that nobody could interrupt.
const LONGEST: Duration = Duration::from_secs(10);

/// The longest piece of a pause. At the end of each the incarnation shows a sign of life, or the watchdog would take the pause for a stall.
const LONGEST_PIECE: Duration = Duration::from_millis(20);

/// A share that is none: one incarnation cannot use more than one core.
const WHOLE_CORE: u32 = 1000;

/// A slice that is longer makes the next one be measured exactly.
const SHORT: Duration = Duration::from_micros(500);

/// One in so many short slices is measured exactly all the same.
const SAMPLED: u32 = 16;

/// Savings of CPU time.
#[derive(Debug)]
struct Budget {
    millicores: u32,
    /// Seconds; below zero when more was used than was there.
    saved: f64,
    last: Instant,
}

impl Budget {
    fn new(millicores: u32, now: Instant) -> Self {
        Self { millicores: millicores.max(1), saved: BURST.as_secs_f64(), last: now }
    }

    fn share(&self) -> f64 {
        f64::from(self.millicores) / f64::from(WHOLE_CORE)
    }

    /// Take what a slice has cost; gives back how long to pause.
    fn spend(&mut self, used: Duration, now: Instant) -> Option<Duration> {
        let earned = now.duration_since(self.last).as_secs_f64() * self.share();
        self.last = now;
        let owed = LONGEST.as_secs_f64() * self.share();
        self.saved = ((self.saved + earned).min(BURST.as_secs_f64()) - used.as_secs_f64()).max(-owed);
        (self.saved < 0.0 && self.millicores < WHOLE_CORE).then(|| Duration::from_secs_f64(-self.saved / self.share()))
    }
}

/// Runs a future within a share.
pub(crate) struct Metered<F> {
    inner: Pin<Box<F>>,
    budget: Budget,
    pause: Option<(Pin<Box<Sleep>>, Instant)>,
    vitals: Arc<Vitals>,
    metrics: ProviderMetrics,
    provider: String,
    told: Seldom,
    /// Slices until the next exact one.
    unmeasured: u32,
}

impl<F> Metered<F> {
    pub(crate) fn new(
        inner: F,
        millicores: u32,
        provider: &str,
        vitals: Arc<Vitals>,
        metrics: ProviderMetrics,
    ) -> Self {
        Self {
            inner: Box::pin(inner),
            budget: Budget::new(millicores, Instant::now()),
            pause: None,
            vitals,
            metrics,
            provider: provider.to_owned(),
            told: Seldom::default(),
            unmeasured: 0,
        }
    }

    /// Poll once, and tell what it cost.
    fn slice(&mut self, cx: &mut Context<'_>) -> (Poll<F::Output>, Duration)
    where
        F: Future,
    {
        let exact = (self.unmeasured == 0).then(thread_time);
        let began = std::time::Instant::now();
        let outcome = self.inner.as_mut().poll(cx);
        let clock = began.elapsed();
        self.unmeasured = if clock > SHORT { 0 } else { self.unmeasured.checked_sub(1).unwrap_or(SAMPLED) };
        let used = exact.map_or(clock, |before| thread_time().saturating_sub(before));
        (outcome, used)
    }

    fn tell(&mut self, now: Instant) {
        if self.told.admit(now).is_some() {
            warn!(
                provider = self.provider,
                share = %format_args!("{}m", self.budget.millicores),
                "the provider uses more CPU than its share and is slowed down (limits.cpu)"
            );
        }
    }
}

impl<F: Future> Future for Metered<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let metered = self.get_mut();
        while let Some((piece, since)) = &mut metered.pause {
            std::task::ready!(piece.as_mut().poll(cx));
            metered.metrics.was_throttled(since.elapsed());
            metered.vitals.beat();
            let now = Instant::now();
            metered.pause = metered.budget.spend(Duration::ZERO, now).map(|left| piece_of(left, now));
        }
        let (outcome, used) = metered.slice(cx);
        metered.metrics.used_cpu(used);
        let now = Instant::now();
        if outcome.is_pending()
            && let Some(pause) = metered.budget.spend(used, now)
        {
            metered.tell(now);
            // It is what wakes this task next; what the guest waits for is looked at after the pause.
            let (mut piece, since) = piece_of(pause, now);
            if piece.as_mut().poll(cx).is_pending() {
                metered.pause = Some((piece, since));
            }
        }
        outcome
    }
}

fn piece_of(pause: Duration, now: Instant) -> (Pin<Box<Sleep>>, Instant) {
    (Box::pin(sleep(pause.min(LONGEST_PIECE))), now)
}

/// CPU time of this thread.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLICE: Duration = Duration::from_millis(10);

    #[test]
    fn a_guest_that_always_computes_gets_its_share() {
        let start = Instant::now();
        let mut budget = Budget::new(250, start);
        let (mut now, mut used) = (start, Duration::ZERO);
        while now < start + Duration::from_secs(100) {
            used += SLICE;
            now += SLICE;
            now += budget.spend(SLICE, now).unwrap_or_default();
        }
        let expected = Duration::from_secs(25) + BURST;
        assert!(used > expected - Duration::from_secs(1) && used < expected + Duration::from_secs(1), "{used:?}");
    }

    #[test]
    fn a_guest_within_its_share_never_pauses() {
        let start = Instant::now();
        let mut budget = Budget::new(500, start);
        for second in 1..1000 {
            assert_eq!(budget.spend(Duration::from_millis(400), start + Duration::from_secs(second)), None);
        }
    }

    #[test]
    fn a_whole_core_is_no_limit() {
        let start = Instant::now();
        let mut budget = Budget::new(WHOLE_CORE, start);
        assert_eq!(budget.spend(Duration::from_secs(3600), start), None);
    }
}
