//! What came back from an endpoint.
//!
//! In: status, headers, body, or the transport's failure. Out: typed bodies and [`Error`]s. Invariant: one table turns HTTP statuses
//! into errors, so that providers agree on what a 404 means.

use std::fmt;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::{Body, Headers};
use crate::error::{Error, Retry};

/// How much of an error's body is worth showing.
const SHOWN_BYTES: usize = 512;

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// Its headers, in the order in which they came.
    pub headers: Headers,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of that name, in any spelling of upper and lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// This answer, if its status is 2xx; otherwise the error that it stands for.
    ///
    /// # Errors
    /// 404 and 410 are [`Error::NotFound`], 409 [`Error::AlreadyExists`], 400 and 422 [`Error::Invalid`], 401 and 403
    /// [`Error::Denied`], 405 and 501 [`Error::Unsupported`], 429 [`Error::Quota`], 408 and all other 5xx [`Error::Unavailable`], the
    /// rest [`Error::Internal`]. `Retry-After` is passed on where it is a number of seconds.
    pub fn ok(self) -> Result<Self, Error> {
        if is_success(self.status) { Ok(self) } else { Err(self.to_error()) }
    }

    /// What this answer stands for, whatever its status.
    pub(super) fn to_error(&self) -> Error {
        let message = self.error_text();
        let retry = |message| Retry { message, after: self.retry_after() };
        match self.status {
            404 | 410 => Error::NotFound,
            409 => Error::AlreadyExists,
            400 | 422 => Error::Invalid(message),
            401 | 403 => Error::Denied(message),
            405 | 501 => Error::Unsupported(message),
            429 => Error::Quota(retry(message)),
            408 | 500..600 => Error::Unavailable(retry(message)),
            _ => Error::Internal(message),
        }
    }

    /// The body, read as JSON.
    ///
    /// # Errors
    /// [`Error::Internal`] when it does not fit the type: the backend and the provider do not agree.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|error| Error::Internal(format!("answer of the backend: {error}")))
    }

    /// The body as text.
    ///
    /// # Errors
    /// [`Error::Internal`] when it is not UTF-8.
    pub fn text(self) -> Result<String, Error> {
        String::from_utf8(self.body).map_err(|error| Error::Internal(format!("answer of the backend: {error}")))
    }

    fn retry_after(&self) -> Option<Duration> {
        self.header("retry-after")?.trim().parse().ok().map(Duration::from_secs)
    }

    fn error_text(&self) -> String {
        let shown = self.body.get(..SHOWN_BYTES).unwrap_or(&self.body);
        let body = String::from_utf8_lossy(shown);
        format!("HTTP {}: {}", self.status, body.trim())
    }
}

/// An answer whose body is still to come.
#[derive(Debug)]
pub struct StreamingResponse {
    /// The HTTP status.
    pub status: u16,
    /// Its headers, in the order in which they came.
    pub headers: Headers,
    /// The body as it comes. Dropping it ends the exchange.
    pub body: Body,
}

impl StreamingResponse {
    /// The first header of that name, in any spelling of upper and lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// This answer, if its status is 2xx; otherwise the error that it stands for, with the beginning of the body as its text.
    ///
    /// # Errors
    /// As [`Response::ok`].
    pub async fn ok(self) -> Result<Self, Error> {
        if is_success(self.status) {
            return Ok(self);
        }
        let Self { status, headers, body: mut rest } = self;
        let mut body = Vec::new();
        // A body that breaks off has said all that there is to show.
        while body.len() < SHOWN_BYTES
            && let Ok(Some(chunk)) = rest.chunk().await
        {
            body.extend(chunk);
        }
        Err(Response { status, headers, body }.to_error())
    }
}

fn is_success(status: u16) -> bool {
    (200..300).contains(&status)
}

fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpError {
    /// The operator's grant does not allow it. The text says what would.
    Denied(String),
    /// This host does not serve this call.
    Unsupported(String),
    /// It took longer than allowed.
    Timeout,
    /// No connection: name not found, refused, reset, TLS failed.
    Connect(String),
    /// A body is larger than the grant or the request allows.
    TooLarge,
    /// The peer did not speak HTTP.
    Protocol(String),
    /// Something else.
    Other(String),
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(text) => write!(f, "request not allowed: {text}"),
            Self::Unsupported(text) => write!(f, "request not supported: {text}"),
            Self::Timeout => f.write_str("request timed out"),
            Self::Connect(text) => write!(f, "no connection: {text}"),
            Self::TooLarge => f.write_str("body too large"),
            Self::Protocol(text) => write!(f, "not HTTP: {text}"),
            Self::Other(text) => write!(f, "request failed: {text}"),
        }
    }
}

impl std::error::Error for HttpError {}

/// What a provider mostly means: a missing grant is [`Error::Denied`], a body that is too large [`Error::Internal`], the rest of the
/// transport's troubles [`Error::Unavailable`].
impl From<HttpError> for Error {
    fn from(error: HttpError) -> Self {
        let message = error.to_string();
        match error {
            HttpError::Denied(_) => Self::Denied(message),
            HttpError::Unsupported(_) => Self::Unsupported(message),
            HttpError::TooLarge => Self::Internal(message),
            HttpError::Timeout | HttpError::Connect(_) | HttpError::Protocol(_) | HttpError::Other(_) => {
                Self::unavailable(message)
            }
        }
    }
}
