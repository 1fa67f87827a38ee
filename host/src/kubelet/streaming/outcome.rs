//! How a remote command ended, as clients hear it on their error stream.
//!
//! In: an exit code, or why there is none. Out: a `metav1.Status`, or the text of older protocols. Invariant: something is always said: for some
//! clients silence is success.

use bytes::Bytes;
use pluglet_model::provider::Error;
use serde_json::{Value, json};

/// How it ended.
#[derive(Debug)]
pub(super) enum Outcome {
    Exited(i32),
    /// The command was not run, or nobody knows how it ended.
    Failed(String),
}

impl Outcome {
    pub(super) fn of(end: Result<i32, Error>, doing: &str) -> Self {
        match end {
            Ok(code) => Self::Exited(code),
            Err(error) => Self::Failed(format!("error {doing}: {error}")),
        }
    }

    /// What to say of it on the error stream: since v4 of the protocol a Status, always; before, a text.
    pub(super) fn told(&self, as_status: bool) -> Option<Bytes> {
        if as_status { Some(self.status().to_string().into()) } else { self.text().map(Bytes::from) }
    }

    /// Since v4 of the protocol (`remotecommand.NonZeroExitCodeReason`).
    fn status(&self) -> Value {
        match self {
            Self::Exited(0) => json!({ "metadata": {}, "status": "Success" }),
            Self::Exited(code) => {
                let told = readable(*code).to_string();
                // The kind of a cause is spelled "reason".
                let causes = json!([{ "reason": "ExitCode", "message": told }]);
                json!({
                    "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
                    "message": format!("command terminated with non-zero exit code: {code}"),
                    "details": { "causes": causes },
                })
            }
            Self::Failed(why) => json!({
                "metadata": {}, "status": "Failure", "reason": "InternalError", "code": 500,
                "message": format!("Internal error occurred: {why}"),
            }),
        }
    }

    /// Before v4: nothing for a success.
    fn text(&self) -> Option<String> {
        match self {
            Self::Exited(0) => None,
            Self::Exited(code) => Some(format!("command terminated with non-zero exit code: {code}")),
            Self::Failed(why) => Some(why.clone()),
        }
    }
}

/// Clients read 0 to 255, and anything else as a broken protocol. What failed must not be told as 0.
fn readable(code: i32) -> u8 {
    u8::try_from(code).unwrap_or(match code.to_le_bytes() {
        [0, ..] => u8::MAX,
        [low, ..] => low,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_told_as_clients_read_them() {
        let code = |code| Outcome::Exited(code).status()["details"]["causes"][0]["message"].clone();
        assert_eq!(Outcome::Exited(0).status(), json!({ "metadata": {}, "status": "Success" }));
        assert_eq!((code(3), code(137), code(255)), (json!("3"), json!("137"), json!("255")));
        assert_eq!((code(-1), code(256), code(0x0001_0003)), (json!("255"), json!("255"), json!("3")));
    }

    #[test]
    fn a_failure_is_told_in_every_version_and_a_success_in_none_of_the_old_ones() {
        let failed = Outcome::of(Err(Error::NotFound), "executing command in container");
        assert_eq!(
            failed.status()["message"],
            "Internal error occurred: error executing command in container: not found"
        );
        assert_eq!(failed.text().unwrap(), "error executing command in container: not found");
        assert_eq!(Outcome::Exited(0).text(), None);
    }
}
