//! WebSockets (RFC 6455) to granted endpoints.
//!
//! In: messages of both sides. Out: the same on the other. Invariant: a close is the last message of its direction; pings are answered
//! by the host and not seen here.

use std::fmt;
use std::time::Duration;

use futures::SinkExt;
use futures::channel::mpsc;
use futures::stream::{LocalBoxStream, StreamExt};

use super::{Handshake, HttpError, Imports, RequestBuilder};

/// One message, at most 1 MiB: a larger one, in either direction, ends the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Text.
    Text(String),
    /// Bytes.
    Binary(Vec<u8>),
    /// The end, with a status code as in RFC 6455 section 7.4; 1005 where there is none.
    Close(u16),
}

/// A WebSocket that is being asked for.
#[derive(Clone)]
pub struct WebSocketBuilder<'a> {
    request: RequestBuilder<'a>,
    protocols: Vec<String>,
}

impl<'a> WebSocketBuilder<'a> {
    pub(super) fn new(request: RequestBuilder<'a>) -> Self {
        Self { request, protocols: Vec::new() }
    }

    /// Add a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    /// Offer a protocol. The first one that is offered is the one that is liked best.
    #[must_use]
    pub fn protocol(mut self, protocol: impl Into<String>) -> Self {
        self.protocols.push(protocol.into());
        self
    }

    /// Give up when there is no answer after this time, to the millisecond.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.request = self.request.timeout(timeout);
        self
    }

    /// Connect.
    ///
    /// # Errors
    /// [`HttpError`] when there is no answer. One that does not switch is [`Handshake::Refused`].
    pub async fn connect(self) -> Result<Handshake<WebSocket>, HttpError> {
        let RequestBuilder { host, request } = self.request;
        let (outgoing, messages) = mpsc::channel(0);
        let answer = host.backend().websocket(host.tasks(), request, self.protocols, messages).await?;
        Ok(answer.map(|(protocol, incoming)| WebSocket::new(protocol, incoming, outgoing)))
    }
}

/// A WebSocket that is open. Dropping it closes it with code 1000.
pub struct WebSocket {
    /// The protocol that the server chose; empty when it chose none.
    pub protocol: String,
    reader: WebSocketReader,
    writer: WebSocketWriter,
}

impl WebSocket {
    pub(crate) fn new(
        protocol: String,
        incoming: LocalBoxStream<'static, Message>,
        outgoing: mpsc::Sender<Message>,
    ) -> Self {
        Self { protocol, reader: WebSocketReader(Some(incoming)), writer: WebSocketWriter(outgoing) }
    }

    /// Send a message, and wait while the peer is slow. False when the connection has ended.
    pub async fn send(&mut self, message: Message) -> bool {
        self.writer.send(message).await
    }

    /// The next message. None after a close, or without one when the connection broke.
    pub async fn next(&mut self) -> Option<Message> {
        self.reader.next().await
    }

    /// Say that nothing more is sent. What the peer still sends can be read, up to its own close.
    pub async fn close(&mut self, code: u16) {
        self.writer.close(code).await;
    }

    /// Both directions, for two tasks.
    #[must_use]
    pub fn split(self) -> (WebSocketWriter, WebSocketReader) {
        (self.writer, self.reader)
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket").field("protocol", &self.protocol).finish_non_exhaustive()
    }
}

/// The sending direction of a [`WebSocket`]. It is closed with code 1000 when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct WebSocketWriter(mpsc::Sender<Message>);

impl WebSocketWriter {
    /// [`WebSocket::send`].
    pub async fn send(&mut self, message: Message) -> bool {
        self.0.send(message).await.is_ok()
    }

    /// [`WebSocket::close`].
    pub async fn close(&mut self, code: u16) {
        self.send(Message::Close(code)).await;
        self.0.close_channel();
    }
}

/// The receiving direction of a [`WebSocket`].
pub struct WebSocketReader(Option<LocalBoxStream<'static, Message>>);

impl WebSocketReader {
    /// [`WebSocket::next`].
    pub async fn next(&mut self) -> Option<Message> {
        let message = self.0.as_mut()?.next().await;
        if !matches!(message, Some(Message::Text(_) | Message::Binary(_))) {
            self.0 = None;
        }
        message
    }
}

impl fmt::Debug for WebSocketReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketReader").field("open", &self.0.is_some()).finish()
    }
}
