//! The seam between the SDK and whoever plays the host.
//!
//! In: calls in the SDK's own types. Out: answers in the same. Invariant: the guest's bindings and the test harness implement the
//! same trait, so a provider cannot tell them apart.

use std::collections::BTreeMap;

use super::http::{HttpError, Request, Response};
use super::kv::KvError;

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

/// What the host gives to a provider.
pub(crate) trait Imports {
    async fn fetch(&self, request: Request) -> Result<Response, HttpError>;
    async fn kv_get(&self, key: &str) -> Result<Option<Vec<u8>>, KvError>;
    async fn kv_put(&self, key: &str, value: Vec<u8>) -> Result<(), KvError>;
    async fn kv_delete(&self, key: &str) -> Result<(), KvError>;
    async fn kv_entries(&self, prefix: &str) -> Result<BTreeMap<String, Vec<u8>>, KvError>;
    fn log(&self, level: Level, message: &str, fields: &[(&str, &str)]);
    fn now_unix_ns(&self) -> u64;
    async fn sleep_ms(&self, ms: u64);
    fn random_bytes(&self, length: u32) -> Vec<u8>;
}
