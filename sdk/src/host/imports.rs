//! The seam between the SDK and whoever plays the host.
//!
//! In: calls in the SDK's own types. Out: answers in the same. Invariant: the guest's bindings and the test harness implement the
//! same trait, so a provider cannot tell them apart.

use std::collections::BTreeMap;

use futures::channel::mpsc;
use futures::stream::LocalBoxStream;

use super::http::{Body, Handshake, Headers, HttpError, Message, Request, Response, StreamingResponse};
use super::kv::KvError;
use crate::tasks::Tasks;

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Steps inside one call.
    Trace,
    /// What an author needs.
    Debug,
    /// What an operator may want to know.
    Info,
    /// Something is wrong and was dealt with.
    Warn,
    /// Something is wrong and was not.
    Error,
}

/// What the host gives to a provider. Where data flows on after the answer, `tasks` runs what moves it.
pub(crate) trait Imports {
    async fn fetch(&self, request: Request) -> Result<Response, HttpError>;
    async fn send(&self, tasks: &Tasks, request: Request, body: Body) -> Result<StreamingResponse, HttpError>;
    /// The answer's headers, and what the peer sends.
    async fn upgrade(
        &self,
        tasks: &Tasks,
        request: Request,
        protocol: &str,
        output: Body,
    ) -> Result<Handshake<(Headers, Body)>, HttpError>;
    /// The protocol, and what the peer sends.
    async fn websocket(
        &self,
        tasks: &Tasks,
        request: Request,
        protocols: Vec<String>,
        outgoing: mpsc::Receiver<Message>,
    ) -> Result<Handshake<(String, LocalBoxStream<'static, Message>)>, HttpError>;
    async fn kv_get(&self, key: &str) -> Result<Option<Vec<u8>>, KvError>;
    async fn kv_put(&self, key: &str, value: Vec<u8>) -> Result<(), KvError>;
    async fn kv_delete(&self, key: &str) -> Result<(), KvError>;
    async fn kv_entries(&self, prefix: &str) -> Result<BTreeMap<String, Vec<u8>>, KvError>;
    fn log(&self, level: Level, message: &str, fields: &[(&str, &str)]);
    fn counter_add(&self, name: &str, value: u64);
    fn gauge_set(&self, name: &str, value: f64);
    fn remaining_ms(&self) -> Option<u64>;
    fn is_cancelled(&self) -> bool;
    fn now_unix_ns(&self) -> u64;
    async fn sleep_ms(&self, ms: u64);
    fn random_bytes(&self, length: u32) -> Vec<u8>;
}
