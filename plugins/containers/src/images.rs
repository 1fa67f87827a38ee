//! Images that are there.
//!
//! In: names and ids of images. Out: what the engine knows of them. Invariant: an image that something uses is never removed, whatever it takes to be
//! sure.

use futures::stream::{self, StreamExt, TryStreamExt};
use pluglet_sdk::{Error, ImageStatus, Result};
use serde::Deserialize;

use crate::answer::{Failure, Meaning};
use crate::client::{Client, json, send};
use crate::inspect::or_default;
use crate::reference::Reference;

/// Inspections at once.
const AT_ONCE: usize = 8;
/// What Docker writes in place of a name.
const NONE: &str = "<none>";

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Image {
    id: String,
    #[serde(deserialize_with = "or_default")]
    repo_tags: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    repo_digests: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    size: u64,
    #[serde(deserialize_with = "or_default")]
    config: Config,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Config {
    #[serde(deserialize_with = "or_default")]
    user: String,
}

impl From<Image> for ImageStatus {
    fn from(image: Image) -> Self {
        let named = |names: Vec<String>| names.into_iter().filter(|name| !name.contains(NONE)).collect();
        Self {
            id: image.id,
            tags: named(image.repo_tags),
            digests: named(image.repo_digests),
            size: image.size,
            user: image.config.user,
        }
    }
}

/// An image by the name that a pod's author wrote.
pub(crate) async fn image(client: &Client, image: &str) -> Result<Option<ImageStatus>> {
    let name = if is_id(image) { image.to_owned() } else { Reference::parse(image)?.full() };
    match inspect(client, &name).await {
        Ok(found) => Ok(found.map(Into::into)),
        Err(failure) if failure.says(&["invalid reference format"]) => Err(failure.refusal()),
        Err(failure) => Err(failure.into()),
    }
}

/// None where there is no such image. `name` has been checked.
async fn inspect(client: &Client, name: &str) -> Result<Option<Image>, Failure> {
    match json(client.get(&format!("/images/{name}/json"))).await {
        Ok(found) => Ok(Some(found)),
        // Docker says so of a name that can be none, too.
        Err(failure) if failure.is(Meaning::Missing) && !failure.says(&["invalid reference format"]) => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// All images. The list of an engine does not tell whom they run as, so each is inspected.
pub(crate) async fn all(client: &Client) -> Result<Vec<ImageStatus>> {
    let listed: Vec<Image> = json(client.get("/images/json")).await?;
    let found = listed
        .into_iter()
        .filter(|image| is_id(&image.id))
        .map(|image| async move { inspect(client, &image.id).await.map(|found| found.map(ImageStatus::from)) });
    let all: Result<Vec<_>, Failure> =
        stream::iter(found).buffer_unordered(AT_ONCE).try_filter_map(async |found| Ok(found)).try_collect().await;
    Ok(all?)
}

/// Remove an image under all its names.
pub(crate) async fn remove(client: &Client, id: &str) -> Result<()> {
    if !is_id(id) {
        return Err(Error::NotFound);
    }
    match delete(client, id).await {
        // Docker does not remove one with several names by its id, or only by force, which would also take it from containers that have ended.
        Err(failure) if failure.says(&["multiple repositories"]) => {}
        outcome => return outcome.map_err(Into::into),
    }
    let Some(found) = inspect(client, id).await? else { return Ok(()) };
    for name in found.repo_tags.iter().chain(&found.repo_digests).filter(|name| !name.contains(NONE)) {
        match delete(client, &Reference::parse(name)?.full()).await {
            Err(failure) if failure.is(Meaning::Missing) => {}
            outcome => outcome?,
        }
    }
    match delete(client, id).await {
        // It went with its last name.
        Err(failure) if failure.is(Meaning::Missing) => Ok(()),
        outcome => outcome.map_err(Into::into),
    }
}

async fn delete(client: &Client, name: &str) -> Result<(), Failure> {
    send(client.delete(&format!("/images/{name}"))).await.map(drop)
}

/// Such as `sha256:4d9bcd63…`. Older engines leave the algorithm out.
fn is_id(text: &str) -> bool {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}
