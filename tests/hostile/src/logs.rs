//! Logs that are too long, too slow or broken.
//!
//! In: an annotation. Out: a log. Invariant: without the annotation it is one line and ends.

use futures::stream::{self, StreamExt};
use pluglet_sdk::{Error, LogItem, LogLine, LogStream};
use serde::Deserialize;

/// What the log of a pod is like.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Logs {
    lines: usize,
    line_bytes: usize,
    /// Lines without end.
    endless: bool,
    /// After its lines it neither ends nor goes on.
    idle: bool,
    /// After its lines it fails with this text.
    fail: Option<String>,
}

impl Default for Logs {
    fn default() -> Self {
        Self { lines: 1, line_bytes: 8, endless: false, idle: false, fail: None }
    }
}

impl Logs {
    pub(crate) fn open(&self) -> LogStream {
        let mut bytes = vec![b'x'; self.line_bytes];
        bytes.push(b'\n');
        let line = LogItem::Line(LogLine { bytes, ..LogLine::default() });
        let count = if self.endless { usize::MAX } else { self.lines };
        let lines = stream::repeat(line).take(count).map(Ok);
        let failure = stream::iter(self.fail.clone()).map(|text| Err(Error::internal(text)));
        let idle = if self.idle { stream::pending().boxed_local() } else { stream::empty().boxed_local() };
        LogStream::new(lines.chain(failure).chain(idle))
    }
}
