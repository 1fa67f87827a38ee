//! The end of a container.
//!
//! In: a container and its grace. Out: nothing, when it has ended. Invariant: a later call with less grace shortens an earlier one; whatever the
//! engine says, what counts is whether the container runs.

use std::time::Duration;

use pluglet_sdk::{ContainerState, HttpError, Result};

use crate::answer::{Failure, Meaning};
use crate::client::{Client, send};
use crate::status;

/// How often is looked whether a container has ended, while the engine waits for it on its own.
const LOOK: Duration = Duration::from_millis(500);
/// How long after its grace a container may take to be killed.
const KILLING: Duration = Duration::from_secs(5);
/// Calls of `stop`, the last ones without grace.
const TRIES: usize = 4;

/// Tell a container to end, and wait until it has.
///
/// By `stop` without grace and not by `kill` where there is no time left: while another `stop` waits, Podman's `kill` does not come through, and its
/// container loses its exit code.
pub(crate) async fn stop(client: &Client, id: &str, grace: Duration) -> Result<()> {
    let mut left = grace;
    let mut tries = 1;
    loop {
        let path = format!("/containers/{id}/stop?t={}", left.as_secs());
        let failure = match send(client.post(&path)).await {
            Ok(_) => None,
            Err(failure) if failure.is(Meaning::Missing) => return Ok(()),
            // The grant's limit for one request is shorter than the grace. The engine goes on all the same.
            Err(Failure::Transport(HttpError::Timeout)) => {
                if ends_within(client, id, left + KILLING).await? {
                    return Ok(());
                }
                None
            }
            Err(failure) => Some(failure),
        };
        if ended(client, id).await? {
            return Ok(());
        }
        // A success for one that runs: Podman says so of a container whose end it has seen and not written down yet.
        if tries >= TRIES || client.host.is_cancelled() {
            let unwilling = || pluglet_sdk::Error::unavailable("the engine has not stopped the container");
            return Err(failure.map_or_else(unwilling, Into::into));
        }
        tries += 1;
        left = Duration::ZERO;
        client.host.sleep(LOOK).await;
    }
}

async fn ends_within(client: &Client, id: &str, time: Duration) -> Result<bool> {
    let until = client.host.now_unix_ns().saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    while !client.host.is_cancelled() && client.host.now_unix_ns() < until {
        if ended(client, id).await? {
            return Ok(true);
        }
        client.host.sleep(LOOK).await;
    }
    Ok(false)
}

/// Whether it has ended, or is gone.
async fn ended(client: &Client, id: &str) -> Result<bool> {
    match client.inspect(id).await {
        Ok(found) => Ok(status::state(&found) != ContainerState::Running),
        Err(failure) if failure.is(Meaning::Missing) => Ok(true),
        Err(failure) => Err(failure.into()),
    }
}
