//! Credentials that are exchanged for a token that lasts for a while.
//!
//! In: a [`TokenSource`], which asks a server for a token once. Out: [`TokenCache`], which has one when it is needed. Invariant: at
//! most one token request of a credential is under way, however many requests need it.

use std::time::Duration;

use async_trait::async_trait;
use http::HeaderValue;
use tokio::time::Instant;

use crate::{CredentialError, Secret};

mod answer;
mod assertion;
mod azure;
mod cache;
mod client;
mod oauth2;
mod state;

pub(crate) use azure::{client_certificate, client_secret, managed_identity, workload_identity};
pub(crate) use cache::TokenCache;
pub(crate) use oauth2::OAuth2Source;

/// Asks for a token, once.
#[async_trait]
pub(crate) trait TokenSource: Send + Sync + 'static {
    /// A fresh token. Bounded in time by itself.
    async fn fetch(&self) -> Result<Granted, CredentialError>;
}

/// What a token server gave.
#[derive(Clone)]
pub(crate) struct Granted {
    pub(crate) secret: Secret,
    /// `Bearer …`.
    pub(crate) header: HeaderValue,
    /// Counted from when it was asked for, not from when it came.
    pub(crate) life: Duration,
}

/// A token in the cache.
pub(crate) struct Token {
    pub(crate) secret: Secret,
    pub(crate) header: HeaderValue,
    /// Tells one token of a cache from another.
    pub(crate) serial: u64,
    /// From here on a new one is asked for, with this one still in use.
    refresh_at: Instant,
    /// From here on it is not used any more.
    usable_until: Instant,
}
