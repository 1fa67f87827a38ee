//! What an engine means when it does not do what was asked.
//!
//! In: status and body, in the words of Docker or of Podman. Out: a [`Failure`], and the error of the contract that it is. Invariant: pure; one
//! table for both engines, by meaning: Podman says 500 for nearly everything, so the words count there.

use pluglet_sdk::{Error, HttpError, Response};
use serde::Deserialize;

use crate::message::shortened;

/// Why a request came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// There was no answer.
    Transport(HttpError),
    /// The engine said no, and why.
    Answer(Meaning, String),
}

/// What an answer means, whichever engine gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// There is no such thing.
    Missing,
    /// This engine has no such call.
    NoCall,
    /// The name is taken.
    Exists,
    /// It runs, does not run, or is being removed: look again.
    State,
    /// Something else uses it.
    InUse,
    /// The request is wrong.
    Refused,
    /// The engine does not let us.
    Denied,
    /// Anything else.
    Trouble,
}

/// The body of an error. Podman has `cause` and `response` too, which add nothing.
#[derive(Deserialize)]
struct Told {
    message: String,
}

impl Failure {
    /// Of an answer that is no success.
    pub(crate) fn of(answer: &Response) -> Self {
        let told = serde_json::from_slice(&answer.body).map(|told: Told| told.message);
        let is_json = told.is_ok();
        let text = told.unwrap_or_else(|_| String::from_utf8_lossy(&answer.body).trim().to_owned());
        let meaning = match answer.status {
            404 if !is_json || text == "page not found" => Meaning::NoCall,
            404 => Meaning::Missing,
            401 | 403 => Meaning::Denied,
            400 | 422 => Meaning::Refused,
            405 | 501 => Meaning::NoCall,
            409 => conflict(&text).unwrap_or(Meaning::InUse),
            _ => conflict(&text).unwrap_or(Meaning::Trouble),
        };
        Self::Answer(meaning, text)
    }

    pub(crate) fn is(&self, meaning: Meaning) -> bool {
        matches!(self, Self::Answer(own, _) if *own == meaning)
    }

    /// Whether the engine's words hold one of these.
    pub(crate) fn says(&self, words: &[&str]) -> bool {
        matches!(self, Self::Answer(_, text) if has(text, words))
    }

    /// The error when a container was to be made or started: what is not known to pass is the container's own fault, and said so.
    pub(crate) fn refusal(self) -> Error {
        match self {
            Self::Answer(Meaning::Refused | Meaning::State | Meaning::InUse | Meaning::Trouble, text)
                if !has(&text, &PASSES) =>
            {
                Error::invalid(shortened(&text))
            }
            other => other.into(),
        }
    }
}

/// What is missing is the image. Docker's word has a capital.
pub(crate) const NO_IMAGE: [&str; 2] = ["o such image", "image not known"];

/// Troubles of the engine's machine, which have nothing to do with what was asked for.
const PASSES: [&str; 10] = [
    "timed out",
    "timeout",
    "deadline exceeded",
    "context canceled",
    "connection refused",
    "database is locked",
    "temporarily unavailable",
    "too many open files",
    "no space left",
    "cannot allocate memory",
];

/// What a 409, or a 500 of Podman's, is about.
fn conflict(text: &str) -> Option<Meaning> {
    const EXISTS: [&str; 3] = ["name is already in use", "already exists", "is already in use by"];
    const STATE: [&str; 9] = [
        "state improper",
        "is not running",
        "not running",
        "is paused",
        "is restarting",
        "could not be stopped",
        "removal of container",
        "is running",
        "can only",
    ];
    const IN_USE: [&str; 4] = ["dependent containers", "being used", "is in use", "in use by"];
    if has(text, &EXISTS) {
        Some(Meaning::Exists)
    } else if has(text, &STATE) {
        Some(Meaning::State)
    } else if has(text, &IN_USE) {
        Some(Meaning::InUse)
    } else {
        None
    }
}

fn has(text: &str, words: &[&str]) -> bool {
    words.iter().any(|word| text.contains(word))
}

impl From<HttpError> for Failure {
    fn from(error: HttpError) -> Self {
        Self::Transport(error)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let (meaning, text) = match failure {
            Failure::Transport(error) => return error.into(),
            Failure::Answer(meaning, text) => (meaning, shortened(&text)),
        };
        match meaning {
            Meaning::Missing => Self::NotFound,
            Meaning::NoCall => Self::Unsupported(format!("the engine has no such call: {text}")),
            Meaning::Exists | Meaning::InUse => Self::AlreadyExists,
            Meaning::Refused => Self::Invalid(text),
            Meaning::Denied => Self::Denied(text),
            Meaning::State | Meaning::Trouble => Self::unavailable(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(status: u16, body: &str) -> Failure {
        Failure::of(&Response { status, body: body.as_bytes().to_vec(), ..Response::default() })
    }

    fn docker(status: u16, message: &str) -> Failure {
        told(status, &serde_json::json!({"message": message}).to_string())
    }

    fn podman(status: u16, message: &str) -> Failure {
        told(status, &serde_json::json!({"cause": "c", "message": message, "response": status}).to_string())
    }

    #[test]
    fn both_engines_mean_the_same_in_their_own_words() {
        for (failure, meaning) in [
            (docker(404, "No such container: x"), Meaning::Missing),
            (podman(404, "no container with name or ID \"x\" found: no such container"), Meaning::Missing),
            (docker(404, "page not found"), Meaning::NoCall),
            (told(404, "Not Found\n"), Meaning::NoCall),
            (docker(409, "Conflict. The container name \"/x\" is already in use by container \"1\"."), Meaning::Exists),
            (
                podman(
                    500,
                    "creating container storage: the container name \"x\" is already in use by 1: that name is already in use",
                ),
                Meaning::Exists,
            ),
            (docker(409, "Container 1 is not running"), Meaning::State),
            (
                podman(500, "can only kill running containers. 1 is in state exited: container state improper"),
                Meaning::State,
            ),
            (podman(500, "container 1 could not be stopped: container state improper"), Meaning::State),
            (docker(409, "removal of container x is already in progress"), Meaning::State),
            (
                docker(
                    409,
                    "conflict: unable to delete b4 (cannot be forced) - image is being used by running container 43",
                ),
                Meaning::InUse,
            ),
            (podman(500, "container 1 has dependent containers which must be removed before it"), Meaning::InUse),
            (podman(409, "volume x is being used by the following container(s): 1"), Meaning::InUse),
            (docker(400, "Minimum memory limit allowed is 6MB"), Meaning::Refused),
            (docker(500, "driver failed programming external connectivity"), Meaning::Trouble),
            // Not a name that is taken.
            (
                podman(500, "cannot listen on the TCP port: listen tcp4 127.0.0.1:80: bind: address already in use"),
                Meaning::Trouble,
            ),
        ] {
            assert!(failure.is(meaning), "{failure:?} is not {meaning:?}");
        }
    }

    #[test]
    fn a_command_that_cannot_be_run_is_the_containers_fault_in_both_dialects() {
        let found = "unable to start container process: exec: \"nope\": executable file not found in $PATH";
        let docker = docker(
            400,
            &format!("failed to create shim task: OCI runtime create failed: runc create failed: {found}: unknown"),
        );
        let podman = podman(
            500,
            &format!("runc: runc create failed: {found}: OCI runtime attempted to invoke a command that was not found"),
        );
        assert_eq!(docker.refusal(), Error::invalid(found));
        assert_eq!(podman.refusal(), Error::invalid(found));
    }

    #[test]
    fn trouble_of_the_machine_is_tried_again() {
        for failure in [docker(500, "write /x: no space left on device"), podman(500, "database is locked")] {
            assert!(matches!(failure.clone().refusal(), Error::Unavailable(_)), "{failure:?}");
        }
        let away = Failure::Transport(HttpError::Connect("refused".to_owned()));
        assert!(matches!(away.refusal(), Error::Unavailable(_)));
        assert_eq!(docker(404, "No such image: x").refusal(), Error::NotFound);
    }
}
