//! Credentials of backends, which never leave the host.
//!
//! In: [`Auth`], which kind of credential and in which files it is. Out: [`Credential`], which completes requests, and
//! [`tls::client_config`]. Invariant: no secret is in an error, in a `Debug` text or in a log line; what went out with a request is
//! told by [`Applied::secrets`], so that the caller can keep it out of the answer.
//!
//! | module | what |
//! |---|---|
//! | [`auth`] | what the operator wrote |
//! | `credential` | the one door: authorize, rejected |
//! | `watched` | files that are read again when they change |
//! | `fixed` | bearer, basic and header: the secret goes out as it is in the file |
//! | `token` | OAuth2 and Azure: a secret is exchanged for a token that lasts an hour |
//! | `sigv4` | AWS: the secret signs each request |
//! | [`tls`] | client configurations, with client certificates |
//!
//! What zeroizing can and cannot do: a [`Secret`] and what was read from a file are wiped when dropped. The copies that the HTTP
//! stack makes of a header on its way out are not.

pub mod auth;
mod check;
mod credential;
mod error;
mod fixed;
mod mask;
mod secret;
mod sigv4;
pub mod tls;
mod token;
mod watched;

pub use auth::{
    Auth, AwsSigV4, AzureClientCertificate, AzureClientSecret, AzureManagedIdentity, AzureWorkloadIdentity, OAuth2,
};
pub use credential::{Applied, Credential, Payload};
pub use error::{CredentialError, FileError};
pub use secret::Secret;

/// What this host calls itself to token servers.
const USER_AGENT: &str = concat!("pluglet/", env!("CARGO_PKG_VERSION"));

/// Lock, whatever happened to the thread that held it before: every critical section here leaves its data whole.
fn locked<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
