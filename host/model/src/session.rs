//! Sessions in containers: commands, attachments, forwarded ports.
//!
//! In: what a user sends. Out: what a container sends, and how it ended. Invariant: none; these are the shapes that both sides of the
//! [`Provider`](crate::provider::Provider) port agree on. Dropping a session's streams and its future means that the user has left.

use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use tokio::sync::mpsc;

use crate::provider::Error;

/// The size of a user's terminal, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TerminalSize {
    /// Columns.
    pub width: u16,
    /// Rows.
    pub height: u16,
}

/// A command to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecRequest {
    /// Where.
    pub container: String,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// In a terminal: standard error is part of the standard output then.
    pub tty: bool,
}

/// What a user sends. The end of a channel is the end of that input.
pub struct SessionInput {
    /// Standard input. A provider that wants no more of it drops the receiver.
    pub stdin: mpsc::Receiver<Bytes>,
    /// The size of the terminal, and each new one.
    pub resize: BoxStream<'static, TerminalSize>,
}

impl SessionInput {
    /// Of somebody who types nothing and has no terminal.
    #[must_use]
    pub fn none() -> Self {
        Self { stdin: mpsc::channel(1).1, resize: stream::empty().boxed() }
    }
}

/// A command that runs, or a container that is attached to.
pub struct Session {
    /// Standard output.
    pub stdout: BoxStream<'static, Bytes>,
    /// Standard error; nothing with a terminal.
    pub stderr: BoxStream<'static, Bytes>,
    /// The exit code, or why there is none.
    pub exit: BoxFuture<'static, Result<i32, Error>>,
}

/// A connection to a port in a pod.
pub struct Forward {
    /// What the port sends.
    pub output: BoxStream<'static, Bytes>,
    /// How the connection ended.
    pub end: BoxFuture<'static, Result<(), Error>>,
}

/// Resource use of a pod's containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodStats {
    /// Which pod.
    pub key: crate::PodKey,
    /// Its containers, those that the provider knows figures of.
    pub containers: Vec<ContainerStats>,
}

/// Resource use of one container. What is unknown is None, not 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerStats {
    /// Its name.
    pub name: String,
    /// When the figures were taken, milliseconds since 1970.
    pub time_unix_ms: u64,
    /// When the container started, milliseconds since 1970.
    pub start_time_unix_ms: u64,
    /// CPU time used since the start, nanoseconds.
    pub cpu_usage_core_ns: Option<u64>,
    /// CPU in use at that time, billionths of a core.
    pub cpu_usage_nano_cores: Option<u64>,
    /// Bytes that cannot be reclaimed.
    pub memory_working_set: Option<u64>,
    /// All bytes.
    pub memory_usage: Option<u64>,
}
