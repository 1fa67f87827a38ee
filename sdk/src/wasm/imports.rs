//! The host's functions, as the component imports them.
//!
//! In: calls in the SDK's types. Out: answers in the same. Invariant: nothing is kept here; the host holds all state.

use std::collections::BTreeMap;

use futures::channel::mpsc;
use futures::stream::LocalBoxStream;

use super::bindings::pluglet::provider::{host, kv};
use super::imports_http as exchange;
use crate::host::{
    Body, Handshake, Headers, HttpError, Imports, KvError, Level, Message, Request, Response, StreamingResponse,
};
use crate::tasks::Tasks;

/// The real host.
pub(crate) struct Backend;

impl Imports for Backend {
    async fn fetch(&self, request: Request) -> Result<Response, HttpError> {
        exchange::fetch(request).await
    }

    async fn send(&self, tasks: &Tasks, request: Request, body: Body) -> Result<StreamingResponse, HttpError> {
        exchange::send(tasks, request, body).await
    }

    async fn upgrade(
        &self,
        tasks: &Tasks,
        request: Request,
        protocol: &str,
        output: Body,
    ) -> Result<Handshake<(Headers, Body)>, HttpError> {
        exchange::upgrade(tasks, request, protocol, output).await
    }

    async fn websocket(
        &self,
        tasks: &Tasks,
        request: Request,
        protocols: Vec<String>,
        outgoing: mpsc::Receiver<Message>,
    ) -> Result<Handshake<(String, LocalBoxStream<'static, Message>)>, HttpError> {
        exchange::websocket(tasks, request, protocols, outgoing).await
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

    fn counter_add(&self, name: &str, value: u64) {
        host::counter_add(name, value);
    }

    fn gauge_set(&self, name: &str, value: f64) {
        host::gauge_set(name, value);
    }

    fn remaining_ms(&self) -> Option<u64> {
        host::remaining_ms()
    }

    fn is_cancelled(&self) -> bool {
        host::is_cancelled()
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

impl From<kv::KvError> for KvError {
    fn from(error: kv::KvError) -> Self {
        match error {
            kv::KvError::TooLarge(text) => Self::TooLarge(text),
            kv::KvError::Io(text) => Self::Io(text),
        }
    }
}
