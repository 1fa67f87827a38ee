//! What a provider says, in the host's log.
//!
//! In: `host.log` calls and lines on stdout and stderr. Out: events of `tracing` with the target `provider`, and the text of the last
//! panic. Invariant: a guest can neither forge a line (control characters are replaced) nor flood the log (length and rate are
//! bounded).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::metrics::counter::Counter;
use tracing::{debug, error, info, trace, warn};

use crate::limits::Limits;

/// Lines of stderr that are kept to explain a crash. A panic takes two or three.
const KEPT_LINES: usize = 16;

/// How loud a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// The log of one provider. Clones are the same log.
#[derive(Clone)]
pub(crate) struct Logger(Arc<Inner>);

struct Inner {
    provider: String,
    /// Longest message in bytes; the fields of a line have the same room together.
    line_bytes: usize,
    dropped: Counter,
    rate: Mutex<Rate>,
    tail: Mutex<VecDeque<String>>,
}

impl Logger {
    /// The log of the provider with that name.
    pub(crate) fn new(provider: &str, limits: &Limits, dropped: Counter) -> Self {
        Self(Arc::new(Inner {
            provider: provider.to_owned(),
            line_bytes: limits.log_line_bytes,
            dropped,
            rate: Mutex::new(Rate::new(limits.log_lines_per_second, Instant::now())),
            tail: Mutex::default(),
        }))
    }

    /// The operator's name of the provider.
    pub(crate) fn provider(&self) -> &str {
        &self.0.provider
    }

    /// Longest line in bytes.
    pub(crate) fn line_bytes(&self) -> usize {
        self.0.line_bytes
    }

    /// A line on stdout or stderr.
    pub(crate) fn printed(&self, stderr: bool, text: &str) {
        let text = clean(text, self.0.line_bytes);
        if stderr {
            let mut tail = self.0.tail.lock().unwrap_or_else(PoisonError::into_inner);
            if tail.len() >= KEPT_LINES {
                tail.pop_front();
            }
            tail.push_back(text.clone());
        }
        self.emit(if stderr { Level::Warn } else { Level::Info }, &text, "");
    }

    /// A call of `host.log`.
    pub(crate) fn say(&self, level: Level, message: &str, fields: &[(String, String)]) {
        let mut joined = String::new();
        for (name, value) in fields {
            if joined.len() >= self.0.line_bytes {
                break;
            }
            if !joined.is_empty() {
                joined.push(' ');
            }
            joined.push_str(&clean(name, 128));
            joined.push('=');
            joined.push_str(&clean(value, self.0.line_bytes.saturating_sub(joined.len())));
        }
        self.emit(level, &clean(message, self.0.line_bytes), &joined);
    }

    /// `panicked at FILE:LINE: MESSAGE`, when the guest's last words were that.
    pub(crate) fn last_panic(&self) -> Option<String> {
        let tail = self.0.tail.lock().unwrap_or_else(PoisonError::into_inner);
        let lines: Vec<&str> = tail.iter().map(String::as_str).collect();
        let at = lines.iter().rposition(|line| line.contains("panicked at "))?;
        let mut words = lines.iter().skip(at);
        let place = words.next()?.split_once("panicked at ")?.1;
        let message: Vec<&str> = words.copied().take_while(|line| !line.starts_with("note: ")).collect();
        Some(format!("panicked at {place} {}", message.join(" ")).trim_end().to_owned())
    }

    /// Forget what was printed: a new incarnation starts, and its crash must not be explained by an old panic.
    pub(crate) fn forget(&self) {
        self.0.tail.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn emit(&self, level: Level, message: &str, fields: &str) {
        let provider = self.provider();
        let verdict = self.0.rate.lock().unwrap_or_else(PoisonError::into_inner).admit(Instant::now());
        if verdict.dropped_before > 0 {
            warn!(target: "provider", provider, dropped = verdict.dropped_before, "lines of this provider were dropped");
        }
        if !verdict.admitted {
            self.0.dropped.inc();
            return;
        }
        match level {
            Level::Trace => trace!(target: "provider", provider, fields, "{message}"),
            Level::Debug => debug!(target: "provider", provider, fields, "{message}"),
            Level::Info => info!(target: "provider", provider, fields, "{message}"),
            Level::Warn => warn!(target: "provider", provider, fields, "{message}"),
            Level::Error => error!(target: "provider", provider, fields, "{message}"),
        }
    }
}

/// At most `max` bytes of the text, with control characters replaced: a line break would forge a line, an escape sequence would
/// reach the operator's terminal.
pub(crate) fn clean(text: &str, max: usize) -> String {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let (kept, rest) = text.split_at(end);
    let mut cleaned: String = kept.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if !rest.is_empty() {
        cleaned.push('…');
    }
    cleaned
}

/// Counts lines in windows of one second.
struct Rate {
    per_second: u32,
    window: Instant,
    lines: u32,
    dropped: u64,
}

struct Verdict {
    admitted: bool,
    dropped_before: u64,
}

impl Rate {
    fn new(per_second: u32, now: Instant) -> Self {
        Self { per_second, window: now, lines: 0, dropped: 0 }
    }

    fn admit(&mut self, now: Instant) -> Verdict {
        let mut dropped_before = 0;
        if now.duration_since(self.window) >= Duration::from_secs(1) {
            dropped_before = std::mem::take(&mut self.dropped);
            self.window = now;
            self.lines = 0;
        }
        let admitted = self.lines < self.per_second;
        if admitted {
            self.lines += 1;
        } else {
            self.dropped += 1;
        }
        Verdict { admitted, dropped_before }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_can_neither_break_a_line_nor_colour_it() {
        assert_eq!(clean("ok\nERROR forged \u{1b}[31m", 100), "ok ERROR forged  [31m");
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        assert_eq!(clean("ääää", 5), "ää…");
        assert_eq!(clean("abc", 3), "abc");
    }

    #[test]
    fn lines_beyond_the_rate_are_counted_and_told_in_the_next_second() {
        let start = Instant::now();
        let mut rate = Rate::new(200, start);
        let admitted = (0..500).filter(|_| rate.admit(start).admitted).count();
        assert_eq!(admitted, 200);
        let verdict = rate.admit(start + Duration::from_secs(1));
        assert!(verdict.admitted);
        assert_eq!(verdict.dropped_before, 300);
        assert_eq!(rate.admit(start + Duration::from_secs(3)).dropped_before, 0);
    }

    #[test]
    fn words_after_a_panic_are_not_part_of_it() {
        let logger = Logger::new("test", &Limits::default(), Counter::default());
        assert_eq!(logger.last_panic(), None);
        for line in
            ["working", "thread 'main' panicked at a.rs:1:1:", "first", "second", "note: run with `RUST_BACKTRACE=1`"]
        {
            logger.printed(true, line);
        }
        assert_eq!(logger.last_panic().unwrap(), "panicked at a.rs:1:1: first second");
        logger.forget();
        assert_eq!(logger.last_panic(), None);
    }
}
