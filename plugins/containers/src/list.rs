//! All that there is.
//!
//! In: labels. Out: containers and sandboxes, as the engine tells them now. Invariant: complete or an error; what goes away while it is looked at
//! is left out, as it would be a moment later.

use std::collections::BTreeMap;

use futures::stream::{self, StreamExt, TryStreamExt};
use pluglet_sdk::{PodContents, PodRef, Result};

use crate::answer::{Failure, Meaning};
use crate::client::{Client, json, query};
use crate::inspect::{Inspected, Listed};
use crate::labels::{self, Kind, UID};
use crate::{names, status};

/// Inspections at once. More buys nothing with either engine.
const AT_ONCE: usize = 8;

/// Everything of one pod, or of all pods. The list of an engine tells neither times nor exit codes, so each is inspected.
pub(crate) async fn contents(client: &Client, pod: Option<&PodRef>) -> Result<Vec<PodContents>> {
    let more: Vec<(&str, &str)> = pod.map(|pod| (UID, pod.uid.as_str())).into_iter().collect();
    let found = inspected(client, labelled(client, &more).await?).await?;
    let mut pods: BTreeMap<String, PodContents> = BTreeMap::new();
    for one in &found {
        let (Some(of), Some(kind)) = (labels::pod(one.labels()), labels::kind(one.labels())) else { continue };
        let pod = pods.entry(of.uid.clone()).or_insert_with(|| PodContents { pod: of, ..PodContents::default() });
        match kind {
            Kind::Sandbox => pod.sandboxes.push(status::sandbox(one)),
            Kind::Container => pod.containers.push(status::container(one)),
        }
    }
    Ok(pods.into_values().collect())
}

/// What is ours and has these labels too.
pub(crate) async fn labelled(client: &Client, more: &[(&str, &str)]) -> Result<Vec<Listed>, Failure> {
    listed(client, &client.owner.filter(more), "1").await
}

/// The same, of what runs.
pub(crate) async fn running(client: &Client, more: &[(&str, &str)]) -> Result<Vec<Listed>, Failure> {
    listed(client, &client.owner.filter_running(more), "0").await
}

async fn listed(client: &Client, filter: &str, all: &str) -> Result<Vec<Listed>, Failure> {
    let path = format!("/containers/json{}", query(&[("all", all), ("filters", filter)]));
    let found: Vec<Listed> = json(client.get(&path)).await?;
    Ok(found.into_iter().filter(|one| client.owner.owns(&one.labels) && names::is_name(&one.id)).collect())
}

async fn inspected(client: &Client, listed: Vec<Listed>) -> Result<Vec<Inspected>, Failure> {
    let inspections = listed.into_iter().map(|one| async move {
        match client.inspect(&one.id).await {
            Ok(found) => Ok(Some(found)),
            Err(failure) if failure.is(Meaning::Missing) => Ok(None),
            Err(failure) => Err(failure),
        }
    });
    stream::iter(inspections).buffer_unordered(AT_ONCE).try_filter_map(async |found| Ok(found)).try_collect().await
}
