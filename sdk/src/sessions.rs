//! Logs, exec, attach and port-forward.
//!
//! In: what the user asked for and what they type. Out: streams of lines and bytes. Invariant: a stream that is dropped means that
//! the other side has left; writing to it then fails and the writer stops.

use futures::channel::mpsc;
use futures::future::LocalBoxFuture;
use futures::stream::{LocalBoxStream, Stream, StreamExt};
use futures::{SinkExt, stream};

use crate::Result;

/// Bytes in order; chunks have no meaning.
pub type ByteStream = LocalBoxStream<'static, Vec<u8>>;

/// The pod's side of a forwarded port. An `Err` is the last item.
pub type Tunnel = LocalBoxStream<'static, Result<Vec<u8>>>;

/// Which part of a log is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Container name.
    pub container: String,
    /// The log of the container's last run before the present one.
    pub previous: bool,
    /// Go on with new lines until the container ends.
    pub follow: bool,
    /// A hint, to save work: more lines than this may be sent, never fewer.
    pub tail_lines: Option<u64>,
    /// A hint likewise: lines older than this may be left out. Nanoseconds since 1970, UTC.
    pub since_unix_ns: Option<u64>,
}

/// Where a line was written to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogSource {
    /// Standard output.
    #[default]
    Stdout,
    /// Standard error.
    Stderr,
}

/// A line, or a piece of a long one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogLine {
    /// When it was written; nanoseconds since 1970, UTC. None where the backend does not know.
    pub time_unix_ns: Option<u64>,
    /// Where it was written to.
    pub source: LogSource,
    /// Ends in a newline where the line does.
    pub bytes: Vec<u8>,
}

/// One item of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogItem {
    /// A line.
    Line(LogLine),
    /// With `follow`: sent once, after the last line that was there when the call was made.
    CaughtUp,
}

/// A log on its way to the user. Its end ends the log; an `Err` item ends it with that error.
pub struct LogStream(LocalBoxStream<'static, Result<LogItem>>);

impl LogStream {
    /// Any stream of items.
    pub fn new(items: impl Stream<Item = Result<LogItem>> + 'static) -> Self {
        Self(items.boxed_local())
    }

    /// Lines that are all there already.
    #[must_use]
    pub fn lines(lines: Vec<LogLine>) -> Self {
        Self::new(stream::iter(lines).map(|line| Ok(LogItem::Line(line))))
    }

    /// A pair: write into the one from a task of your own ([`crate::Host::spawn`]), return the other. The log ends when the writer is
    /// dropped. `capacity` items are kept before the writer has to wait for the user.
    #[must_use]
    pub fn channel(capacity: usize) -> (LogWriter, Self) {
        let (sender, receiver) = mpsc::channel(capacity);
        (LogWriter(sender), Self::new(receiver))
    }

    /// The items.
    #[must_use]
    pub fn into_inner(self) -> LocalBoxStream<'static, Result<LogItem>> {
        self.0
    }
}

/// The writing end of a [`LogStream`].
#[derive(Clone, Debug)]
pub struct LogWriter(mpsc::Sender<Result<LogItem>>);

impl LogWriter {
    /// Send one item. False when the user has left: stop writing.
    pub async fn send(&mut self, item: LogItem) -> bool {
        self.0.send(Ok(item)).await.is_ok()
    }

    /// End the log with an error.
    pub async fn fail(mut self, error: crate::Error) {
        // A user who has left does not need to hear of it.
        let _ = self.0.send(Err(error)).await;
    }
}

/// A command to run in a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecRequest {
    /// Container name.
    pub container: String,
    /// The program and its arguments, not a shell line.
    pub command: Vec<String>,
    /// Whether it gets a terminal.
    pub tty: bool,
}

/// The size of a terminal, in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TerminalSize {
    /// Columns.
    pub width: u16,
    /// Lines.
    pub height: u16,
}

/// What the user sends. Both streams end when the user closes their side.
pub struct SessionInput {
    /// What they type.
    pub stdin: ByteStream,
    /// How large their terminal is now. Empty without a terminal.
    pub resize: LocalBoxStream<'static, TerminalSize>,
}

/// What the user gets.
pub struct Session {
    /// Standard output.
    pub stdout: ByteStream,
    /// Standard error; empty with a terminal.
    pub stderr: ByteStream,
    /// The exit code, once the command has ended. Polled beside the streams.
    pub exit: LocalBoxFuture<'static, Result<i32>>,
}
