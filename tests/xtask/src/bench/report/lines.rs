//! The lines of the table: which figure of a round each shows, and what pluglet's should be.

use std::fmt;

use crate::bench::round::Round;

/// One line.
pub(super) struct Line {
    pub(super) title: &'static str,
    pub(super) digits: usize,
    pub(super) value: fn(&Round) -> Option<f64>,
    pub(super) aim: Option<Aim>,
}

/// What pluglet's figure should be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Aim {
    /// This part of the bare client's figure, or more.
    AtLeastOfBare(f64),
    /// This, or less.
    AtMost(f64),
}

impl fmt::Display for Aim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeastOfBare(part) => write!(f, ">= {part:.2} of bare"),
            Self::AtMost(most) => write!(f, "<= {most}"),
        }
    }
}

impl Aim {
    /// Whether `pluglet` is as it should be; empty where that can't be said.
    pub(super) fn verdict(self, pluglet: f64, bare: Option<f64>) -> &'static str {
        match (self, bare) {
            (Self::AtLeastOfBare(_), None) => "",
            (Self::AtLeastOfBare(part), Some(bare)) if pluglet >= part * bare => "met",
            (Self::AtMost(most), _) if pluglet <= most => "met",
            // On this machine nobody can.
            (Self::AtMost(most), Some(bare)) if bare > most => "missed, by bare too",
            _ => "MISSED",
        }
    }
}

/// All lines, from top to bottom.
pub(super) const LINES: [Line; 12] = [
    aimed("pods/s to Running", 0, |round| Some(round.running_per_s), Aim::AtLeastOfBare(0.8)),
    line("create to Running p50, ms", 0, |round| Some(round.start_p50_ms)),
    line("create to Running p99, ms", 0, |round| Some(round.start_p99_ms)),
    aimed("delete to gone p50, one at a time, ms", 0, |round| Some(round.lone_delete_p50_ms), Aim::AtMost(100.0)),
    line("pods/s gone", 0, |round| Some(round.gone_per_s)),
    aimed("delete to gone p50, burst, ms", 0, |round| Some(round.delete_p50_ms), Aim::AtMost(100.0)),
    line("delete to gone p99, burst, ms", 0, |round| Some(round.delete_p99_ms)),
    aimed("API calls per pod life", 2, |round| Some(round.calls_per_pod), Aim::AtMost(3.2)),
    aimed("API calls answered 4xx", 0, |round| round.calls_4xx.try_into().ok().map(u32::into), Aim::AtMost(0.0)),
    aimed("CPU per pod life, ms", 2, |round| round.cpu_ms_per_pod, Aim::AtMost(1.5)),
    line("RSS idle, MB", 0, |round| round.rss_idle_mb),
    line("RSS at peak, MB", 0, |round| round.rss_peak_mb),
];

const fn line(title: &'static str, digits: usize, value: fn(&Round) -> Option<f64>) -> Line {
    Line { title, digits, value, aim: None }
}

const fn aimed(title: &'static str, digits: usize, value: fn(&Round) -> Option<f64>, aim: Aim) -> Line {
    Line { title, digits, value, aim: Some(aim) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_aim_beside_bare_needs_bare() {
        assert_eq!(Aim::AtLeastOfBare(0.8).verdict(80.0, Some(100.0)), "met");
        assert_eq!(Aim::AtLeastOfBare(0.8).verdict(79.0, Some(100.0)), "MISSED");
        assert_eq!(Aim::AtLeastOfBare(0.8).verdict(79.0, None), "");
        assert_eq!(Aim::AtMost(3.2).verdict(3.3, None), "MISSED");
        assert_eq!(Aim::AtMost(3.2).verdict(3.3, Some(3.0)), "MISSED");
        assert_eq!(Aim::AtMost(3.2).verdict(3.3, Some(4.0)), "missed, by bare too");
        assert_eq!(Aim::AtMost(3.2).verdict(3.1, Some(4.0)), "met");
    }
}
