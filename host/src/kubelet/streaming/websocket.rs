//! A WebSocket whose messages belong to channels.
//!
//! In: a request that wants one; bytes on channels. Out: the same from the client. Invariant: a client hears of this side while its input
//! waits for the container, or it would give up; a conversation ends with a close in order.

mod remote;

pub(super) use remote::begin;
#[cfg(any(test, fuzzing))]
pub(super) use remote::fuzz;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::Request;
use axum::http::header::{HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tracing::debug;

use super::client::Gone;
use super::handshake::{self, Pending, Refusal};
use super::{IDLE, LINGER};

/// Longest message that is taken. Clients send 32 KiB; without a limit one message could fill the memory.
const LONGEST_MESSAGE: usize = 1 << 20;
/// Largest piece of output in one message.
const PIECE: usize = 32 * 1024;
/// Messages that wait to be sent.
const UNSENT: usize = 8;
/// While the container does not take its input the client is not read, and its pings wait. It gives up after 61 s without a pong, and takes one
/// that it did not ask for.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How channels are written in messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The first byte is the channel.
    Binary,
    /// Text: a digit, and the bytes in base64.
    Base64,
}

/// Sends messages to a client.
#[derive(Clone)]
pub(super) struct Frames {
    messages: mpsc::Sender<Message>,
    form: Form,
}

impl Frames {
    /// Bytes on a channel, in pieces.
    pub(super) async fn send(&self, channel: u8, mut bytes: Bytes) -> Result<(), Gone> {
        loop {
            let piece = bytes.split_to(bytes.len().min(PIECE));
            self.messages.send(self.message(channel, &piece)).await.map_err(|_| Gone)?;
            if bytes.is_empty() {
                return Ok(());
            }
        }
    }

    fn message(&self, channel: u8, bytes: &[u8]) -> Message {
        match self.form {
            Form::Binary => {
                let mut message = BytesMut::with_capacity(1 + bytes.len());
                message.put_u8(channel);
                message.put_slice(bytes);
                Message::Binary(message.freeze())
            }
            Form::Base64 => {
                let mut text = String::from(char::from(b'0'.wrapping_add(channel)));
                STANDARD.encode_string(bytes, &mut text);
                Message::text(text)
            }
        }
    }

    /// Ends the conversation in order: anything else is an error for clients, also after a success.
    pub(super) async fn close(&self) {
        let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        self.messages.send(Message::Close(Some(frame))).await.ok();
    }
}

/// Agrees on one of `known`; without an offer on `silent`.
pub(super) fn agree<'a>(
    request: &mut Request,
    known: &[&'a str],
    silent: &'a str,
) -> Result<(&'a str, Response, Pending), Refusal> {
    let headers = request.headers();
    let Some(key) = headers.get(SEC_WEBSOCKET_KEY) else {
        return Err(Refusal::bad_request("a WebSocket needs the header Sec-WebSocket-Key"));
    };
    let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes()));
    let accept = accept.map_err(|error| Refusal::bad_request(error.to_string()))?;
    let offered = handshake::list(headers, &SEC_WEBSOCKET_PROTOCOL);
    let chosen = handshake::choose(&offered, known);
    if chosen.is_none() && !offered.is_empty() {
        let text = format!("none of the WebSocket protocols {offered:?} is known: {known:?} are");
        return Err(Refusal::bad_request(text));
    }
    let named = chosen.map(|chosen| (SEC_WEBSOCKET_PROTOCOL, chosen));
    let mut response = handshake::switching(HeaderValue::from_static("websocket"), named)?;
    response.headers_mut().insert(SEC_WEBSOCKET_ACCEPT, accept);
    Ok((chosen.unwrap_or(silent), response, Pending::of(request)))
}

/// The two directions of a conversation.
pub(super) struct Conversation<T> {
    pub(super) incoming: Messages<T>,
    outgoing: SplitSink<WebSocketStream<T>, Message>,
    queue: mpsc::Receiver<Message>,
    pub(super) frames: Frames,
    sent: Arc<AtomicU64>,
}

/// What the client sends.
pub(super) struct Messages<T> {
    stream: SplitStream<WebSocketStream<T>>,
    form: Form,
    sent: Arc<AtomicU64>,
}

/// The messages of a connection that was agreed on.
pub(super) async fn open<T: AsyncRead + AsyncWrite + Unpin>(io: T) -> WebSocketStream<T> {
    let config =
        WebSocketConfig::default().max_message_size(Some(LONGEST_MESSAGE)).max_frame_size(Some(LONGEST_MESSAGE));
    WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await
}

impl<T: AsyncRead + AsyncWrite + Unpin> Conversation<T> {
    pub(super) async fn new(io: T, form: Form) -> Self {
        let (outgoing, stream) = open(io).await.split();
        let (messages, queue) = mpsc::channel(UNSENT);
        let sent = Arc::new(AtomicU64::new(0));
        let incoming = Messages { stream, form, sent: sent.clone() };
        Self { incoming, outgoing, queue, frames: Frames { messages, form }, sent }
    }

    /// Takes it apart: what arrives, where to send, and what must be polled for that to happen.
    pub(super) fn split(self) -> (Messages<T>, Frames, impl Future<Output = ()>) {
        let Self { incoming, mut outgoing, mut queue, frames, sent } = self;
        let writing = async move {
            while let Some(message) = queue.recv().await {
                if outgoing.feed(message).await.is_err() {
                    return;
                }
                sent.fetch_add(1, Ordering::Relaxed);
                if queue.is_empty() && outgoing.flush().await.is_err() {
                    return;
                }
            }
        };
        (incoming, frames, writing)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Messages<T> {
    /// The next channel and its bytes; None when the client has closed, broken a rule, or been silent for too long. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<(u8, Bytes)> {
        loop {
            let before = self.sent.load(Ordering::Relaxed);
            let message = match timeout(IDLE, self.stream.next()).await {
                Ok(Some(Ok(message))) => message,
                Ok(Some(Err(error))) => {
                    debug!(%error, "a WebSocket broke");
                    return None;
                }
                Ok(None) => return None,
                // Output is life too.
                Err(_) if self.sent.load(Ordering::Relaxed) != before => continue,
                Err(_) => return None,
            };
            let framed = match (message, self.form) {
                (Message::Binary(bytes), Form::Binary) => channel(bytes),
                (Message::Text(text), Form::Base64) => decode(&text),
                (Message::Close(_), _) => return None,
                // Pings are answered by the library.
                _ => None,
            };
            if framed.is_some() {
                return framed;
            }
        }
    }

    /// All senders are gone: what is queued is sent, and the client closes.
    pub(super) async fn close(&mut self, writing: impl Future<Output = ()>) {
        let closed = async { while self.next().await.is_some() {} };
        timeout(LINGER, async { tokio::join!(writing, closed) }).await.ok();
    }
}

/// Empty messages mean nothing.
fn channel(mut bytes: Bytes) -> Option<(u8, Bytes)> {
    (!bytes.is_empty()).then(|| (bytes.get_u8(), bytes))
}

fn decode(text: &str) -> Option<(u8, Bytes)> {
    let (first, rest) = text.split_at_checked(1)?;
    let channel = first.bytes().next()?.checked_sub(b'0')?;
    Some((channel, STANDARD.decode(rest).ok()?.into()))
}

/// Waits until there is room, and keeps the client from giving up meanwhile. An error: nobody takes it any more.
pub(super) async fn deliver(to: &mpsc::Sender<Bytes>, bytes: Bytes, frames: &Frames) -> Result<(), Gone> {
    loop {
        match timeout(KEEP_ALIVE, to.reserve()).await {
            Ok(Ok(place)) => {
                place.send(bytes);
                return Ok(());
            }
            Ok(Err(_)) => return Err(Gone),
            Err(_) => frames.messages.send(Message::Pong(Bytes::new())).await.map_err(|_| Gone)?,
        }
    }
}

#[cfg(test)]
mod tests;
