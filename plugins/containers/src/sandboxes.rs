//! Sandboxes: made, stopped, removed.
//!
//! In: calls of the host. Out: requests to the engine. Invariant: a sandbox is found again by its name, so making it twice makes one; everything
//! that is in it goes before it, as Podman demands.

use std::time::Duration;

use futures::stream::{self, StreamExt, TryStreamExt};
use pluglet_sdk::{Error, PodRef, Result, SandboxConfig, SandboxStatus};
use serde::Deserialize;

use crate::answer::{Failure, Meaning, NO_IMAGE};
use crate::client::{Client, json, query, send};
use crate::config::Config;
use crate::inspect::Inspected;
use crate::labels::{self, Kind, Labels, SANDBOX, UID};
use crate::pull::Pulls;
use crate::stop;
use crate::{create, list, names, status, volumes};

/// Containers of a sandbox that are removed at once.
const AT_ONCE: usize = 4;
/// A sandbox does nothing: one that does not end when it is told to can be killed.
const GRACE: Duration = Duration::from_secs(2);
/// How often a removal is tried, and how long is waited between: the engine may be at it, or the container just ending.
const TRIES: usize = 100;
const PAUSE: Duration = Duration::from_millis(200);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Created {
    id: String,
}

/// Make a sandbox and start it.
pub(crate) async fn create(
    client: &Client,
    config: &Config,
    pulls: &Pulls,
    sandbox: &SandboxConfig,
) -> Result<SandboxStatus> {
    for volume in &sandbox.memory_volumes {
        volumes::ensure(client, &sandbox.pod, volume).await?;
    }
    let name = names::sandbox(&sandbox.pod, sandbox.attempt);
    let body = create::sandbox::body(client.dialect(), config, &client.owner, sandbox).to_string();
    let made = match create_named(client, &name, &body).await {
        Err(failure) if failure.says(&NO_IMAGE) => {
            pulls
                .pull(client, &sandbox.pod, config.sandbox_image(), &[])
                .await
                .map_err(|error| no_image(config, &error))?;
            create_named(client, &name, &body).await
        }
        made => made,
    };
    let id = match made {
        Ok(id) => id,
        Err(failure) if failure.is(Meaning::Exists) => {
            let labels = client.owner.of_sandbox(sandbox);
            same(client, &name, &labels, failure).await?
        }
        // A network, for example: not the sandbox itself, whatever the status says.
        Err(Failure::Answer(Meaning::Missing, text)) => return Err(Error::unavailable(text)),
        Err(failure) => return Err(failure.refusal()),
    };
    // One that runs already answers so.
    if let Err(failure) = send(client.post(&format!("/containers/{id}/start"))).await {
        // One that cannot be started would be left, and another made, at each try.
        let left = send(client.delete(&format!("/containers/{id}?force=1&v=1"))).await;
        if let Err(left) = left {
            client.host.warn(format!("sandbox {id}, which cannot be started, is left: {}", Error::from(left)));
        }
        return Err(failure.refusal());
    }
    Ok(status::sandbox(&client.inspect_kind(&id, Kind::Sandbox).await?))
}

/// The kubelet's word for the same.
fn no_image(config: &Config, error: &Error) -> Error {
    Error::unavailable(format!(
        "the sandbox image {} is not there and cannot be pulled: {error}",
        config.sandbox_image()
    ))
}

/// Make a container of the engine with this name; answers its id.
pub(crate) async fn create_named(client: &Client, name: &str, body: &str) -> Result<String, Failure> {
    let path = format!("/containers/create{}", query(&[("name", name)]));
    json(client.post(&path).json_text(body)).await.map(|created: Created| created.id)
}

/// The id of what has the name already, if it is what was to be made: an earlier call has made it.
pub(crate) async fn same(client: &Client, name: &str, wanted: &Labels, taken: Failure) -> Result<String> {
    let found: Inspected = match client.inspect(name).await {
        Ok(found) => found,
        Err(failure) if failure.is(Meaning::Missing) => {
            return Err(Error::internal(format!(
                "the name {name} is taken by something that is not this node's: {}",
                Error::from(taken)
            )));
        }
        Err(failure) => return Err(failure.into()),
    };
    const IDENTITY: [&str; 5] = [UID, labels::KIND, labels::ATTEMPT, labels::CONTAINER, SANDBOX];
    if IDENTITY.iter().all(|label| found.labels().get(*label) == wanted.get(*label)) {
        return Ok(found.id);
    }
    Err(Error::AlreadyExists)
}

/// Stop a sandbox, which gives up its address and its ports.
pub(crate) async fn stop(client: &Client, id: &str) -> Result<()> {
    client.inspect_kind(id, Kind::Sandbox).await?;
    stop::stop(client, id, GRACE).await
}

/// Remove a sandbox with all that is in it.
pub(crate) async fn remove(client: &Client, id: &str) -> Result<()> {
    let found = match client.inspect_kind(id, Kind::Sandbox).await {
        Ok(found) => Some(found),
        Err(failure) if failure.is(Meaning::Missing) => None,
        Err(failure) => return Err(failure.into()),
    };
    let children = list::labelled(client, &[(SANDBOX, id)]).await?;
    let uid = found.iter().map(Inspected::labels).chain(children.iter().map(|child| &child.labels));
    let uid = uid.filter_map(|labels| labels.get(UID)).next().cloned().ok_or(Error::NotFound)?;
    let removals = children.iter().map(|child| force_remove(client, &child.id));
    stream::iter(removals).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    if found.is_some() {
        force_remove(client, id).await?;
    }
    volumes::remove_of(client, &uid).await
}

/// Remove a container of the engine, killing it if it runs.
pub(crate) async fn force_remove(client: &Client, id: &str) -> Result<()> {
    // With the volumes that its image asked for, which nobody else knows.
    let path = format!("/containers/{id}?force=1&v=1");
    let mut tries = 1;
    loop {
        match send(client.delete(&path)).await {
            Ok(_) => return Ok(()),
            Err(failure) if failure.is(Meaning::Missing) => return Ok(()),
            Err(failure) if failure.is(Meaning::State) && tries < TRIES && !client.host.is_cancelled() => {}
            Err(failure) => return Err(failure.into()),
        }
        tries += 1;
        client.host.sleep(PAUSE).await;
    }
}

/// The newest sandbox of a pod that runs.
pub(crate) async fn running(client: &Client, pod: &PodRef) -> Result<String> {
    let more = [(UID, pod.uid.as_str()), (labels::KIND, Kind::Sandbox.word())];
    let found = list::running(client, &more).await?;
    let newest = found.into_iter().max_by_key(|sandbox| labels::attempt(&sandbox.labels));
    newest.map(|sandbox| sandbox.id).ok_or(Error::NotFound)
}
