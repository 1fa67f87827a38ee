//! The log of a run.
//!
//! In: a script and a run. Out: its lines up to a time. Invariant: pure; lines are made when somebody reads them, so a log costs no
//! memory while it is written and is the same after a restart of the provider.

use pluglet_sdk::{LogLine, LogSource};

use crate::life::Run;
use crate::script::Script;

/// How much of a log is kept, in bytes; the oldest lines go first.
const KEPT_BYTES: usize = 256 << 10;
/// What puts a line on standard error.
const STDERR: &str = "stderr:";

/// Which lines of a log are wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// Lines written after this time.
    pub(crate) after_ns: Option<u64>,
    /// Lines written at this time or before.
    pub(crate) until_ns: u64,
    /// No more than so many, the last ones.
    pub(crate) most: usize,
}

impl Window {
    /// Whether a line of that time is wanted beside so many others.
    pub(crate) fn takes(&self, time_ns: u64, others: usize) -> bool {
        self.after_ns.is_none_or(|after| time_ns > after) && others < self.most
    }
}

/// The lines in the window, oldest first.
pub(crate) fn lines(script: &Script, run: &Run, window: Window) -> Vec<LogLine> {
    let mut kept = Vec::new();
    let mut bytes = 0;
    let mut keep = |time_ns: u64, text: &str| {
        let line = line(time_ns, text);
        bytes += line.bytes.len();
        let wanted = window.takes(time_ns, kept.len());
        let fits = bytes <= KEPT_BYTES;
        if wanted && fits {
            kept.push(line);
        }
        wanted && fits
    };
    // From the newest backwards, so that a log of months costs no more than what is kept of it.
    let ticks = ticks_until(script, run, window.until_ns);
    let periodic = (1..=ticks).rev().all(|n| {
        let time_ns = run.started_ns + n * script.log_every.unwrap_or_default();
        keep(time_ns, &script.log_line.replace("{n}", &n.to_string()))
    });
    if periodic && !script.log.is_empty() && run.started_ns <= window.until_ns {
        let first = script.log.strip_suffix('\n').unwrap_or(&script.log);
        first.rsplit('\n').all(|text| keep(run.started_ns, text));
    }
    kept.reverse();
    kept
}

/// The lines of `log-size`, as if all were written when the run started. They count apart from what is kept.
pub(crate) fn bulk(script: Script, run: &Run) -> impl Iterator<Item = LogLine> + use<> {
    let (mut left, started_ns) = (script.log_size, run.started_ns);
    let mut number = 0_u64;
    let same = (!script.log_line.contains("{n}")).then(|| line(started_ns, &script.log_line));
    std::iter::from_fn(move || {
        if left == 0 {
            return None;
        }
        number += 1;
        let numbered = || line(started_ns, &script.log_line.replace("{n}", &number.to_string()));
        let line = same.clone().unwrap_or_else(numbered);
        left = left.saturating_sub(line.bytes.len() as u64);
        Some(line)
    })
}

/// When the next line after `now_ns` is written. None: never.
pub(crate) fn next_line_ns(script: &Script, run: &Run, now_ns: u64) -> Option<u64> {
    let every = script.log_every?;
    let n = now_ns.saturating_sub(run.started_ns) / every + 1;
    let at_ns = run.started_ns.saturating_add(every.saturating_mul(n));
    run.ends_ns.is_none_or(|end| at_ns < end).then_some(at_ns)
}

/// How many periodic lines have been written. The last moment of a run writes none.
fn ticks_until(script: &Script, run: &Run, until_ns: u64) -> u64 {
    let Some(every) = script.log_every else { return 0 };
    let last_ns = run.ends_ns.map_or(until_ns, |end| until_ns.min(end.saturating_sub(1)));
    last_ns.saturating_sub(run.started_ns) / every
}

/// A line, on standard error if it says so.
pub(crate) fn line(time_ns: u64, text: &str) -> LogLine {
    let (source, text) = match text.strip_prefix(STDERR) {
        Some(text) => (LogSource::Stderr, text.strip_prefix(' ').unwrap_or(text)),
        None => (LogSource::Stdout, text),
    };
    LogLine { time_unix_ns: Some(time_ns), source, bytes: format!("{text}\n").into_bytes() }
}
