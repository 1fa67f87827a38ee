//! `exec`: a command in the container (`pkg/probe/exec`).
//!
//! In: a command, the provider. Out: an [`Outcome`]. Invariant: only an exit code, or its absence in time, says something about the container;
//! what goes wrong on the way to it does not.
//!
//! A provider that cannot run commands says so at each tick, and the host tells it once. To the pod's author this is what a kubelet does
//! whose runtime fails: a liveness probe never restarts the container, a readiness probe never lets it be ready, a startup probe never
//! lets it start. Nothing is called well that nobody has looked at; the event says what to write instead.

use pluglet_model::PodKey;
use pluglet_model::provider::{Error, Provider};

use super::exchange::ANSWER_LIMIT;
use super::runner::{Deadline, Outcome};

/// Runs a command to its end.
pub(super) async fn run(
    provider: &dyn Provider,
    key: &PodKey,
    container: &str,
    command: &[String],
    deadline: Deadline,
) -> Outcome {
    match deadline.bound(provider.run(key, container, command)).await {
        Ok(Ok(output)) if output.exit_code == 0 => Outcome::Success,
        Ok(Ok(output)) => {
            let bytes = output.output.get(..ANSWER_LIMIT).unwrap_or(&output.output);
            let text = String::from_utf8_lossy(bytes);
            // A kubelet's event says nothing of a command that prints nothing.
            let silent = text.trim().is_empty();
            Outcome::failure(if silent {
                format!("command exited with {}", output.exit_code)
            } else {
                text.into_owned()
            })
        }
        Ok(Err(Error::Unsupported(why))) => {
            Outcome::Unknown { error: format!("{why}; use httpGet, tcpSocket or grpc instead of exec") }
        }
        Ok(Err(error)) => Outcome::Unknown { error: error.to_string() },
        Err(late) => Outcome::failure(format!("command timed out: {late}")),
    }
}

#[cfg(test)]
pub(super) mod tests;
