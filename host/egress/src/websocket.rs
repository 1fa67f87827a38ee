//! `websocket`: messages both ways (RFC 6455).
//!
//! In: an [`Outgoing`] request and the protocols to offer. Out: a [`WebSocket`], or the answer that was no switch. Invariant: the handshake is
//! a request like any other; messages are bounded in both directions; pings are answered by the host.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt as _, Stream as _, StreamExt as _};
use http::header::{self, HeaderValue};
use http::{HeaderMap, Method};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self};

use crate::answer::Answer;
use crate::check::{self, Outgoing};
use crate::egress::Egress;
use crate::error::{Error, Refusal};
use crate::mask::Mask;
use crate::upgrade::{IdleAlarm, Shared, Switched};

/// Bytes of one message. A message is held whole, on both sides.
pub const MAX_MESSAGE_BYTES: usize = 1 << 20;

/// Protocols that can be offered at once.
const MAX_PROTOCOLS: usize = 16;

/// RFC 6455 section 7.4.1: no status code was in the close frame.
const NO_STATUS: u16 = 1005;

/// What came of asking for a websocket.
pub enum WebSocketAnswer {
    /// It is open.
    Open(WebSocket),
    /// The server did not switch; this is what it said.
    Refused(Answer),
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Text.
    Text(String),
    /// Bytes.
    Binary(Bytes),
    /// The end, with its status code.
    Close(u16),
}

/// An open websocket.
pub struct WebSocket {
    /// The protocol that the server chose; empty when it chose none.
    pub protocol: String,
    /// From the server.
    pub incoming: Incoming,
    /// To the server.
    pub outgoing: Outbound,
}

type Stream = WebSocketStream<TokioIo<Upgraded>>;

/// Messages from the server.
pub struct Incoming {
    stream: SplitStream<Stream>,
    mask: Mask,
    alarm: IdleAlarm,
    closed: bool,
    shared: Arc<Shared>,
}

/// Messages to the server.
pub struct Outbound {
    sink: SplitSink<Stream, tungstenite::Message>,
    shared: Arc<Shared>,
}

impl Egress {
    /// Open a websocket, offering `protocols` in their order.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn websocket(&self, outgoing: Outgoing, protocols: &[String]) -> Result<WebSocketAnswer, Error> {
        let name = outgoing.endpoint.clone();
        let outcome = self.websocket_checked(outgoing, protocols).await;
        self.noted(&name, outcome)
    }

    async fn websocket_checked(&self, outgoing: Outgoing, protocols: &[String]) -> Result<WebSocketAnswer, Error> {
        let outgoing = Outgoing { method: Method::GET.to_string(), ..outgoing };
        let endpoint = self.find(&outgoing.endpoint)?;
        let mut checked = check::request(&endpoint.right, &outgoing, endpoint.owned_headers())?;
        if !endpoint.right.websocket {
            return Err(Error::Denied(Refusal::Websocket));
        }
        let key = generate_key();
        offer(&mut checked.headers, &key, protocols)?;
        let idle = endpoint.right.grant.limits.idle_timeout;
        let switched = self.switch(endpoint, checked, Bytes::new(), outgoing.timeout).await?;
        let (upgraded, headers, mask, held) = match switched {
            Switched::No(answer) => return Ok(WebSocketAnswer::Refused(answer)),
            Switched::Yes { upgraded, headers, mask, held, .. } => (upgraded, headers, mask, held),
        };
        let protocol = accepted(&headers, &key, protocols)?;
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_MESSAGE_BYTES))
            .max_frame_size(Some(MAX_MESSAGE_BYTES))
            .max_write_buffer_size(2 * MAX_MESSAGE_BYTES)
            .write_buffer_size(0);
        let stream = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, Some(config)).await;
        let (sink, stream) = stream.split();
        let shared = Shared::new(held);
        let outgoing = Outbound { sink, shared: Arc::clone(&shared) };
        let incoming = Incoming { stream, mask, alarm: IdleAlarm::new(idle), closed: false, shared };
        Ok(WebSocketAnswer::Open(WebSocket { protocol, incoming, outgoing }))
    }
}

/// The headers of the client's handshake (RFC 6455 section 4.1).
fn offer(headers: &mut HeaderMap, key: &str, protocols: &[String]) -> Result<(), Error> {
    let token = |text: &String| {
        !text.is_empty()
            && text.len() <= 128
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
    };
    if protocols.len() > MAX_PROTOCOLS || !protocols.iter().all(token) {
        return Err(Error::Denied(Refusal::Protocol));
    }
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    let value = |text: &str| HeaderValue::from_str(text).map_err(|_| Error::Denied(Refusal::Protocol));
    headers.insert(header::SEC_WEBSOCKET_KEY, value(key)?);
    if !protocols.is_empty() {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, value(&protocols.join(", "))?);
    }
    Ok(())
}

/// Whether the server's handshake is right; gives back the protocol that it chose.
fn accepted(headers: &HeaderMap, key: &str, offered: &[String]) -> Result<String, Error> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let wrong = |what: &str| Err(Error::Protocol(format!("the server's websocket handshake has {what}")));
    if !text(header::UPGRADE).is_some_and(|value| value.eq_ignore_ascii_case("websocket")) {
        return wrong("another protocol in its `Upgrade` header");
    }
    if text(header::SEC_WEBSOCKET_ACCEPT) != Some(derive_accept_key(key.as_bytes()).as_str()) {
        return wrong("a wrong `Sec-WebSocket-Accept`");
    }
    if headers.contains_key(header::SEC_WEBSOCKET_EXTENSIONS) {
        return wrong("an extension that was not offered");
    }
    match text(header::SEC_WEBSOCKET_PROTOCOL) {
        None => Ok(String::new()),
        Some(chosen) if offered.iter().any(|offer| offer == chosen) => Ok(chosen.to_owned()),
        Some(_) => wrong("a protocol that was not offered"),
    }
}

impl Incoming {
    /// The next message. None after [`Message::Close`], and without one when the connection broke in order.
    pub async fn next(&mut self) -> Option<Result<Message, Error>> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The next message, as a poll.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Message, Error>>> {
        if self.closed {
            return Poll::Ready(None);
        }
        loop {
            let message = match Pin::new(&mut self.stream).poll_next(cx) {
                Poll::Ready(message) => message,
                Poll::Pending => {
                    let shared = &self.shared;
                    std::task::ready!(self.alarm.poll(cx, || shared.active()));
                    self.closed = true;
                    return Poll::Ready(Some(Err(Error::Timeout)));
                }
            };
            self.shared.touch();
            self.alarm.quiet();
            let mapped = match message {
                None => None,
                Some(Err(error)) => failure(&error).map(Err),
                Some(Ok(tungstenite::Message::Ping(_) | tungstenite::Message::Pong(_))) => continue,
                Some(Ok(message)) => Some(Ok(self.masked(message))),
            };
            self.closed = !matches!(mapped, Some(Ok(Message::Text(_) | Message::Binary(_))));
            if self.closed {
                // The answer to a close goes out when the socket is next read, and nobody reads it any more.
                let _ = Pin::new(&mut self.stream).poll_next(cx);
            }
            return Poll::Ready(mapped);
        }
    }

    fn masked(&self, message: tungstenite::Message) -> Message {
        match message {
            tungstenite::Message::Text(text) => Message::Text(self.mask.text(text.as_bytes())),
            tungstenite::Message::Close(frame) => {
                Message::Close(frame.map_or(NO_STATUS, |frame| u16::from(frame.code)))
            }
            other => {
                let mut bytes = other.into_data().to_vec();
                self.mask.apply(&mut bytes);
                Message::Binary(bytes.into())
            }
        }
    }
}

/// What a failure is; None for an end that is in order.
fn failure(error: &tungstenite::Error) -> Option<Error> {
    match error {
        tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => None,
        tungstenite::Error::Capacity(_) => Some(Error::TooLarge),
        tungstenite::Error::Io(error) => Some(Error::Connect(error.to_string())),
        other => Some(Error::Protocol(other.to_string())),
    }
}

impl Outbound {
    /// Send a message; returns when it is on its way.
    ///
    /// # Errors
    /// When it is larger than 1 MiB or the connection broke.
    pub async fn send(&mut self, message: Message) -> Result<(), Error> {
        let message = match message {
            Message::Text(text) if text.len() > MAX_MESSAGE_BYTES => return Err(Error::TooLarge),
            Message::Binary(bytes) if bytes.len() > MAX_MESSAGE_BYTES => return Err(Error::TooLarge),
            Message::Text(text) => tungstenite::Message::Text(text.into()),
            Message::Binary(bytes) => tungstenite::Message::Binary(bytes),
            Message::Close(NO_STATUS) => tungstenite::Message::Close(None),
            Message::Close(code) => {
                tungstenite::Message::Close(Some(CloseFrame { code: CloseCode::from(code), reason: "".into() }))
            }
        };
        match self.sink.send(message).await {
            Ok(()) => {
                self.shared.touch();
                Ok(())
            }
            // The other end has gone already; there is nobody to tell.
            Err(error) => failure(&error).map_or(Ok(()), Err),
        }
    }
}
