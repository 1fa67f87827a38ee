//! What came out of a session.
//!
//! In: streams. Out: their content so far, or all of it. Invariant: dropping a [`Followed`] is the user leaving.

use std::cell::RefCell;
use std::rc::Rc;

use futures::future::join3;
use futures::stream::{self, StreamExt};

use super::Pending;
use super::executor::Executor;
use crate::sessions::{ByteStream, LogItem, LogStream, Session, SessionInput};
use crate::{LogLine, Result};

/// A log that is being read.
pub struct Followed {
    items: Rc<RefCell<Vec<LogItem>>>,
    end: Pending<Result<()>>,
}

impl Followed {
    pub(super) fn new(executor: &Executor, log: LogStream) -> Result<Self> {
        let items = Rc::new(RefCell::new(Vec::new()));
        let sink = Rc::clone(&items);
        let read = async move {
            let mut log = log.into_inner();
            while let Some(item) = log.next().await {
                sink.borrow_mut().push(item?);
            }
            Ok(())
        };
        Ok(Self { items, end: executor.begin(read)? })
    }

    /// The items since the last time.
    #[must_use]
    pub fn take(&self) -> Vec<LogItem> {
        self.items.take()
    }

    /// The lines since the last time, as text.
    #[must_use]
    pub fn take_text(&self) -> String {
        let line = |item| match item {
            LogItem::Line(line) => Some(line),
            LogItem::CaughtUp => None,
        };
        text(self.take().into_iter().filter_map(line))
    }

    /// How the log ended, once. None while it goes on.
    #[must_use]
    pub fn ended(&self) -> Option<Result<()>> {
        self.end.take()
    }
}

pub(super) fn text(lines: impl IntoIterator<Item = LogLine>) -> String {
    lines.into_iter().map(|line| String::from_utf8_lossy(&line.bytes).into_owned()).collect()
}

/// A session that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// All of standard output.
    pub stdout: Vec<u8>,
    /// All of standard error.
    pub stderr: Vec<u8>,
    /// The exit code.
    pub exit_code: i32,
}

pub(super) async fn finished(session: Session) -> Result<Finished> {
    let (stdout, stderr, exit_code) = join3(all(session.stdout), all(session.stderr), session.exit).await;
    Ok(Finished { stdout, stderr, exit_code: exit_code? })
}

pub(super) async fn all(bytes: ByteStream) -> Vec<u8> {
    bytes.concat().await
}

/// A user who types all of `stdin` at once and then closes it.
pub(super) fn typed(stdin: &[u8]) -> SessionInput {
    SessionInput { stdin: bytes(stdin), resize: stream::empty().boxed_local() }
}

pub(super) fn bytes(bytes: &[u8]) -> ByteStream {
    let chunk = (!bytes.is_empty()).then(|| bytes.to_vec());
    stream::iter(chunk).boxed_local()
}
