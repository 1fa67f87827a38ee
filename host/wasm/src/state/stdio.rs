//! Standard output and error of a component: into the log, line by line.
//!
//! In: bytes that the guest writes. Out: lines in the [`Logger`]. Invariant: writing never waits (a guest that waited on its stderr
//! would hold the whole store) and never fails; what is held back is at most one unfinished line.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::capabilities::log::Logger;

/// How many bytes a guest may write at once. It is also how many zeroes WASI's `write-zeroes` makes the host allocate.
const PERMIT_BYTES: usize = 64 << 10;

/// One of the two streams. Clones write to the same line.
#[derive(Clone)]
pub(crate) struct Lines {
    shared: Arc<Mutex<Vec<u8>>>,
    logger: Logger,
    stderr: bool,
}

impl Lines {
    pub(crate) fn stdout(logger: Logger) -> Self {
        Self { shared: Arc::default(), logger, stderr: false }
    }

    pub(crate) fn stderr(logger: Logger) -> Self {
        Self { shared: Arc::default(), logger, stderr: true }
    }

    fn push(&self, bytes: &[u8]) {
        let longest = self.logger.line_bytes();
        let mut line = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            // A guest that never ends its line would otherwise fill the host's memory: what is too long ends here.
            let room = longest.saturating_sub(line.len());
            line.extend(piece.iter().take(room));
            if piece.ends_with(b"\n") || line.len() >= longest {
                let text = String::from_utf8_lossy(&line);
                let text = text.trim_end();
                if !text.is_empty() {
                    self.logger.printed(self.stderr, text);
                }
                line.clear();
            }
        }
    }
}

impl IsTerminal for Lines {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Lines {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Lines {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.push(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PERMIT_BYTES)
    }
}

#[async_trait::async_trait]
impl Pollable for Lines {
    async fn ready(&mut self) {}
}

impl AsyncWrite for Lines {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.push(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;

    use super::*;
    use crate::limits::Limits;

    #[test]
    fn text_in_pieces_becomes_lines_and_the_last_ones_are_kept() {
        let logger = Logger::new("test", &Limits::default(), Counter::default());
        let stderr = Lines::stderr(logger.clone());
        stderr.push(b"\nthread '<unnamed>' panicked at ");
        stderr.push(b"src/lib.rs:1:2:\nno more");
        stderr.push(b" pods\nnote: run with");
        assert_eq!(logger.last_panic().unwrap(), "panicked at src/lib.rs:1:2: no more pods");
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let logger = Logger::new("test", &Limits::default(), Counter::default());
        let longest = logger.line_bytes();
        let stdout = Lines::stdout(logger);
        stdout.push(&vec![b'x'; 3 * longest]);
        assert!(stdout.shared.lock().unwrap().len() < longest);
    }
}
