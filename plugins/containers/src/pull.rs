//! Pulls.
//!
//! In: an image and credentials. Out: the image, when it is there. Invariant: an answer of 200 is no success before its last line, because the
//! engines tell failures in the stream; one pull serves all who wait for the same image with the same credentials, and nobody else.

mod progress;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use futures::FutureExt;
use futures::future::{LocalBoxFuture, Shared};
use pluglet_sdk::{Error, ImageStatus, PodRef, RegistryCredential, Result};
use serde::Deserialize;
use serde_json::json;

use self::progress::Progress;
use crate::answer::{Failure, Meaning};
use crate::client::{Client, query, stream};
use crate::images;
use crate::lines::Lines;
use crate::reference::Reference;

/// How often a pod is told how far the pull is.
const TOLD_EVERY: Duration = Duration::from_secs(10);

type Pulling = Shared<LocalBoxFuture<'static, Result<ImageStatus>>>;
/// Image and credentials.
type Key = (String, Option<String>);

/// The pulls that are under way.
#[derive(Clone, Default)]
pub(crate) struct Pulls(Rc<RefCell<BTreeMap<Key, Pulling>>>);

/// A line of a pull.
#[derive(Deserialize)]
struct Line {
    error: Option<String>,
    #[serde(flatten)]
    step: progress::Step,
}

impl Pulls {
    /// Pull an image, or wait for whoever is at it.
    pub(crate) async fn pull(
        &self,
        client: &Client,
        pod: &PodRef,
        image: &str,
        credentials: &[RegistryCredential],
    ) -> Result<ImageStatus> {
        let reference = Reference::parse(image)?;
        let auth = reference.credential(credentials).map(header);
        let key = (reference.full(), auth.clone());
        let under_way = self.0.borrow().get(&key).cloned();
        let pulling = under_way.unwrap_or_else(|| {
            let (client, pod) = (client.clone(), pod.clone());
            let pulling = async move { pull(&client, &pod, &reference, auth).await }.boxed_local().shared();
            self.0.borrow_mut().insert(key.clone(), pulling.clone());
            pulling
        });
        let _over = Over { pulls: self, key: &key, pulling: &pulling };
        pulling.clone().await
    }
}

/// Forgets a pull that has ended, or that nobody waits for any more.
struct Over<'a> {
    pulls: &'a Pulls,
    key: &'a Key,
    pulling: &'a Pulling,
}

impl Drop for Over<'_> {
    fn drop(&mut self) {
        let mut pulls = self.pulls.0.borrow_mut();
        let same = pulls.get(self.key).is_some_and(|pulling| pulling.ptr_eq(self.pulling));
        // The map's own and this caller's are two.
        let last = self.pulling.peek().is_some() || self.pulling.strong_count().is_none_or(|count| count <= 2);
        if same && last {
            pulls.remove(self.key);
        }
    }
}

async fn pull(client: &Client, pod: &PodRef, reference: &Reference, auth: Option<String>) -> Result<ImageStatus> {
    let (from, tag) = reference.to_pull();
    let pairs = [("fromImage", Some(from.as_str())), ("tag", tag)];
    let pairs: Vec<_> = pairs.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let mut request = client.post(&format!("/images/create{}", query(&pairs)));
    if let Some(auth) = auth {
        request = request.header("x-registry-auth", auth);
    }
    let answer = match stream(request).await {
        Ok(answer) => answer,
        Err(Failure::Answer(Meaning::Refused, text)) => return Err(Error::Invalid(text)),
        Err(Failure::Answer(_, text)) => return Err(classified(reference, text)),
        Err(failure) => return Err(failure.into()),
    };
    let (mut lines, mut progress) = (Lines::new(answer.body), Progress::default());
    let mut told_ns = client.host.now_unix_ns();
    while let Some(Line { error, step }) = lines.next::<Line>().await? {
        if let Some(error) = error {
            return Err(classified(reference, error));
        }
        progress.add(step);
        let now_ns = client.host.now_unix_ns();
        if u128::from(now_ns.saturating_sub(told_ns)) >= TOLD_EVERY.as_nanos() {
            told_ns = now_ns;
            client.host.pod_event(pod.clone(), "PullProgress", format!("{}: {progress}", reference.full()));
        }
    }
    let found = images::image(client, &reference.full()).await?;
    found.ok_or_else(|| Error::unavailable(format!("{} was pulled and is not there", reference.full())))
}

/// Base64 of JSON, as the header has it.
fn header(credential: &RegistryCredential) -> String {
    let RegistryCredential { registry, username, password } = credential;
    URL_SAFE.encode(json!({"username": username, "password": password, "serveraddress": registry}).to_string())
}

/// What a registry means. The engines pass its words on, with the image's name among them.
fn classified(reference: &Reference, text: String) -> Error {
    const DENIED: [&str; 6] = [
        "unauthorized",
        "authentication required",
        "no basic auth credentials",
        "denied",
        "forbidden",
        "incorrect username or password",
    ];
    // Not "no such host": that is the network's, and the name of the image may be right.
    const MISSING: [&str; 5] = ["manifest unknown", "name unknown", "not found", "no such image", "does not exist"];
    let words = text.to_lowercase().replace(&reference.name().to_lowercase(), "");
    let has = |all: &[&str]| all.iter().any(|word| words.contains(word));
    if has(&DENIED) {
        Error::Denied(text)
    } else if has(&MISSING) {
        Error::NotFound
    } else if words.contains("invalid reference format") {
        Error::Invalid(text)
    } else {
        Error::unavailable(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_registries_become_what_they_mean() {
        let reference = Reference::parse("r.example.com/denied/unauthorized:1").unwrap();
        for (text, is) in [
            // Podman.
            (
                "initializing source docker://r.example.com/denied/unauthorized:1: reading manifest 1 in r.example.com/denied/unauthorized: unauthorized: authentication required",
                "denied",
            ),
            (
                "initializing source docker://r.example.com/denied/unauthorized:1: reading manifest 1 in r.example.com/denied/unauthorized: manifest unknown: manifest unknown",
                "missing",
            ),
            (
                "pinging container registry r.example.com: Get \"https://r.example.com/v2/\": dial tcp: lookup r.example.com on 10.0.0.1:53: no such host",
                "away",
            ),
            (
                "pinging container registry r.example.com: Get \"https://r.example.com/v2/\": dial tcp 10.0.0.2:443: connect: connection refused",
                "away",
            ),
            // Docker.
            ("Head \"https://r.example.com/v2/denied/unauthorized/manifests/1\": no basic auth credentials", "denied"),
            (
                "pull access denied for r.example.com/denied/unauthorized, repository does not exist or may require 'docker login'",
                "denied",
            ),
            (
                "manifest for r.example.com/denied/unauthorized:1 not found: manifest unknown: manifest unknown",
                "missing",
            ),
            ("toomanyrequests: You have reached your pull rate limit", "away"),
        ] {
            let fits = match classified(&reference, text.to_owned()) {
                Error::Denied(_) => is == "denied",
                Error::NotFound => is == "missing",
                Error::Unavailable(_) => is == "away",
                _ => false,
            };
            assert!(fits, "{text}");
        }
    }

    #[test]
    fn credentials_go_as_the_engines_read_them() {
        let credential = RegistryCredential { registry: "r".into(), username: "ä?>".into(), password: "p".into() };
        let decoded = URL_SAFE.decode(header(&credential)).unwrap();
        let read: serde_json::Value = serde_json::from_slice(&decoded).unwrap();
        assert_eq!(read, json!({"username": "ä?>", "password": "p", "serveraddress": "r"}));
    }
}
