//! A remote command over SPDY.
//!
//! In: the client's streams. Out: a [`Client`] for the command, and its outcome on the error stream. Invariant: nothing begins before all streams are
//! there; at the end every stream is finished and the client closes the connection.

use std::pin::pin;

use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use futures::FutureExt;
use pluglet_spdy::{Connection, Incoming, Reader, Reset, Writer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::debug;

use super::client::{Client, Output, Sizes, WAITING_INPUT};
use super::command::Command;
use super::handshake::{self, Refusal, Session};
use super::outcome::Outcome;
use super::target::Streams;
use super::{IDLE, LINGER, STREAM_CREATION};

/// Newest first. There is no v5 over SPDY, though clients offer it.
const PROTOCOLS: [&str; 4] = ["v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"];

/// What a version of the protocol has.
#[derive(Clone, Copy)]
struct Version {
    /// The outcome is a Status, said always.
    status: bool,
    /// There is a stream for sizes of the terminal.
    resize: bool,
}

/// Answers the request; what follows runs the command.
pub(super) fn begin(request: &mut Request, streams: Streams, command: Command) -> Result<(Response, Session), Refusal> {
    let (protocol, response, pending) = handshake::spdy(request, &PROTOCOLS)?;
    let version = Version {
        status: protocol.starts_with("v4"),
        resize: protocol.starts_with("v4") || protocol.starts_with("v3"),
    };
    let session = async move {
        let Some(io) = pending.connection().await else { return };
        let served = converse(io, |incoming| serve(incoming, streams, version, command)).await;
        if let Err(why) = served {
            debug!(why, "a session did not begin");
        }
    };
    Ok((response, session.boxed()))
}

/// Runs a connection while `serve` does what its client wants. Once that is done it is the client that closes.
///
/// # Errors
/// Those of `serve`: nothing was begun, and dropping the connection is the only answer that there is.
pub(super) async fn converse<E, F: Future<Output = Result<(), E>>>(
    io: impl AsyncRead + AsyncWrite,
    serve: impl FnOnce(Incoming) -> F,
) -> Result<(), E> {
    let (connection, incoming) = Connection::new(io, IDLE);
    let mut running = pin!(connection.run());
    let outcome = tokio::select! {
        // Dropping what is served is how the client's end is told to the provider.
        outcome = &mut running => Ok(outcome),
        // `running` is pinned outside and goes on below.
        served = serve(incoming) => {
            served?;
            timeout(LINGER, running).await
        }
    };
    debug!(?outcome, "a connection ended");
    Ok(())
}

async fn serve(
    mut incoming: Incoming,
    wanted: Streams,
    version: Version,
    command: Command,
) -> Result<(), &'static str> {
    let resize = wanted.tty && version.resize;
    let opened = timeout(STREAM_CREATION, Opened::all(&mut incoming, wanted, resize)).await;
    let Ok(Some(streams)) = opened else { return Err("the client did not open the streams that it announced") };
    // More of them are refused.
    drop(incoming);
    let Opened { error, stdin, stdout, stderr, resize } = streams;
    let (input, from_client) = mpsc::channel(WAITING_INPUT);
    let (sizes, from_terminal) = Sizes::channel();
    let (stdin, stdin_writer) = stdin.unzip();
    let (resize, resize_writer) = resize.unzip();
    let client = Client {
        stdin: from_client,
        resize: from_terminal,
        stdout: stdout.clone().map(Output::Spdy),
        stderr: stderr.clone().map(Output::Spdy),
    };
    let outcome = {
        let inputs = async {
            tokio::join!(pump(stdin, input), pump_sizes(resize, sizes));
            std::future::pending::<()>().await;
        };
        tokio::select! {
            // What is typed after its end is for nobody.
            outcome = command.run(client) => outcome,
            // Never.
            () = inputs => None,
        }
    };
    let closed = || Outcome::Failed("the client has closed an output before its end".to_owned());
    let outcome = outcome.unwrap_or_else(closed);
    // What is still typed is for nobody.
    for writer in stdin_writer.iter().chain(&resize_writer) {
        writer.reset(Reset::Cancel).await;
    }
    if let Some(told) = outcome.told(version.status) {
        error.send(told).await.ok();
    }
    for writer in stdout.iter().chain(&stderr).chain([&error]) {
        writer.finish().await.ok();
    }
    Ok(())
}

/// The streams of a session.
struct Opened {
    error: Writer,
    stdin: Option<(Reader, Writer)>,
    stdout: Option<Writer>,
    stderr: Option<Writer>,
    resize: Option<(Reader, Writer)>,
}

impl Opened {
    /// Waits for all of them and answers each at once: the client opens the next only then. None where the connection ends before.
    async fn all(incoming: &mut Incoming, wanted: Streams, wants_resize: bool) -> Option<Self> {
        let (mut error, mut stdin, mut stdout, mut stderr, mut resize) = (None, None, None, None, None);
        loop {
            let complete = stdin.is_some() == wanted.stdin
                && stdout.is_some() == wanted.stdout
                && stderr.is_some() == wanted.stderr
                && resize.is_some() == wants_resize;
            if complete && let Some((_, error)) = error {
                let writer = |stream: Option<(Reader, Writer)>| stream.map(|(_, writer)| writer);
                return Some(Self { error, stdin, stdout: writer(stdout), stderr: writer(stderr), resize });
            }
            let opened = incoming.next().await?;
            let kind = opened.headers.get("streamtype").unwrap_or_default().to_ascii_lowercase();
            let place = match kind.as_str() {
                "error" => &mut error,
                "stdin" if wanted.stdin => &mut stdin,
                "stdout" if wanted.stdout => &mut stdout,
                "stderr" if wanted.stderr => &mut stderr,
                "resize" if wants_resize => &mut resize,
                _ => {
                    debug!(kind, "a client opened a stream that it had not announced");
                    opened.reject(Reset::RefusedStream).await;
                    continue;
                }
            };
            *place = Some(opened.accept().await.ok()?);
        }
    }
}

/// What the client types. Its end is the end of the input; so is a reset.
async fn pump(from: Option<Reader>, to: mpsc::Sender<Bytes>) {
    let Some(mut from) = from else { return };
    while let Ok(Some(bytes)) = from.next().await {
        if to.send(bytes).await.is_err() {
            // The container takes no more. What comes is dropped with the reader.
            return;
        }
    }
}

async fn pump_sizes(from: Option<Reader>, mut to: Sizes) {
    let Some(mut from) = from else { return };
    while let Ok(Some(bytes)) = from.next().await {
        if to.hear(&bytes).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
