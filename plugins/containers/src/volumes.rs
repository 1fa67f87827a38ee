//! Volumes that live in memory, for pods.
//!
//! In: volumes of sandboxes. Out: tmpfs volumes of the engine. Invariant: a volume is made before the sandbox that holds it and removed after it; one
//! that is not ours is never used and never removed.

use std::time::Duration;

use pluglet_sdk::{Error, MemoryVolume, PodRef, Result};
use serde::Deserialize;

use crate::answer::{Failure, Meaning};
use crate::client::{Client, json, query, send};
use crate::create;
use crate::inspect::or_default;
use crate::labels::{Labels, UID};
use crate::list;
use crate::names;

/// How often a volume that should be free is tried, and how long is waited between: Podman lets go of it a little after its container.
const TRIES: usize = 5;
const PAUSE: Duration = Duration::from_millis(200);

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Volume {
    name: String,
    #[serde(deserialize_with = "or_default")]
    labels: Labels,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Volumes {
    #[serde(deserialize_with = "or_default")]
    volumes: Vec<Volume>,
}

/// Make a volume of a pod, unless it is there.
pub(crate) async fn ensure(client: &Client, pod: &PodRef, volume: &MemoryVolume) -> Result<()> {
    let (name, labels) = (names::volume(pod, &volume.name), client.owner.of_pod(pod));
    let body = create::volume(client.dialect(), &name, &labels, volume.size_limit, volume.group).to_string();
    let made: Result<Volume, Failure> = json(client.post("/volumes/create").json_text(body)).await;
    let made = match made {
        Err(failure) if failure.is(Meaning::Exists) => json(client.get(&format!("/volumes/{name}"))).await,
        made => made,
    };
    if client.owner.owns(&made?.labels) {
        return Ok(());
    }
    Err(Error::internal(format!("there is a volume {name} that somebody else has made")))
}

/// Remove the volumes of a pod, but for those that another sandbox of it has.
pub(crate) async fn remove_of(client: &Client, uid: &str) -> Result<()> {
    let filter = client.owner.filter(&[(UID, uid)]);
    for name in named(client, &filter, |labels| labels.get(UID).is_some_and(|of| of == uid)).await? {
        remove(client, uid, &name).await?;
    }
    Ok(())
}

async fn remove(client: &Client, uid: &str, name: &str) -> Result<()> {
    let mut tries = 1;
    loop {
        match send(client.delete(&format!("/volumes/{name}"))).await {
            Ok(_) => return Ok(()),
            Err(failure) if failure.is(Meaning::Missing) => return Ok(()),
            Err(failure) if failure.is(Meaning::InUse) || failure.is(Meaning::State) => {
                if !list::labelled(client, &[(UID, uid)]).await?.is_empty() {
                    return Ok(());
                }
                if tries == TRIES {
                    return Err(failure.into());
                }
            }
            Err(failure) => return Err(failure.into()),
        }
        tries += 1;
        client.host.sleep(PAUSE).await;
    }
}

/// Remove volumes of ours that no container has: a removal that was broken off has left them. Only safe while no sandbox is being made.
pub(crate) async fn sweep(client: &Client) -> Result<()> {
    for name in named(client, &client.owner.filter_unused(), |_| true).await? {
        match send(client.delete(&format!("/volumes/{name}"))).await {
            Ok(_) => client.host.info(format!("removed volume {name}, which nothing uses any more")),
            Err(failure) if failure.is(Meaning::Missing) || failure.is(Meaning::InUse) => {}
            Err(failure) => return Err(failure.into()),
        }
    }
    Ok(())
}

/// Podman gives the volumes that any of several labels fits: the filter saves work, and `wanted` decides.
async fn named(client: &Client, filter: &str, wanted: impl Fn(&Labels) -> bool) -> Result<Vec<String>, Failure> {
    let found: Volumes = json(client.get(&format!("/volumes{}", query(&[("filters", filter)])))).await?;
    let ours =
        found.volumes.into_iter().filter(|volume| client.owner.owns(&volume.labels) && names::is_name(&volume.name));
    let ours = ours.filter(|volume| wanted(&volume.labels));
    Ok(ours.map(|volume| volume.name).collect())
}
