//! The host's functions, as the component imports them.
//!
//! In: calls in the SDK's types. Out: answers in the same. Invariant: nothing is kept here; the host holds all state.

use std::collections::BTreeMap;

use super::bindings::pluglet::provider::{host, http, kv};
use crate::host::{HttpError, Imports, KvError, Level, Request, Response};

/// The real host.
pub(crate) struct Backend;

impl Imports for Backend {
    async fn fetch(&self, request: Request) -> Result<Response, HttpError> {
        let timeout_ms = request.timeout.map(|timeout| u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX));
        let head = http::Request {
            endpoint: request.endpoint,
            method: request.method,
            path_and_query: request.path_and_query,
            headers: request.headers,
            timeout_ms,
        };
        match http::fetch(head, request.body, request.max_bytes).await {
            Ok(answer) => Ok(Response { status: answer.status, headers: answer.headers, body: answer.body }),
            Err(error) => Err(error.into()),
        }
    }

    async fn kv_get(&self, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        Ok(kv::get(key.to_owned()).await?)
    }

    async fn kv_put(&self, key: &str, value: Vec<u8>) -> Result<(), KvError> {
        Ok(kv::put(key.to_owned(), value).await?)
    }

    async fn kv_delete(&self, key: &str) -> Result<(), KvError> {
        Ok(kv::delete(key.to_owned()).await?)
    }

    async fn kv_entries(&self, prefix: &str) -> Result<BTreeMap<String, Vec<u8>>, KvError> {
        Ok(kv::entries(prefix.to_owned()).await?.into_iter().collect())
    }

    fn log(&self, level: Level, message: &str, fields: &[(&str, &str)]) {
        let fields: Vec<_> = fields.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        host::log(level.into(), message, &fields);
    }

    fn now_unix_ns(&self) -> u64 {
        host::now_unix_ns()
    }

    async fn sleep_ms(&self, ms: u64) {
        host::sleep_ms(ms).await;
    }

    fn random_bytes(&self, length: u32) -> Vec<u8> {
        host::random_bytes(length)
    }
}

impl From<Level> for host::Level {
    fn from(level: Level) -> Self {
        match level {
            Level::Trace => Self::Trace,
            Level::Debug => Self::Debug,
            Level::Info => Self::Info,
            Level::Warn => Self::Warn,
            Level::Error => Self::Error,
        }
    }
}

impl From<http::HttpError> for HttpError {
    fn from(error: http::HttpError) -> Self {
        match error {
            http::HttpError::Denied(text) => Self::Denied(text),
            http::HttpError::Unsupported(text) => Self::Unsupported(text),
            http::HttpError::Timeout => Self::Timeout,
            http::HttpError::Connect(text) => Self::Connect(text),
            http::HttpError::TooLarge => Self::TooLarge,
            http::HttpError::Protocol(text) => Self::Protocol(text),
            http::HttpError::Other(text) => Self::Other(text),
        }
    }
}

impl From<kv::KvError> for KvError {
    fn from(error: kv::KvError) -> Self {
        match error {
            kv::KvError::TooLarge(text) => Self::TooLarge(text),
            kv::KvError::Io(text) => Self::Io(text),
        }
    }
}
