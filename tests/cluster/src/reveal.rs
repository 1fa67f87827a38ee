//! What the provider holds of a container, as the mock provider tells it in the first line of the container's log.
//!
//! In: a pod with the annotation `mock.pluglet.dev/reveal`. Out: JSON. Invariant: read through the API server and the node's kubelet server, as
//! `kubectl logs` reads it.

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::LogParams;
use serde_json::Value;

/// What the provider holds of this container now.
///
/// # Errors
/// When there is no log yet, or it does not begin as the annotation asks for.
pub async fn revealed(pods: &Api<Pod>, pod: &str, container: &str) -> Result<Value> {
    let options = LogParams { container: Some(container.to_owned()), ..LogParams::default() };
    let log = pods.logs(pod, &options).await.with_context(|| format!("the log of {pod}/{container}"))?;
    let first = log.lines().next().with_context(|| format!("the log of {pod}/{container} is empty"))?;
    serde_json::from_str(first).with_context(|| format!("the log of {pod}/{container} begins with {first:?}"))
}

/// The value of a variable in what was revealed.
#[must_use]
pub fn variable<'a>(revealed: &'a Value, name: &str) -> Option<&'a str> {
    let all = revealed.get("env")?.as_array()?;
    all.iter().find(|variable| variable.get("name").and_then(Value::as_str) == Some(name))?.get("value")?.as_str()
}

/// The text of a file in what was revealed. A volume name that ends in `*` means the first that begins so.
#[must_use]
pub fn file_text<'a>(revealed: &'a Value, volume: &str, path: &str) -> Option<&'a str> {
    let files = files(revealed, volume)?.as_array()?;
    files.iter().find(|file| file.get("path").and_then(Value::as_str) == Some(path))?.get("text")?.as_str()
}

pub(crate) fn files<'a>(revealed: &'a Value, volume: &str) -> Option<&'a Value> {
    let volumes = revealed.get("volumes")?.as_object()?;
    match volume.strip_suffix('*') {
        Some(prefix) => volumes.iter().find(|(name, _)| name.starts_with(prefix)).map(|(_, files)| files),
        None => volumes.get(volume),
    }
}

/// The claims of a JSON Web Token. Its signature is the API server's business.
///
/// # Errors
/// When it is no token.
pub fn claims(token: &str) -> Result<Value> {
    let payload = token.split('.').nth(1).with_context(|| format!("{token:?} has no payload"))?;
    let bytes = URL_SAFE_NO_PAD.decode(payload).context("the payload is no base64url")?;
    serde_json::from_slice(&bytes).context("the payload is no JSON")
}

/// `exp` − `iat`: how long a token is good for when it is issued, in seconds.
#[must_use]
pub fn lifetime(claims: &Value) -> Option<i64> {
    let time = |claim: &str| claims.get(claim).and_then(Value::as_i64);
    Some(time("exp")? - time("iat")?)
}
