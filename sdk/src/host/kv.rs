//! A small durable memory.
//!
//! In: keys and bytes. Out: what was put, also after a restart of the provider or of the host. Invariant: what `put` returned for is
//! kept when the host's process ends, but not when the machine loses power. Not for secrets.

use std::collections::BTreeMap;
use std::fmt;

use super::{Host, Imports};
use crate::Error;

/// The provider's durable memory on this node.
#[derive(Clone, Copy)]
pub struct Kv<'a> {
    host: &'a Host,
}

impl<'a> Kv<'a> {
    pub(super) fn new(host: &'a Host) -> Self {
        Self { host }
    }

    /// The value of a key.
    ///
    /// # Errors
    /// [`KvError::Io`].
    pub async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        self.host.backend().kv_get(key).await
    }

    /// Set a key (at most 512 bytes) to a value (at most 256 KiB).
    ///
    /// # Errors
    /// [`KvError`].
    pub async fn put(&self, key: &str, value: impl Into<Vec<u8>>) -> Result<(), KvError> {
        self.host.backend().kv_put(key, value.into()).await
    }

    /// Remove a key. One that is not there is success.
    ///
    /// # Errors
    /// [`KvError::Io`].
    pub async fn delete(&self, key: &str) -> Result<(), KvError> {
        self.host.backend().kv_delete(key).await
    }

    /// All entries whose key starts with `prefix`.
    ///
    /// # Errors
    /// [`KvError::Io`].
    pub async fn entries(&self, prefix: &str) -> Result<BTreeMap<String, Vec<u8>>, KvError> {
        self.host.backend().kv_entries(prefix).await
    }
}

/// Why the memory failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KvError {
    /// The key, the value or the provider's total is over its limit.
    TooLarge(String),
    /// The host could not read or write its state directory.
    Io(String),
}

impl fmt::Display for KvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge(text) => write!(f, "too large for the provider's memory: {text}"),
            Self::Io(text) => write!(f, "the provider's memory failed: {text}"),
        }
    }
}

impl std::error::Error for KvError {}

/// Full is [`Error::Quota`], broken is [`Error::Unavailable`]: both are tried again.
impl From<KvError> for Error {
    fn from(error: KvError) -> Self {
        match &error {
            KvError::TooLarge(_) => Self::quota(error.to_string()),
            KvError::Io(_) => Self::unavailable(error.to_string()),
        }
    }
}
