//! Commands in containers, and their own process.
//!
//! In: what the user asked for. Out: sessions. Invariant: the exit code is asked for after the last byte of output.

use std::time::Duration;

use pluglet_sdk::{ContainerState, Error, ExecRequest, Result, Session, SessionInput};
use serde::Deserialize;
use serde_json::json as value;

use crate::answer::{Failure, Meaning};
use crate::client::{Client, json, upgrade};
use crate::inspect::Inspected;
use crate::session::{Talk, open};
use crate::{labels, names, status};

/// How often an engine is asked for an exit code that it does not have yet, and how long is waited at first.
const TRIES: u32 = 9;
const PAUSE: Duration = Duration::from_millis(20);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Created {
    id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Command {
    running: bool,
    exit_code: Option<i64>,
}

/// Run a command in a container that runs.
pub(crate) async fn exec(client: &Client, request: ExecRequest, input: SessionInput) -> Result<Session> {
    let id = running(client, &request.container).await?.id;
    start(client, &id, &request.command, request.tty, input).await
}

/// Run a command in a container or sandbox.
pub(crate) async fn start(
    client: &Client,
    id: &str,
    command: &[String],
    tty: bool,
    input: SessionInput,
) -> Result<Session> {
    let body = value!({"Cmd": command, "AttachStdin": true, "AttachStdout": true, "AttachStderr": true, "Tty": tty});
    let created: Created =
        json(client.post(&format!("/containers/{id}/exec")).json_text(body.to_string())).await.map_err(gone)?;
    if !names::is_name(&created.id) {
        return Err(Error::internal("the engine's id of a command is none"));
    }
    let exec = format!("/exec/{}", created.id);
    let body = value!({"Detach": false, "Tty": tty});
    let connection = upgrade(client.post(&format!("{exec}/start")).json_text(body.to_string())).await.map_err(gone)?;
    let resize = format!("{exec}/resize");
    let talk = Talk { client: client.clone(), connection, input, tty, resize, keep_open: tty };
    Ok(open(talk, Box::pin(exit_code(client.clone(), format!("{exec}/json")))))
}

/// The container's own process.
pub(crate) async fn attach(client: &Client, id: &str, input: SessionInput) -> Result<Session> {
    let found = running(client, id).await?;
    let (stdin, tty) = (u8::from(found.config.open_stdin), found.config.tty);
    let path = format!("/containers/{id}/attach?stream=1&stdin={stdin}&stdout=1&stderr=1");
    let connection = upgrade(client.post(&path)).await.map_err(gone)?;
    let talk = Talk {
        client: client.clone(),
        connection,
        input,
        tty,
        resize: format!("/containers/{id}/resize"),
        // Podman would end the process' input with the first user's, whatever it was told of later ones.
        keep_open: tty || !labels::stdin_once(found.labels()),
    };
    Ok(open(talk, Box::pin(end_of(client.clone(), id.to_owned()))))
}

/// The container, if it runs.
async fn running(client: &Client, id: &str) -> Result<Inspected> {
    let found = client.inspect(id).await?;
    if status::state(&found) == ContainerState::Running { Ok(found) } else { Err(Error::NotFound) }
}

/// It ran a moment ago.
fn gone(failure: Failure) -> Error {
    if failure.is(Meaning::State) { Error::NotFound } else { failure.into() }
}

/// The exit code of a command whose output has ended.
async fn exit_code(client: Client, path: String) -> Result<i32> {
    for tries in 0..TRIES {
        match json::<Command>(client.get(&path)).await? {
            Command { running: false, exit_code: Some(code) } => return Ok(i32::try_from(code).unwrap_or(i32::MAX)),
            _ => client.host.sleep(PAUSE * 2_u32.pow(tries)).await,
        }
    }
    Err(Error::internal("the engine does not tell the exit code of a command that has ended"))
}

/// The exit code of a container, or 0 where it goes on and only the session has ended.
async fn end_of(client: Client, id: String) -> Result<i32> {
    for tries in 0..TRIES {
        let found = match client.inspect(&id).await {
            Ok(found) => found,
            Err(failure) if failure.is(Meaning::Missing) => return Ok(0),
            Err(failure) => return Err(failure.into()),
        };
        if let Some(code) = status::container(&found).exit_code {
            return Ok(code);
        }
        // The connection ends a little before the engine notes the container's end.
        if tries >= TRIES / 2 {
            break;
        }
        client.host.sleep(PAUSE * 2_u32.pow(tries)).await;
    }
    Ok(0)
}
