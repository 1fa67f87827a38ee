//! Cuts a log to what was asked for.
//!
//! In: log items, in order. Out: bytes. Invariant: pure; `tail` is applied first, then `since`, then `limit`, as the kubelet does.

use std::collections::VecDeque;

use k8s_openapi::jiff::Timestamp;
use pluglet_model::provider::LogItem;

/// The most that `tail` keeps back, bytes with [`PIECE_COST`]. A caller may ask for the last billion lines, and many callers may ask at
/// once; what does not fit is the oldest.
const LONGEST_TAIL: usize = 16 << 20;

/// What a piece costs beside its bytes. Without it a log of empty lines would take a hundred times the limit.
const PIECE_COST: usize = 128;

/// What to keep, and how to show it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Each line starts with its time.
    pub timestamps: bool,
    /// Only so many of the lines that were there at first.
    pub tail_lines: Option<u64>,
    /// Only lines as new as this; nanoseconds since 1970.
    pub since_unix_ns: Option<u64>,
    /// No more than so many bytes in all.
    pub limit_bytes: Option<u64>,
}

/// The filter and what it holds back.
pub(crate) struct LogFilter {
    options: Options,
    /// Lines that `tail` may still drop; None once everything passes.
    tail: Option<Tail>,
    left: u64,
    /// The last piece that was shown ended a line.
    at_line_start: bool,
    /// The present line is older than `since`.
    skipping: bool,
}

#[derive(Default)]
struct Tail {
    lines: VecDeque<Vec<Piece>>,
    bytes: usize,
    open: bool,
    /// Lines that were asked for had to go.
    cut: bool,
}

struct Piece {
    time_unix_ns: Option<u64>,
    bytes: bytes::Bytes,
}

impl Piece {
    /// With memory of its own: a line that is kept back would keep all that came with it.
    fn alone(self) -> Self {
        Self { bytes: bytes::Bytes::copy_from_slice(&self.bytes), ..self }
    }
}

impl LogFilter {
    pub(crate) fn new(options: Options) -> Self {
        Self {
            tail: options.tail_lines.map(|_| Tail::default()),
            left: options.limit_bytes.unwrap_or(u64::MAX),
            at_line_start: true,
            skipping: false,
            options,
        }
    }

    /// Adds to the output what follows from an item.
    pub(crate) fn take(&mut self, item: LogItem, out: &mut Vec<u8>) {
        match item {
            LogItem::CaughtUp => self.finish(out),
            LogItem::Line { time_unix_ns, bytes, .. } => {
                let piece = Piece { time_unix_ns, bytes };
                match &mut self.tail {
                    Some(tail) => tail.push(piece.alone(), self.options.tail_lines.unwrap_or(u64::MAX)),
                    None => self.show(&piece, out),
                }
            }
        }
    }

    /// Ends the tail: what it kept, and from here everything passes.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        let Some(tail) = self.tail.take() else { return };
        if tail.cut {
            // Nobody would know otherwise: what follows looks like all that was asked for.
            let told =
                format!("pluglet: older lines are left out: the last lines are kept up to {LONGEST_TAIL} bytes\n");
            self.append(told.as_bytes(), out);
        }
        for line in tail.lines {
            for piece in line {
                self.show(&piece, out);
            }
        }
    }

    /// The limit is reached: nothing will follow.
    pub(crate) fn is_full(&self) -> bool {
        self.left == 0
    }

    fn show(&mut self, piece: &Piece, out: &mut Vec<u8>) {
        let starts = std::mem::replace(&mut self.at_line_start, piece.bytes.ends_with(b"\n"));
        if starts {
            let since = self.options.since_unix_ns;
            self.skipping = matches!((since, piece.time_unix_ns), (Some(since), Some(time)) if time < since);
        }
        if self.skipping {
            return;
        }
        if starts && self.options.timestamps {
            self.append(format!("{} ", rfc3339_nano(piece.time_unix_ns)).as_bytes(), out);
        }
        self.append(&piece.bytes, out);
    }

    fn append(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        out.extend_from_slice(bytes.get(..room).unwrap_or_default());
        self.left = self.left.saturating_sub(room as u64);
    }
}

impl Tail {
    fn push(&mut self, piece: Piece, lines: u64) {
        self.bytes += piece.bytes.len() + PIECE_COST;
        let ends = piece.bytes.ends_with(b"\n");
        match self.lines.back_mut().filter(|_| self.open) {
            Some(line) => line.push(piece),
            None => self.lines.push_back(vec![piece]),
        }
        self.open = !ends;
        while self.lines.len() as u64 > lines || self.bytes > LONGEST_TAIL {
            self.cut |= self.lines.len() as u64 <= lines;
            let Some(oldest) = self.lines.pop_front() else { return };
            self.bytes -= oldest.iter().map(|piece| piece.bytes.len() + PIECE_COST).sum::<usize>();
            if self.lines.is_empty() {
                // The line that is being dropped goes on: its rest counts as a line of its own.
                self.open = false;
            }
        }
    }
}

/// As the kubelet writes it: always nine digits of a second, so that columns align.
fn rfc3339_nano(unix_ns: Option<u64>) -> String {
    let time = unix_ns.and_then(|ns| Timestamp::from_nanosecond(ns.into()).ok()).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{time:.9}")
}

#[cfg(test)]
mod tests;
