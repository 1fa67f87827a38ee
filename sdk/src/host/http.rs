//! HTTP to endpoints that the operator granted by name.
//!
//! In: requests. Out: what the host sends. Invariant: a provider names an endpoint and a path, never a URL; the host
//! adds the credentials, so they never enter the guest.

mod answer;

use std::time::Duration;

use serde::Serialize;

pub use self::answer::{HttpError, Response};
use super::Host;
use crate::Error;

/// How many bytes of an answer are accepted unless the request says otherwise.
const DEFAULT_MAX_BYTES: u32 = 8 << 20;

/// A request to one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// A name from the provider's manifest.
    pub endpoint: String,
    /// `GET`, `PUT`, …
    pub method: String,
    /// Starts with `/`; appended to the path of the operator's base URL. Escape what you put in.
    pub path_and_query: String,
    /// `Host`, hop-by-hop headers and credentials are the host's business.
    pub headers: Vec<(String, String)>,
    /// The body; may be empty.
    pub body: Vec<u8>,
    /// From the call to the last byte of the answer, to the millisecond. None: the endpoint's own limit.
    pub timeout: Option<Duration>,
    /// The largest body that is accepted.
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

    /// A request with any method.
    #[must_use]
    pub fn request(self, method: &str, path_and_query: impl Into<String>) -> RequestBuilder<'a> {
        let request = Request {
            endpoint: self.name.to_owned(),
            method: method.to_owned(),
            path_and_query: path_and_query.into(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout: None,
            max_bytes: DEFAULT_MAX_BYTES,
        };
        RequestBuilder { host: self.host, request }
    }

    /// A `GET` request.
    #[must_use]
    pub fn get(self, path_and_query: impl Into<String>) -> RequestBuilder<'a> {
        self.request("GET", path_and_query)
    }

    /// A `PUT` request.
    #[must_use]
    pub fn put(self, path_and_query: impl Into<String>) -> RequestBuilder<'a> {
        self.request("PUT", path_and_query)
    }

    /// A `POST` request.
    #[must_use]
    pub fn post(self, path_and_query: impl Into<String>) -> RequestBuilder<'a> {
        self.request("POST", path_and_query)
    }

    /// A `DELETE` request.
    #[must_use]
    pub fn delete(self, path_and_query: impl Into<String>) -> RequestBuilder<'a> {
        self.request("DELETE", path_and_query)
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
}
