//! A connection to a process, as a session.
//!
//! In: an upgraded connection, what the user types, the size of their terminal. Out: output, errors, exit code. Invariant: one future moves
//! everything, so dropping the session drops the connection.

use std::future::pending;
use std::pin::pin;
use std::time::Duration;

use futures::SinkExt;
use futures::channel::mpsc;
use futures::future::{Either, LocalBoxFuture, join, select};
use futures::stream::StreamExt;
use pluglet_sdk::{Body, BodyWriter, LogSource, Result, Session, SessionInput, TerminalSize, Upgraded};

use crate::client::{Client, send};
use crate::frames::Frames;

/// Pieces that wait for the user.
const WAITING: usize = 4;
/// Podman knows a command's terminal a little after it has answered.
const RESIZES: usize = 20;
const PAUSE: Duration = Duration::from_millis(50);

/// What a session is made of.
pub(crate) struct Talk {
    pub(crate) client: Client,
    pub(crate) connection: Upgraded,
    pub(crate) input: SessionInput,
    /// Bytes come as they are, without frames.
    pub(crate) tty: bool,
    /// Where the size of the terminal goes.
    pub(crate) resize: String,
    /// The end of the user's input is not the end of the process'. A terminal has no such end, and Docker would take it for the session's.
    pub(crate) keep_open: bool,
}

/// The session. `exit` is asked for the exit code when the connection has ended.
pub(crate) fn open(talk: Talk, exit: LocalBoxFuture<'static, Result<i32>>) -> Session {
    let (out, stdout) = mpsc::channel(WAITING);
    let (err, stderr) = mpsc::channel(WAITING);
    let Talk { client, connection, input, tty, resize, keep_open } = talk;
    let Upgraded { reader, writer, .. } = connection;
    let exit = async move {
        let receiving = receive(reader, tty, out, err);
        let sending = join(type_in(input.stdin, writer, keep_open), sizes(client, resize, tty, input.resize));
        match select(pin!(receiving), pin!(sending)).await {
            Either::Left((received, _)) => received?,
            Either::Right((_, receiving)) => receiving.await?,
        }
        exit.await
    };
    Session { stdout: stdout.boxed_local(), stderr: stderr.boxed_local(), exit: Box::pin(exit) }
}

/// Hand on what the process writes, until it ends or nobody reads.
async fn receive(
    mut from: Body,
    tty: bool,
    mut out: mpsc::Sender<Vec<u8>>,
    mut err: mpsc::Sender<Vec<u8>>,
) -> Result<()> {
    let mut frames = Frames::default();
    while let Some(bytes) = from.chunk().await? {
        if tty {
            if out.send(bytes).await.is_err() {
                return Ok(());
            }
            continue;
        }
        frames.push(&bytes);
        while let Some(frame) = frames.next()? {
            let to = if frame.source == LogSource::Stderr { &mut err } else { &mut out };
            if !frame.bytes.is_empty() && to.send(frame.bytes).await.is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

async fn type_in(mut from: pluglet_sdk::ByteStream, mut to: BodyWriter, keep_open: bool) {
    while let Some(bytes) = from.next().await {
        if !to.send(bytes).await {
            return;
        }
    }
    if keep_open {
        pending::<()>().await;
    }
}

async fn sizes(
    client: Client,
    path: String,
    tty: bool,
    mut sizes: futures::stream::LocalBoxStream<'static, TerminalSize>,
) {
    while let Some(TerminalSize { width, height }) = sizes.next().await {
        let target = format!("{path}?h={height}&w={width}");
        let mut tries = 0;
        // A terminal of the wrong size is no reason to end a session.
        while tty && tries < RESIZES && send(client.post(&target)).await.is_err() {
            tries += 1;
            client.host.sleep(PAUSE).await;
        }
    }
}
