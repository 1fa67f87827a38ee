//! HTTP to endpoints that the operator granted by name.
//!
//! In: requests. Out: what the host sends. Invariant: a provider names an endpoint, and the host decides whether the target lies within its
//! grant; the host adds the credentials, so they never enter the guest.

mod answer;
mod body;
mod handshake;
mod websocket;

use std::time::Duration;

use serde::Serialize;

pub use self::answer::{HttpError, Response, StreamingResponse};
#[cfg(target_arch = "wasm32")]
pub(crate) use self::body::Frame;
pub use self::body::{Body, BodyWriter};
pub use self::handshake::{Handshake, Upgraded};
pub use self::websocket::{Message, WebSocket, WebSocketBuilder, WebSocketReader, WebSocketWriter};
use super::{Host, Imports};
use crate::Error;

/// Headers or trailers, in their order. Names may repeat; their case has no meaning.
pub type Headers = Vec<(String, String)>;

/// How many bytes of an answer are accepted unless the request says otherwise.
const DEFAULT_MAX_BYTES: u32 = 8 << 20;

/// A request to one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// A name from the provider's manifest.
    pub endpoint: String,
    /// `GET`, `PUT`, …
    pub method: String,
    /// Path and query, starting with `/`: appended to the path of the operator's base URL. For an endpoint that was granted as a range
    /// of hosts or addresses a whole URL, such as one that the backend handed out. Escape what you put in.
    pub target: String,
    /// `Host`, hop-by-hop headers, `Content-Length` and credentials are the host's business.
    pub headers: Headers,
    /// The body; may be empty. Not that of a request whose body flows.
    pub body: Vec<u8>,
    /// From the call to the last byte of the answer (for upgrades and websockets: to its head), to the millisecond. None: the endpoint's
    /// own limit, which is never exceeded.
    pub timeout: Option<Duration>,
    /// The largest body that is accepted. Not for answers that are streamed.
    pub max_bytes: u32,
}

/// One endpoint of the manifest.
#[derive(Clone, Copy)]
pub struct Endpoint<'a> {
    host: &'a Host,
    name: &'a str,
}

impl<'a> Endpoint<'a> {
    pub(super) fn new(host: &'a Host, name: &'a str) -> Self {
        Self { host, name }
    }

    /// A request with any method; `target` is path and query, or a whole URL: see [`Request::target`].
    #[must_use]
    pub fn request(self, method: &str, target: impl Into<String>) -> RequestBuilder<'a> {
        let request = Request {
            endpoint: self.name.to_owned(),
            method: method.to_owned(),
            target: target.into(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout: None,
            max_bytes: DEFAULT_MAX_BYTES,
        };
        RequestBuilder { host: self.host, request }
    }

    /// A `GET` request.
    #[must_use]
    pub fn get(self, target: impl Into<String>) -> RequestBuilder<'a> {
        self.request("GET", target)
    }

    /// A `PUT` request.
    #[must_use]
    pub fn put(self, target: impl Into<String>) -> RequestBuilder<'a> {
        self.request("PUT", target)
    }

    /// A `POST` request.
    #[must_use]
    pub fn post(self, target: impl Into<String>) -> RequestBuilder<'a> {
        self.request("POST", target)
    }

    /// A `DELETE` request.
    #[must_use]
    pub fn delete(self, target: impl Into<String>) -> RequestBuilder<'a> {
        self.request("DELETE", target)
    }

    /// A WebSocket. Needs `websocket: true` in the manifest.
    #[must_use]
    pub fn websocket(self, target: impl Into<String>) -> WebSocketBuilder<'a> {
        WebSocketBuilder::new(self.get(target))
    }
}

/// A request that is being put together.
#[derive(Clone)]
pub struct RequestBuilder<'a> {
    host: &'a Host,
    request: Request,
}

impl RequestBuilder<'_> {
    /// Add a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.request.headers.push((name.into(), value.into()));
        self
    }

    /// Set the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.request.body = body.into();
        self
    }

    /// Set a body that is JSON.
    ///
    /// # Errors
    /// [`Error::Internal`] when `body` cannot be written as JSON.
    pub fn json(self, body: &impl Serialize) -> Result<Self, Error> {
        let body = serde_json::to_vec(body).map_err(|error| Error::Internal(format!("request body: {error}")))?;
        Ok(self.json_text(body))
    }

    /// Set a body that is JSON text already.
    #[must_use]
    pub fn json_text(self, body: impl Into<Vec<u8>>) -> Self {
        self.header("content-type", "application/json").body(body)
    }

    /// Give up after this time, to the millisecond.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.request.timeout = Some(timeout);
        self
    }

    /// Accept a body of at most this many bytes. 8 MiB unless set.
    #[must_use]
    pub fn max_bytes(mut self, bytes: u32) -> Self {
        self.request.max_bytes = bytes;
        self
    }

    /// Send it and wait for the whole answer.
    ///
    /// # Errors
    /// [`HttpError`] when there is no answer. Any HTTP status is an answer: see [`Response::ok`].
    pub async fn send(self) -> Result<Response, HttpError> {
        self.host.fetch(self.request).await
    }

    /// Send it and take the answer's body as it comes. Dropping that body ends the exchange.
    ///
    /// # Errors
    /// [`HttpError`] when there is no answer. Any HTTP status is an answer: see [`StreamingResponse::ok`].
    pub async fn stream(mut self) -> Result<StreamingResponse, HttpError> {
        let body = std::mem::take(&mut self.request.body);
        self.stream_with(body).await
    }

    /// The same with a body that flows, such as one from [`Body::channel`]. It takes the place of one that was set before; `GET`,
    /// `HEAD` and `OPTIONS` have none, and it is not read.
    ///
    /// Returns with the head of the answer, which may be before the request's body has ended. Nothing is sent until the future is awaited,
    /// so fill a channel from another task ([`Host::spawn`]) or beside it (`join!`).
    ///
    /// # Errors
    /// As [`RequestBuilder::stream`], and the body's own error when it breaks off.
    pub async fn stream_with(mut self, body: impl Into<Body>) -> Result<StreamingResponse, HttpError> {
        self.request.body.clear();
        self.host.backend().send(self.host.tasks(), self.request, body.into()).await
    }

    /// Ask for a connection that stops being HTTP (status 101), as Docker's exec does. `protocol` goes into the `Upgrade` header, a body
    /// that was set is sent along. Needs `upgrade: true` in the manifest.
    ///
    /// # Errors
    /// [`HttpError`] when there is no answer. One that does not switch is [`Handshake::Refused`].
    pub async fn upgrade(self, protocol: &str) -> Result<Handshake<Upgraded>, HttpError> {
        let (writer, output) = Body::pipe();
        let answer = self.host.backend().upgrade(self.host.tasks(), self.request, protocol, output).await?;
        Ok(answer.map(|(headers, reader)| Upgraded { headers, reader, writer }))
    }
}
