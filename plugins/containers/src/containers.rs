//! Containers: made, started, changed.
//!
//! In: calls of the host. Out: requests to the engine. Invariant: a container is started once in its life, whatever is asked how often.

use pluglet_sdk::{ContainerConfig, ContainerState, ContainerStatus, Error, Resources, Result, SandboxConfig};

use crate::answer::{Failure, Meaning, NO_IMAGE};
use crate::client::{Client, Dialect, send};
use crate::config::Config;
use crate::create::container::{Context, body};
use crate::create::resources;
use crate::labels::Kind;
use crate::{names, sandboxes, status};

/// Make a container in a sandbox; answers its id.
pub(crate) async fn create(
    client: &Client,
    engine: &Config,
    sandbox_id: &str,
    sandbox: &SandboxConfig,
    config: &ContainerConfig,
) -> Result<String> {
    let config = &ContainerConfig { resources: engine.resources(&config.resources), ..config.clone() };
    let cgroup_parent = engine.cgroup_parent.as_deref();
    let owner = &client.owner;
    let context = Context { dialect: client.dialect(), owner, cgroup_parent, sandbox_id, sandbox };
    let body = body(&context, config)?.to_string();
    let name = names::container(&config.name, &sandbox.pod, config.attempt);
    match sandboxes::create_named(client, &name, &body).await {
        Ok(id) => Ok(id),
        Err(failure) if failure.is(Meaning::Exists) => {
            let labels = owner.of_container(sandbox_id, &sandbox.pod, config);
            sandboxes::same(client, &name, &labels, failure).await
        }
        // Not the image, but what the container was to join.
        Err(failure)
            if !failure.says(&NO_IMAGE) && (failure.is(Meaning::Missing) || failure.says(&["no such container"])) =>
        {
            Err(Error::unavailable(format!("sandbox {sandbox_id} is gone")))
        }
        Err(failure) => Err(failure.refusal()),
    }
}

/// Start a container, unless it was started before; tells how it is then.
pub(crate) async fn start(client: &Client, id: &str) -> Result<ContainerStatus> {
    let found = client.inspect_kind(id, Kind::Container).await?;
    // To the engines a container that has ended is as good as a new one.
    if status::state(&found) != ContainerState::Created {
        return Ok(status::container(&found));
    }
    let started = send(client.post(&format!("/containers/{id}/start"))).await;
    let now = client.inspect_kind(id, Kind::Container).await?;
    match started {
        Err(failure) if status::state(&now) == ContainerState::Created => Err(failure.refusal()),
        // It has run, whatever came after.
        Ok(_) | Err(_) => Ok(status::container(&now)),
    }
}

/// How a container is.
pub(crate) async fn inspect(client: &Client, id: &str) -> Result<ContainerStatus> {
    Ok(status::container(&client.inspect_kind(id, Kind::Container).await?))
}

/// Change what a container that runs may use.
pub(crate) async fn update(client: &Client, id: &str, wanted: &Resources) -> Result<()> {
    let found = client.inspect_kind(id, Kind::Container).await?;
    let unsupported = |what: &str| Err(Error::Unsupported(what.to_owned()));
    let path = format!("/containers/{id}/update");
    let request = match client.libpod("POST", &path) {
        Some(request) => request.json_text(resources::podman_update(wanted).to_string()),
        None if wanted.memory_limit.is_none() && found.host_config.memory > 0 => {
            return unsupported("Docker cannot take a memory limit off a container that runs");
        }
        None => client.post(&path).json_text(resources::docker_update(wanted).to_string()),
    };
    match send(request).await {
        Ok(_) => Ok(()),
        Err(failure) if failure.is(Meaning::NoCall) && client.dialect() == Dialect::Podman => {
            unsupported("this version of Podman cannot change a container that runs")
        }
        Err(failure @ Failure::Transport(_)) => Err(failure.into()),
        Err(failure) => Err(failure.refusal()),
    }
}
