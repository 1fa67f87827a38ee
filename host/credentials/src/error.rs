//! What can go wrong with a credential.
//!
//! In: the steps of this crate. Out: [`CredentialError`] and [`FileError`]. Invariant: no text here contains a secret. What a token
//! server said has been through [`crate::mask`]; what a parser said is not repeated, because parsers quote their input.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::tls::TlsError;

/// Why a file of the operator cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read, or it is not a regular file.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// Nothing in it but white space.
    #[error("{} is empty", path.display())]
    Empty {
        /// Which file.
        path: PathBuf,
    },
    /// More than a secret can need.
    #[error("{} is larger than {limit} bytes", path.display())]
    TooLarge {
        /// Which file.
        path: PathBuf,
        /// In bytes.
        limit: usize,
    },
    /// It is not what it should be.
    #[error("{} cannot be used: {reason}", path.display())]
    Parse {
        /// Which file.
        path: PathBuf,
        /// In words; never the content.
        reason: &'static str,
    },
}

/// Why a credential cannot be made or applied. Cloned to all that waited for the same token.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CredentialError {
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// A URL of the operator.
    #[error("{what} `{url}` cannot be used: {reason}")]
    Url {
        /// Which setting.
        what: &'static str,
        /// As given; left out when it has a password in it.
        url: String,
        /// In words.
        reason: &'static str,
    },
    /// Another setting of the operator.
    #[error("{what} cannot be used: {reason}")]
    Setting {
        /// Which.
        what: &'static str,
        /// In words.
        reason: &'static str,
    },
    /// No client for the token server.
    #[error("cannot make a client for {url}")]
    Tls {
        /// The token endpoint.
        url: String,
        /// Why.
        #[source]
        source: TlsError,
    },
    /// The request cannot carry the credential.
    #[error("the request cannot be authorized: {reason}")]
    Request {
        /// In words.
        reason: &'static str,
    },
    /// The certificate's key did not sign.
    #[error("cannot sign the client assertion")]
    Assertion {
        /// What the cryptography provider said.
        #[source]
        source: rustls::Error,
    },
    /// The request could not be signed.
    #[error("cannot sign the request")]
    Sign {
        /// What the signer said.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// The token server could not be reached or the connection broke.
    #[error("the token request to {url} failed")]
    TokenRequest {
        /// The token endpoint.
        url: String,
        /// Why.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// The token server took too long.
    #[error("{url} gave no token within {} s", limit.as_secs())]
    TokenTimeout {
        /// The token endpoint.
        url: String,
        /// How long it had.
        limit: Duration,
    },
    /// The answer said success, yet there is no usable token in it.
    #[error("the answer of {url} has no usable token: {reason}")]
    TokenAnswer {
        /// The token endpoint.
        url: String,
        /// In words; never the answer.
        reason: &'static str,
    },
    /// The token server does not want this credential. Trying again changes nothing until somebody changes something.
    #[error("{url} refused to give a token ({status}): {error}")]
    TokenRefused {
        /// The token endpoint.
        url: String,
        /// Its status.
        status: StatusCode,
        /// `error` and `error_description` of the answer (RFC 6749 section 5.2): masked, without control characters, cut.
        error: String,
    },
    /// The token server cannot give one now.
    #[error("{url} cannot give a token now ({status}): {error}")]
    Transient {
        /// The token endpoint.
        url: String,
        /// Its status.
        status: StatusCode,
        /// As for [`CredentialError::TokenRefused`].
        error: String,
        /// When it wants to be asked again, if it said so.
        retry_after: Option<Duration>,
    },
    /// The token request ended without a result: the runtime it ran on was shut down, or it panicked.
    #[error("the token request was interrupted")]
    Interrupted,
}

impl CredentialError {
    /// Whether the same call may succeed later though nobody changes anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::TokenRequest { .. }
            | Self::TokenTimeout { .. }
            | Self::TokenAnswer { .. }
            | Self::Transient { .. }
            | Self::Interrupted => true,
            Self::File(_)
            | Self::Url { .. }
            | Self::Setting { .. }
            | Self::Tls { .. }
            | Self::Request { .. }
            | Self::Assertion { .. }
            | Self::Sign { .. }
            | Self::TokenRefused { .. } => false,
        }
    }

    /// When the token server wants to be asked again, if it said so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Transient { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// An error with its sources, for a log line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}
