//! Connections that stop being HTTP.
//!
//! In: the peer's answer to a request to switch. Out: the connection, or the answer. Invariant: an answer that does not switch is not a
//! failure of the transport; what it means is up to the provider.

use super::{Body, BodyWriter, Headers, Response};
use crate::Error;

/// What the peer said to a request to switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handshake<T> {
    /// It switched.
    Accepted(T),
    /// It did not: its answer, with at most 64 KiB of its body.
    Refused(Response),
}

impl<T> Handshake<T> {
    /// The connection; otherwise the error that the answer stands for.
    ///
    /// # Errors
    /// As [`Response::ok`], and [`Error::Internal`] for an answer that is a success and yet did not switch.
    pub fn ok(self) -> Result<T, Error> {
        match self {
            Self::Accepted(connection) => Ok(connection),
            Self::Refused(answer) => Err(answer.to_error()),
        }
    }

    pub(crate) fn map<U>(self, convert: impl FnOnce(T) -> U) -> Handshake<U> {
        match self {
            Self::Accepted(connection) => Handshake::Accepted(convert(connection)),
            Self::Refused(answer) => Handshake::Refused(answer),
        }
    }
}

/// A connection after status 101. Both directions are independent: one may end before the other.
#[derive(Debug)]
pub struct Upgraded {
    /// The headers of the answer.
    pub headers: Headers,
    /// What the peer sends. Its end is the end of that direction; an error tells why the connection broke. There are no trailers.
    pub reader: Body,
    /// What is sent to the peer. Dropping it ends that direction only.
    pub writer: BodyWriter,
}
