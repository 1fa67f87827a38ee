//! Open sessions: from the user to the guest and back.
//!
//! In: the guest's streams and the future of the end; what the user sends. Out: [`Session`], [`Forward`]. Invariant: output keeps its order and
//! makes the guest wait when nobody takes it; input makes the user wait; a side that is dropped is told to the other at its next word.

use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::channel::mpsc;
use futures::future::BoxFuture;
use futures::stream::StreamExt as _;
use pluglet_model::provider::Error;
use pluglet_model::session::{Forward, Session, SessionInput};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use wasmtime::AsContextMut;
use wasmtime::component::{FutureReader, StreamReader};

use crate::adapt;
use crate::bindings::exports::pluglet::provider::sessions::TerminalSize;
use crate::bindings::pluglet::provider::types;
use crate::gate::Gate;
use crate::pump::{FromChunks, FromItems, Take, ToChunks};

/// The guest's end of a command.
pub(crate) struct SessionSink {
    stdout: mpsc::Sender<Bytes>,
    stderr: mpsc::Sender<Bytes>,
    exit: oneshot::Sender<Result<i32, Error>>,
    /// Given back with the opening: a guest that never answers has a call inside, also when nobody waits for it any more.
    _session: Arc<OwnedSemaphorePermit>,
}

/// The user's end of a command.
pub(crate) struct SessionSource {
    stdout: mpsc::Receiver<Bytes>,
    stderr: mpsc::Receiver<Bytes>,
    exit: oneshot::Receiver<Result<i32, Error>>,
    session: Arc<OwnedSemaphorePermit>,
}

/// Both ends of a new session.
pub(crate) fn channel(session: OwnedSemaphorePermit) -> (SessionSink, SessionSource) {
    let session = Arc::new(session);
    // A sender has a place of its own: one chunk waits for each stream.
    let ((stdout, from_stdout), (stderr, from_stderr)) = (mpsc::channel(0), mpsc::channel(0));
    let (exit, told) = oneshot::channel();
    let sink = SessionSink::new(stdout, stderr, exit, &session);
    (sink, SessionSource { stdout: from_stdout, stderr: from_stderr, exit: told, session })
}

impl SessionSink {
    /// Into these channels.
    pub(crate) fn new(
        stdout: mpsc::Sender<Bytes>,
        stderr: mpsc::Sender<Bytes>,
        exit: oneshot::Sender<Result<i32, Error>>,
        session: &Arc<OwnedSemaphorePermit>,
    ) -> Self {
        Self { stdout, stderr, exit, _session: Arc::clone(session) }
    }

    /// Lets the guest's streams flow in here.
    pub(crate) fn connect(
        self,
        mut store: impl AsContextMut<Data: Send>,
        stdout: StreamReader<u8>,
        stderr: StreamReader<u8>,
        exit: FutureReader<Result<i32, types::Error>>,
    ) -> wasmtime::Result<()> {
        stdout.pipe(&mut store, ToChunks::new(self.stdout))?;
        stderr.pipe(&mut store, ToChunks::new(self.stderr))?;
        exit.pipe(&mut store, Take::new(self.exit, |code: Result<i32, types::Error>| code.map_err(adapt::error)))
    }
}

impl SessionSource {
    /// What a user reads.
    pub(crate) fn into_session(self, gate: Gate, uid: Arc<str>) -> Session {
        let Self { stdout, stderr, exit, session } = self;
        Session { stdout: stdout.boxed(), stderr: stderr.boxed(), exit: end(exit, gate, uid, session) }
    }
}

/// The guest's end of a connection to a port.
pub(crate) struct ForwardSink {
    output: mpsc::Sender<Bytes>,
    end: oneshot::Sender<Result<(), Error>>,
    _session: Arc<OwnedSemaphorePermit>,
}

/// The user's end of it.
pub(crate) struct ForwardSource {
    output: mpsc::Receiver<Bytes>,
    end: oneshot::Receiver<Result<(), Error>>,
    session: Arc<OwnedSemaphorePermit>,
}

/// Both ends of a new connection.
pub(crate) fn forward_channel(session: OwnedSemaphorePermit) -> (ForwardSink, ForwardSource) {
    let session = Arc::new(session);
    let (output, from_guest) = mpsc::channel(0);
    let (end, told) = oneshot::channel();
    let sink = ForwardSink { output, end, _session: Arc::clone(&session) };
    (sink, ForwardSource { output: from_guest, end: told, session })
}

impl ForwardSink {
    /// Lets the guest's stream flow in here.
    pub(crate) fn connect(
        self,
        mut store: impl AsContextMut<Data: Send>,
        output: StreamReader<u8>,
        end: FutureReader<Result<(), types::Error>>,
    ) -> wasmtime::Result<()> {
        output.pipe(&mut store, ToChunks::new(self.output))?;
        end.pipe(&mut store, Take::new(self.end, |ended: Result<(), types::Error>| ended.map_err(adapt::error)))
    }
}

impl ForwardSource {
    /// What a user reads.
    pub(crate) fn into_forward(self, gate: Gate, uid: Arc<str>) -> Forward {
        Forward { output: self.output.boxed(), end: end(self.end, gate, uid, self.session) }
    }
}

/// How a session ended. Its place among the sessions is given back when that is known, or nobody wants to know.
fn end<T: Send + 'static>(
    told: oneshot::Receiver<Result<T, Error>>,
    gate: Gate,
    uid: Arc<str>,
    session: Arc<OwnedSemaphorePermit>,
) -> BoxFuture<'static, Result<T, Error>> {
    async move {
        let _session = session;
        match told.await {
            Ok(end) => end,
            // Both ends vanish without a word only together with the store.
            Err(_) => Err(gate.end().await.verdict(Some(&uid))),
        }
    }
    .boxed()
}

/// The streams of what a user sends.
pub(crate) fn input(
    mut store: impl AsContextMut<Data: Send>,
    input: SessionInput,
) -> wasmtime::Result<(StreamReader<u8>, StreamReader<TerminalSize>)> {
    let sizes = FromItems::new(input.resize, |size: pluglet_model::session::TerminalSize| TerminalSize {
        width: size.width,
        height: size.height,
    });
    Ok((StreamReader::new(&mut store, FromChunks::new(input.stdin))?, StreamReader::new(&mut store, sizes)?))
}
