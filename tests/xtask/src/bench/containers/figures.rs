//! What is measured in one round of one subject, and medians over rounds.
//!
//! In: moments and CPU times. Out: [`Round`]s, all times in seconds, all memory in MiB.

use std::time::{Duration, Instant};

use super::super::stats;
use super::calls::Calls;

/// Who drives the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// This program, with nothing but the calls that a pod needs.
    Direct,
    Pluglet,
}

/// Many pods at once: created, or deleted.
#[derive(Debug, Clone, Default)]
pub(super) struct Burst {
    /// From the first request to the end of the last pod's.
    pub(super) last: f64,
    /// From each pod's own request to its end.
    pub(super) p50: f64,
    pub(super) engine_cpu: f64,
    /// How many cores all others used meanwhile, this program and the API server too.
    pub(super) others: f64,
    /// pluglet's.
    pub(super) own_cpu: Option<f64>,
    pub(super) calls: Calls,
}

/// What pluglet is besides.
#[derive(Debug, Clone, Copy)]
pub(super) struct Own {
    pub(super) memory_before: f64,
    pub(super) memory_with: f64,
}

/// CPU time for each second in which nothing happens.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Idle {
    pub(super) engine: f64,
    pub(super) own: Option<f64>,
}

/// Everything of one round.
#[derive(Debug, Clone)]
pub(super) struct Round {
    pub(super) side: Side,
    /// One pod at a time, p50.
    pub(super) alone: f64,
    pub(super) alone_delete: f64,
    pub(super) create: Burst,
    pub(super) delete: Burst,
    pub(super) idle: Idle,
    pub(super) own: Option<Own>,
}

/// One pod's beginning and end of what is measured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) from: Instant,
    pub(super) to: Instant,
}

impl Span {
    fn took(&self) -> f64 {
        self.to.saturating_duration_since(self.from).as_secs_f64()
    }
}

/// The median.
pub(super) fn p50(spans: &[Span]) -> f64 {
    stats::percentile(&spans.iter().map(Span::took).collect::<Vec<f64>>(), 50)
}

/// From the first beginning to the last end.
pub(super) fn whole(spans: &[Span]) -> f64 {
    let first = spans.iter().map(|span| span.from).min();
    let last = spans.iter().map(|span| span.to).max();
    first.zip(last).map_or(Duration::ZERO, |(first, last)| last.saturating_duration_since(first)).as_secs_f64()
}

/// The median over one side's rounds, if it has such a figure.
pub(super) fn median(rounds: &[Round], side: Side, value: impl Fn(&Round) -> Option<f64>) -> Option<f64> {
    let values: Vec<f64> = rounds.iter().filter(|round| round.side == side).filter_map(value).collect();
    (!values.is_empty()).then(|| stats::median(values))
}

/// How many times as much pluglet has as the direct calls of the same round: the median over rounds. What others do to the machine changes from minute
/// to minute, and does to the two of one round nearly the same.
pub(super) fn ratio(rounds: &[Round], value: impl Fn(&Round) -> Option<f64>) -> Option<f64> {
    let sides = |side| rounds.iter().filter(move |round| round.side == side);
    let pairs = sides(Side::Direct).zip(sides(Side::Pluglet));
    let ratios: Vec<f64> = pairs.filter_map(|(direct, pluglet)| Some(value(pluglet)? / value(direct)?)).collect();
    (!ratios.is_empty()).then(|| stats::median(ratios))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_lasts_from_the_first_beginning_to_the_last_end() {
        let from = Instant::now();
        let after = |seconds| from + Duration::from_secs(seconds);
        let spans = [Span { from, to: after(2) }, Span { from: after(1), to: after(5) }, Span { from, to: after(1) }];
        assert!((whole(&spans) - 5.0).abs() < f64::EPSILON);
        assert!((p50(&spans) - 2.0).abs() < f64::EPSILON);
        assert!(whole(&[]).abs() < f64::EPSILON);
    }
}
