//! Output and errors in one stream.
//!
//! In: bytes as the engine sends them for whatever has no terminal. Out: frames: which of the two streams, and its bytes. Invariant: pure; pieces
//! of the stream have no meaning, and what is no frame ends it with an error.

use pluglet_sdk::{Error, LogSource, Result};

/// Stream, three zeros, length with the highest byte first.
const HEADER: usize = 8;
/// Docker's have 16 KiB and a timestamp, Podman's 8 KiB, those of commands up to 32 KiB.
const LONGEST: usize = 16 << 20;

/// Finds the frames.
#[derive(Default)]
pub(crate) struct Frames {
    buffer: Vec<u8>,
    /// Where the first frame that was not given out begins.
    at: usize,
}

/// A piece of one of the two streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) source: LogSource,
    pub(crate) bytes: Vec<u8>,
}

impl Frames {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        // What was given out is thrown away once and not frame by frame.
        self.buffer.drain(..self.at);
        self.at = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame. None: more bytes are needed.
    pub(crate) fn next(&mut self) -> Result<Option<Frame>> {
        let rest = self.buffer.get(self.at..).unwrap_or_default();
        let Some((&[stream, 0, 0, 0, a, b, c, d], rest)) = rest.split_first_chunk::<HEADER>() else {
            return if rest.len() < HEADER { Ok(None) } else { Err(no_frame()) };
        };
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        let source = match stream {
            // 0 is input that is echoed.
            0 | 1 => LogSource::Stdout,
            // 3 is an error of the engine's own, in newer versions of Docker.
            2 | 3 => LogSource::Stderr,
            _ => return Err(no_frame()),
        };
        if length > LONGEST {
            return Err(no_frame());
        }
        let Some(bytes) = rest.get(..length) else { return Ok(None) };
        let frame = Frame { source, bytes: bytes.to_vec() };
        self.at += HEADER + length;
        Ok(Some(frame))
    }
}

fn no_frame() -> Error {
    Error::internal("the engine's stream does not consist of frames")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(stream: u8, text: &str) -> Vec<u8> {
        let mut frame = vec![stream, 0, 0, 0];
        frame.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
        frame.extend(text.as_bytes());
        frame
    }

    #[test]
    fn frames_are_found_however_the_stream_is_cut() {
        let bytes = [frame(1, "one\n"), frame(2, "two\n"), frame(1, ""), frame(1, "three")].concat();
        for size in 1..=bytes.len() {
            let (mut frames, mut all) = (Frames::default(), Vec::new());
            for piece in bytes.chunks(size) {
                frames.push(piece);
                while let Some(Frame { source, bytes }) = frames.next().unwrap() {
                    all.push((source, String::from_utf8(bytes).unwrap()));
                }
            }
            let expected = [
                (LogSource::Stdout, "one\n".to_owned()),
                (LogSource::Stderr, "two\n".to_owned()),
                (LogSource::Stdout, String::new()),
                (LogSource::Stdout, "three".to_owned()),
            ];
            assert_eq!(all, expected, "{size}");
        }
    }

    #[test]
    fn what_is_no_frame_is_an_error() {
        for bytes in [&b"plain text"[..], &[9, 0, 0, 0, 0, 0, 0, 1, 0], &[1, 0, 0, 0, 255, 0, 0, 0]] {
            let mut frames = Frames::default();
            frames.push(bytes);
            assert!(frames.next().is_err(), "{bytes:?}");
        }
    }
}
