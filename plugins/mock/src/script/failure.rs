//! Calls that fail as a pod's annotations ask for.
//!
//! In: the annotations `CALL-error`, `CALL-error-message` and `CALL-error-times`. Out: [`Failure`]. Invariant: text and number mean nothing
//! without the error, so they are refused without it.

use pluglet_sdk::{Error, Result};

use super::bad;

/// How a call fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What the call answers.
    error: Error,
    /// How many calls fail before one works. None: all.
    pub(crate) times: Option<u32>,
}

impl Failure {
    /// The error of the next call, after so many that have failed.
    pub(crate) fn next(&self, failed: u32) -> Result<()> {
        if self.times.is_some_and(|times| failed >= times) { Ok(()) } else { Err(self.error.clone()) }
    }
}

/// The annotations of one call.
pub(super) struct Failing<'a> {
    call: &'static str,
    pub(super) kind: Option<&'a str>,
    pub(super) message: Option<&'a str>,
    pub(super) times: Option<u32>,
}

impl<'a> Failing<'a> {
    /// Those of a call of that name, which are still to be found.
    pub(super) fn of(call: &'static str) -> Self {
        Self { call, kind: None, message: None, times: None }
    }

    /// What they ask for.
    pub(super) fn read(self) -> Result<Option<Failure>> {
        let name = |suffix: &str| format!("{}-error{suffix}", self.call);
        let Some(kind) = self.kind else {
            let alone = self.message.map(|_| "-message").or(self.times.map(|_| "-times"));
            let why = format!("it needs {} beside it", name(""));
            return alone.map_or(Ok(None), |suffix| Err(bad(&name(suffix), &why)));
        };
        let message = self.message.unwrap_or("scripted by an annotation");
        let error = match kind {
            "invalid" => Error::Invalid(message.to_owned()),
            "denied" => Error::Denied(message.to_owned()),
            "unavailable" => Error::unavailable(message),
            "quota" => Error::quota(message),
            "internal" => Error::Internal(message.to_owned()),
            _ => return Err(bad(&name(""), "it is one of invalid, denied, unavailable, quota, internal")),
        };
        Ok(Some(Failure { error, times: self.times }))
    }
}
