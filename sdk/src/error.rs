//! How a call to a provider fails.
//!
//! In: what went wrong. Out: [`Error`], whose case decides what the host does next. Invariant: the cases are those of the
//! contract, one for one; the text is for people and no program reads it.

use std::fmt;
use std::time::Duration;

/// The result of every call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call failed. Choose the case by what should happen next, not by where the failure came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// No such pod, container or object. After a delete the host takes it for success.
    NotFound,
    /// The UID exists with other content. Creating the same pod twice is success, not this.
    AlreadyExists,
    /// This provider cannot do that, ever. Users see the text as HTTP 501 or in an event.
    Unsupported(String),
    /// The request can never succeed as it stands: the pod fails with this text and is not tried again.
    Invalid(String),
    /// The backend refused the credentials or the right. Tried again slowly, because an operator can mend it.
    Denied(String),
    /// The backend is away or overloaded. Tried again.
    Unavailable(Retry),
    /// A limit of the account or of the backend is reached. Tried again.
    Quota(Retry),
    /// The provider itself failed. Tried again.
    Internal(String),
    /// A case that this version of the contract has no word for. Treated as [`Error::Internal`].
    Other {
        /// A short word, for people who search logs.
        code: String,
        /// What happened.
        message: String,
    },
}

/// A failure that passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// What happened.
    pub message: String,
    /// How long the backend asked to be left alone, to the millisecond. None: the host backs off by its own schedule.
    pub after: Option<Duration>,
}

impl Error {
    /// [`Error::Unavailable`] without a wish for when to come back.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::Unavailable(Retry { message: message.into(), after: None })
    }

    /// [`Error::Quota`] without a wish for when to come back.
    pub fn quota(message: impl Into<String>) -> Self {
        Self::Quota(Retry { message: message.into(), after: None })
    }

    /// [`Error::Invalid`].
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid(message.into())
    }

    /// [`Error::Internal`].
    pub fn internal(message: impl Into<String>) -> Self {
        Self::Internal(message.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("not found"),
            Self::AlreadyExists => f.write_str("exists already with other content"),
            Self::Unsupported(text) => write!(f, "not supported: {text}"),
            Self::Invalid(text) => write!(f, "invalid: {text}"),
            Self::Denied(text) => write!(f, "denied: {text}"),
            Self::Unavailable(retry) => write!(f, "unavailable: {}", retry.message),
            Self::Quota(retry) => write!(f, "quota: {}", retry.message),
            Self::Internal(text) => write!(f, "internal: {text}"),
            Self::Other { code, message } => write!(f, "{code}: {message}"),
        }
    }
}

impl std::error::Error for Error {}
