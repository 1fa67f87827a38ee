//! The engines' logs, read.
//!
//! In: bytes of a log. Out: lines, and pieces of long ones, with their times. Invariant: pure; the bytes are the container's own: what the engine put
//! between them, before each piece too, is gone.

use pluglet_sdk::{LogLine, LogSource, Result};

use crate::client::Dialect;
use crate::frames::Frames;
use crate::time::unix_ns;

/// Docker cuts long lines into pieces of so many bytes.
const DOCKERS_PIECE: usize = 16 << 10;
/// Where a log without marks is cut.
const PIECE: usize = 32 << 10;
/// A time in RFC 3339 with nine digits and an offset has 35.
const LONGEST_TIME: usize = 40;

/// What a log looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Frames, each with a time at its beginning.
    Framed,
    /// A terminal's, as Docker writes it: a time before each piece, and nothing else that tells where one begins.
    Terminal,
    /// A terminal's without times: with them, pieces of Podman's would begin anywhere.
    Plain,
}

impl Format {
    pub(crate) fn of(dialect: Dialect, tty: bool) -> Self {
        match (tty, dialect) {
            (false, _) => Self::Framed,
            (true, Dialect::Docker) => Self::Terminal,
            (true, Dialect::Podman) => Self::Plain,
        }
    }

    /// Whether the engine is to write times.
    pub(crate) fn has_times(self) -> bool {
        self != Self::Plain
    }
}

/// Reads a log.
pub(crate) struct Decoder {
    format: Format,
    frames: Frames,
    text: Vec<u8>,
}

impl Decoder {
    pub(crate) fn new(format: Format) -> Self {
        Self { format, frames: Frames::default(), text: Vec::new() }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        match self.format {
            Format::Framed => self.frames.push(bytes),
            Format::Terminal | Format::Plain => self.text.extend_from_slice(bytes),
        }
    }

    /// The next line or piece. None: more bytes are needed.
    pub(crate) fn next(&mut self) -> Result<Option<LogLine>> {
        if self.format != Format::Framed {
            return Ok(self.cut(false));
        }
        while let Some(frame) = self.frames.next()? {
            let (time_unix_ns, bytes) = stamped(&frame.bytes);
            if !bytes.is_empty() {
                return Ok(Some(LogLine { time_unix_ns, source: frame.source, bytes: bytes.to_vec() }));
            }
        }
        Ok(None)
    }

    /// What is left at the end.
    pub(crate) fn rest(&mut self) -> Option<LogLine> {
        self.cut(true)
    }

    fn cut(&mut self, all: bool) -> Option<LogLine> {
        let (time_unix_ns, text) = match self.format {
            Format::Terminal => stamped(&self.text),
            Format::Framed | Format::Plain => (None, self.text.as_slice()),
        };
        let longest = if self.format == Format::Terminal { DOCKERS_PIECE } else { PIECE };
        let piece = text.get(..longest).unwrap_or(text);
        let length = match piece.iter().position(|byte| *byte == b'\n') {
            Some(end) => end + 1,
            None if piece.len() == longest || (all && !piece.is_empty()) => piece.len(),
            None => return None,
        };
        let mark = self.text.len() - text.len();
        let bytes: Vec<u8> = self.text.drain(..mark + length).skip(mark).collect();
        Some(LogLine { time_unix_ns, source: LogSource::Stdout, bytes })
    }
}

/// The time at the beginning, and what comes after it. What does not begin with one is left as it is.
fn stamped(bytes: &[u8]) -> (Option<u64>, &[u8]) {
    let read = || {
        let end = bytes.iter().take(LONGEST_TIME).position(|byte| *byte == b' ')?;
        let (time, rest) = bytes.split_at_checked(end)?;
        Some((unix_ns(std::str::from_utf8(time).ok()?)?, rest.get(1..)?))
    };
    read().map_or((None, bytes), |(time, rest)| (Some(time), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn frame(stream: u8, text: &str) -> Vec<u8> {
        let head = [stream, 0, 0, 0].into_iter().chain(u32::try_from(text.len()).unwrap().to_be_bytes());
        head.chain(text.bytes()).collect()
    }

    fn read(format: Format, bytes: &[u8], step: usize) -> Vec<(Option<u64>, LogSource, String)> {
        let (mut decoder, mut lines) = (Decoder::new(format), Vec::new());
        for piece in bytes.chunks(step) {
            decoder.push(piece);
            while let Some(line) = decoder.next().unwrap() {
                lines.push(line);
            }
        }
        lines.extend(decoder.rest());
        lines.into_iter().map(|line| (line.time_unix_ns, line.source, String::from_utf8(line.bytes).unwrap())).collect()
    }

    #[test]
    fn each_piece_of_a_long_line_loses_the_time_that_the_engine_put_before_it() {
        // As Podman writes it: the end of a line can be a piece of its own.
        let podman = [
            frame(1, "1970-01-01T00:00:01Z one\n"),
            frame(2, "1970-01-01T00:00:01Z two\n"),
            frame(1, &format!("1970-01-01T00:00:02Z {}", "a".repeat(8192))),
            frame(1, "1970-01-01T00:00:02Z aaa"),
            frame(1, "1970-01-01T00:00:02Z \n"),
            frame(1, "1970-01-01T00:00:03Z no end"),
        ]
        .concat();
        for step in [1, 7, podman.len()] {
            let lines = read(Format::Framed, &podman, step);
            assert_eq!(lines[0], (Some(SECOND), LogSource::Stdout, "one\n".to_owned()));
            assert_eq!(lines[1].1, LogSource::Stderr);
            let long: String = lines[2..5].iter().map(|line| line.2.as_str()).collect();
            assert_eq!(long, format!("{}\n", "a".repeat(8195)));
            assert_eq!(lines[5], (Some(3 * SECOND), LogSource::Stdout, "no end".to_owned()));
        }
    }

    #[test]
    fn dockers_log_of_a_terminal_has_times_at_the_beginning_of_each_piece() {
        let long = "b".repeat(DOCKERS_PIECE);
        let docker = format!(
            "1970-01-01T00:00:01.5Z one\r\n1970-01-01T00:00:02Z {long}1970-01-01T00:00:02Z bb\r\n1970-01-01T00:00:03Z 2026-01-01T00:00:00Z said\r\n1970-01-01T00:00:04Z end"
        );
        for step in [1, 1000, docker.len()] {
            let lines = read(Format::Terminal, docker.as_bytes(), step);
            let texts: Vec<_> = lines.iter().map(|line| line.2.as_str()).collect();
            assert_eq!(texts, ["one\r\n", long.as_str(), "bb\r\n", "2026-01-01T00:00:00Z said\r\n", "end"], "{step}");
            assert_eq!(lines[0].0, Some(SECOND * 3 / 2));
        }
    }

    #[test]
    fn podmans_log_of_a_terminal_is_read_without_times() {
        let lines = read(Format::of(Dialect::Podman, true), b"2026-01-01T00:00:00Z said\r\nrest", 3);
        assert_eq!(lines[0], (None, LogSource::Stdout, "2026-01-01T00:00:00Z said\r\n".to_owned()));
        assert_eq!(lines[1].2, "rest");
    }
}
