//! A remote command over a WebSocket.
//!
//! In: the client's channels. Out: a [`Client`] for the command, and its outcome on the error channel. Invariant: the session ends with the outcome
//! and a close in order.

use std::pin::pin;

use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use futures::FutureExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tracing::debug;

use super::super::client::{Client, Output, Sizes, WAITING_INPUT};
use super::super::command::Command;
use super::super::handshake::{Refusal, Session};
use super::super::target::Streams;
use super::{Conversation, Form, Frames, Messages, agree, deliver};

/// Of a remote command. A client that offers none means the last but one.
pub(super) const PROTOCOLS: [&str; 5] =
    ["v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io", "channel.k8s.io", "base64.channel.k8s.io"];

pub(super) const STDIN: u8 = 0;
pub(super) const STDOUT: u8 = 1;
pub(super) const STDERR: u8 = 2;
const ERROR: u8 = 3;
pub(in super::super) const RESIZE: u8 = 4;
/// Since v5: the client has finished the channel that follows.
const CLOSE: u8 = 255;

/// What the protocol that was chosen has.
#[derive(Clone, Copy)]
struct Version {
    form: Form,
    /// The outcome is a Status, said always.
    status: bool,
    /// Channels can be closed.
    close: bool,
}

/// Answers the request; what follows runs the command.
pub(in super::super) fn begin(
    request: &mut Request,
    streams: Streams,
    command: Command,
) -> Result<(Response, Session), Refusal> {
    let (protocol, response, pending) = agree(request, &PROTOCOLS, "channel.k8s.io")?;
    let version = Version {
        form: if protocol.contains("base64") { Form::Base64 } else { Form::Binary },
        status: protocol.starts_with('v'),
        close: protocol.starts_with("v5"),
    };
    let session = async move {
        let Some(io) = pending.connection().await else { return };
        let (mut incoming, frames, writing) = Conversation::new(io, version.form).await.split();
        let mut writing = pin!(writing);
        tokio::select! {
            // What is lost of the other arm when one ends is lost with the connection. The client does not take anything any more:
            () = &mut writing => return,
            go_on = serve(&mut incoming, frames, streams, version, command) => if !go_on { return },
        }
        incoming.close(writing).await;
    };
    Ok((response, session.boxed()))
}

/// Runs the command. False where the client has gone away before its end.
async fn serve<T: AsyncRead + AsyncWrite + Unpin>(
    incoming: &mut Messages<T>,
    frames: Frames,
    wanted: Streams,
    version: Version,
    command: Command,
) -> bool {
    let (input, from_client) = mpsc::channel(WAITING_INPUT);
    let (sizes, from_terminal) = Sizes::channel();
    let output = |wanted: bool, channel| wanted.then(|| Output::WebSocket(frames.clone(), channel));
    let client = Client {
        stdin: from_client,
        resize: from_terminal,
        stdout: output(wanted.stdout, STDOUT),
        stderr: output(wanted.stderr, STDERR),
    };
    let first = if wanted.stdout {
        STDOUT
    } else if wanted.stderr {
        STDERR
    } else {
        ERROR
    };
    // Some clients wait for it before they send anything.
    if frames.send(first, Bytes::new()).await.is_err() {
        return false;
    }
    let input = Input { stdin: wanted.stdin.then_some(input), resize: wanted.tty.then_some(sizes) };
    let outcome = tokio::select! {
        // Ends the session, and what is typed meanwhile is for nobody.
        outcome = command.run(client) => outcome,
        // The client has gone, and the command is to end with it.
        () = input.read(incoming, &frames, version) => return false,
    };
    let Some(outcome) = outcome else { return false };
    if let Some(told) = outcome.told(version.status) {
        frames.send(ERROR, told).await.ok();
    }
    frames.close().await;
    true
}

/// What the fuzzer does: all of the newest protocol but the command.
#[cfg(any(test, fuzzing))]
pub(in super::super) async fn fuzz<T: AsyncRead + AsyncWrite + Unpin>(conversation: Conversation<T>, form: Form) {
    let (incoming, frames, writing) = conversation.split();
    let (stdin, mut typed) = mpsc::channel(WAITING_INPUT);
    let (sizes, _told) = Sizes::channel();
    let input = Input { stdin: Some(stdin), resize: Some(sizes) };
    let mut incoming = incoming;
    let reading = async {
        input.read(&mut incoming, &frames, Version { form, status: true, close: true }).await;
        drop(frames);
    };
    let taking = async {
        while let Some(bytes) = typed.recv().await {
            assert!(bytes.len() <= super::LONGEST_MESSAGE, "{}", bytes.len());
        }
    };
    tokio::join!(reading, taking, writing);
}

/// Where the client's channels lead.
struct Input {
    stdin: Option<mpsc::Sender<Bytes>>,
    /// None without a terminal, and once something came that is no size: nothing is kept of what cannot be read.
    resize: Option<Sizes>,
}

impl Input {
    /// Until the client goes away.
    async fn read<T: AsyncRead + AsyncWrite + Unpin>(
        mut self,
        incoming: &mut Messages<T>,
        frames: &Frames,
        version: Version,
    ) {
        while let Some((channel, bytes)) = incoming.next().await {
            match channel {
                STDIN => self.type_in(bytes, frames).await,
                RESIZE if self.resize.as_mut().is_some_and(|sizes| sizes.hear(&bytes).is_err()) => self.resize = None,
                CLOSE if version.close => match bytes.as_ref() {
                    [STDIN] => self.stdin = None,
                    [_] => {}
                    _ => return debug!("a client closed a channel that is none"),
                },
                _ => {}
            }
        }
    }

    /// A container that takes no more input drops what comes.
    async fn type_in(&mut self, bytes: Bytes, frames: &Frames) {
        let Some(stdin) = self.stdin.clone().filter(|_| !bytes.is_empty()) else { return };
        if deliver(&stdin, bytes, frames).await.is_err() {
            self.stdin = None;
        }
    }
}
