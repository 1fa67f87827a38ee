//! Requests to the engine.
//!
//! In: paths and bodies of the Docker Engine API. Out: its answers, or a [`Failure`]. Invariant: every path begins with the version that both sides
//! speak, and every id in one is checked, so nothing of a caller's text changes what is asked for.

use std::rc::Rc;

use pluglet_sdk::{Error, Handshake, Host, HttpError, RequestBuilder, Response, Result, StreamingResponse, Upgraded};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::answer::{Failure, Meaning};
use crate::inspect::Inspected;
use crate::labels::{self, Kind, Owner};
use crate::names;

const ENDPOINT: &str = "engine";
/// The minor versions of API 1 whose answers are understood here.
const OLDEST: u32 = 41;
const NEWEST: u32 = 47;
/// Room for the list of a few thousand containers.
const LONGEST_ANSWER: u32 = 64 << 20;
/// How much of an answer to a stream is read for its error.
const LONGEST_ERROR: usize = 64 << 10;

/// Which of the two engines this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Docker,
    Podman,
}

/// The engine. A clone is the same one.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) host: Host,
    pub(crate) owner: Rc<Owner>,
    /// Such as `/v1.41`.
    base: Rc<str>,
    /// Podman's own API, such as `/v4.3.1/libpod`.
    libpod: Option<Rc<str>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Version {
    api_version: String,
    #[serde(default, rename = "MinAPIVersion")]
    min_api_version: String,
}

impl Client {
    /// Find out which engine it is and agree on a version.
    pub(crate) async fn connect(host: Host, owner: Owner) -> Result<Self> {
        let answer = host.endpoint(ENDPOINT).get("/version").send().await?;
        if !(200..300).contains(&answer.status) {
            return Err(Failure::of(&answer).into());
        }
        let version: Version = answer.json()?;
        let base = negotiated(&version.api_version, &version.min_api_version).map_err(Error::Invalid)?;
        let libpod = answer.header("libpod-api-version").filter(|version| names::is_name(version));
        let libpod = libpod.map(|version| format!("/v{version}/libpod").into());
        Ok(Self { host, owner: Rc::new(owner), base: base.into(), libpod })
    }

    pub(crate) fn dialect(&self) -> Dialect {
        if self.libpod.is_some() { Dialect::Podman } else { Dialect::Docker }
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> RequestBuilder<'_> {
        self.host.endpoint(ENDPOINT).request(method, format!("{}{path}", self.base)).max_bytes(LONGEST_ANSWER)
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder<'_> {
        self.request("GET", path)
    }

    pub(crate) fn post(&self, path: &str) -> RequestBuilder<'_> {
        self.request("POST", path)
    }

    pub(crate) fn delete(&self, path: &str) -> RequestBuilder<'_> {
        self.request("DELETE", path)
    }

    /// A request to Podman's own API. None with Docker.
    pub(crate) fn libpod(&self, method: &str, path: &str) -> Option<RequestBuilder<'_>> {
        let libpod = self.libpod.as_deref()?;
        let request = self.host.endpoint(ENDPOINT).request(method, format!("{libpod}{path}"));
        Some(request.max_bytes(LONGEST_ANSWER))
    }

    /// The container of that id or name, if it is ours.
    pub(crate) async fn inspect(&self, id: &str) -> Result<Inspected, Failure> {
        let missing = || Failure::Answer(Meaning::Missing, format!("no container {id}"));
        if !names::is_name(id) {
            return Err(missing());
        }
        let found: Inspected = json(self.get(&format!("/containers/{id}/json"))).await?;
        if self.owner.owns(found.labels()) { Ok(found) } else { Err(missing()) }
    }

    /// The same, if it is a pod's container and not a sandbox, or the other way round.
    pub(crate) async fn inspect_kind(&self, id: &str, kind: Kind) -> Result<Inspected, Failure> {
        let found = self.inspect(id).await?;
        match labels::kind(found.labels()) {
            Some(own) if own == kind => Ok(found),
            _ => Err(Failure::Answer(Meaning::Missing, format!("{id} is no {}", kind.word()))),
        }
    }
}

/// The answer, if it is a success or says that things are so already (304).
pub(crate) async fn send(request: RequestBuilder<'_>) -> Result<Response, Failure> {
    let answer = request.send().await?;
    match answer.status {
        200..300 | 304 => Ok(answer),
        _ => Err(Failure::of(&answer)),
    }
}

/// The answer, read as JSON.
pub(crate) async fn json<T: DeserializeOwned>(request: RequestBuilder<'_>) -> Result<T, Failure> {
    let answer = send(request).await?;
    answer.json().map_err(|error| Failure::Transport(HttpError::Protocol(error.to_string())))
}

/// The answer as it comes, if it is a success.
pub(crate) async fn stream(request: RequestBuilder<'_>) -> Result<StreamingResponse, Failure> {
    let answer = request.stream().await?;
    if (200..300).contains(&answer.status) {
        return Ok(answer);
    }
    let StreamingResponse { status, headers, body } = answer;
    let body = body.collect(LONGEST_ERROR).await.unwrap_or_default();
    Err(Failure::of(&Response { status, headers, body }))
}

/// The connection, if the engine switches.
pub(crate) async fn upgrade(request: RequestBuilder<'_>) -> Result<Upgraded, Failure> {
    match request.upgrade("tcp").await? {
        Handshake::Accepted(connection) => Ok(connection),
        Handshake::Refused(answer) => Err(Failure::of(&answer)),
    }
}

/// A query with its `?`.
pub(crate) fn query(pairs: &[(&str, &str)]) -> String {
    let mut query = form_urlencoded::Serializer::for_suffix("?".to_owned(), 1);
    query.extend_pairs(pairs);
    query.finish()
}

/// The newest version that both sides speak, as the beginning of a path.
fn negotiated(newest: &str, oldest: &str) -> Result<String, String> {
    let minor = |version: &str| version.strip_prefix("1.").and_then(|minor| minor.parse().ok());
    let theirs: u32 = minor(newest).ok_or_else(|| format!("the engine's API version {newest:?} is not understood"))?;
    let (chosen, least) = (theirs.min(NEWEST), minor(oldest).unwrap_or(0));
    if chosen < OLDEST || chosen < least {
        return Err(format!(
            "the engine speaks the API 1.{least} to 1.{theirs}, this provider 1.{OLDEST} to 1.{NEWEST}: there is none in common"
        ));
    }
    Ok(format!("/v1.{chosen}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_that_both_speak_is_taken() {
        for (newest, oldest, chosen) in
            [("1.41", "1.24", "/v1.41"), ("1.44", "1.24", "/v1.44"), ("1.52", "1.44", "/v1.47")]
        {
            assert_eq!(negotiated(newest, oldest).as_deref(), Ok(chosen), "{newest}");
        }
        for (newest, oldest) in [("1.40", "1.12"), ("1.60", "1.48"), ("2.0", ""), ("", "")] {
            assert!(negotiated(newest, oldest).is_err(), "{newest}");
        }
    }

    #[test]
    fn what_stands_in_a_query_stays_there() {
        assert_eq!(query(&[("a", "x&y=/ %"), ("b", "1")]), "?a=x%26y%3D%2F+%25&b=1");
    }
}
