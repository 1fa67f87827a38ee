//! Credentials for image registries from `imagePullSecrets`.
//!
//! In: the Secrets that a pod names. Out: user names and passwords by registry, in the order of the pod, then by
//! registry. Invariant: a Secret that is missing or cannot be read is a note for people, never an error: the image may
//! not need it. Rules of `getPullSecretsForPod` (pkg/kubelet) and pkg/credentialprovider.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use k8s_openapi::api::core::v1::{Pod, Secret};
use pluglet_model::pod::RegistryCredential;
use serde::Deserialize;

use crate::objects::{Known, Object, Obstacle, look_up};
use crate::references::{ObjectRef, namespace};
use crate::resolve::Note;

/// Registries are lenient writers: padding may be missing.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// `.dockerconfigjson`.
#[derive(Default, Deserialize)]
struct DockerConfigJson {
    auths: Option<DockerConfig>,
}

/// `.dockercfg`.
type DockerConfig = BTreeMap<String, Option<Entry>>;

#[derive(Default, Deserialize)]
struct Entry {
    username: Option<String>,
    password: Option<String>,
    auth: Option<String>,
}

/// The Secret, or an entry of it, is not what its type says.
struct Unreadable;

/// The credentials of a pod's `imagePullSecrets`, and a note about those that gave none.
pub(crate) fn credentials(
    pod: &Pod,
    object: &dyn Fn(&ObjectRef) -> Known,
) -> Result<(Vec<RegistryCredential>, Option<Note>), ObjectRef> {
    let mut credentials = Vec::new();
    let mut without = Vec::new();
    let secrets = pod.spec.iter().flat_map(|spec| spec.image_pull_secrets.iter().flatten());
    for secret in secrets.filter(|secret| !secret.name.is_empty()) {
        let read = match look_up(object, &ObjectRef::secret(namespace(pod), &secret.name)) {
            Err(Obstacle::Loading(reference)) => return Err(reference),
            Err(_) | Ok(None) => Err(Unreadable),
            Ok(Some(object)) => match &*object {
                Object::Secret(secret) => of_secret(secret),
                _ => Err(Unreadable),
            },
        };
        match read {
            Ok(read) => credentials.extend(read),
            Err(Unreadable) => without.push(secret.name.as_str()),
        }
    }
    let note = (!without.is_empty()).then(|| Note {
        reason: "FailedToRetrieveImagePullSecret",
        message: format!(
            "Unable to retrieve some image pull secrets ({}); attempting to pull the image may not succeed.",
            without.join(", ")
        ),
    });
    Ok((credentials, note))
}

/// A Secret of another type, or without content, has no credentials; as in the kubelet that is no fault.
fn of_secret(secret: &Secret) -> Result<Vec<RegistryCredential>, Unreadable> {
    let content = |key| secret.data.as_ref().and_then(|data| data.get(key)).map(|bytes| bytes.0.as_slice());
    let config = match secret.type_.as_deref() {
        Some("kubernetes.io/dockerconfigjson") => content(".dockerconfigjson")
            .filter(|bytes| !bytes.is_empty())
            .map(serde_json::from_slice::<DockerConfigJson>)
            .map(|config| config.map(|config| config.auths.unwrap_or_default())),
        Some("kubernetes.io/dockercfg") => {
            content(".dockercfg").filter(|bytes| !bytes.is_empty()).map(serde_json::from_slice::<DockerConfig>)
        }
        _ => None,
    };
    let config = config.transpose().map_err(|_no_json| Unreadable)?.unwrap_or_default();
    let mut credentials = Vec::new();
    for (key, entry) in config {
        let (username, password) = entry.unwrap_or_default().into_pair()?;
        if username.is_empty() && password.is_empty() {
            continue;
        }
        credentials.extend(registry(&key).map(|registry| RegistryCredential { registry, username, password }));
    }
    Ok(credentials)
}

impl Entry {
    /// `auth`, if there is one, wins over the fields.
    fn into_pair(self) -> Result<(String, String), Unreadable> {
        let Some(auth) = self.auth.filter(|auth| !auth.is_empty()) else {
            return Ok((self.username.unwrap_or_default(), self.password.unwrap_or_default()));
        };
        let auth: String = auth.split_whitespace().collect();
        let decoded = BASE64.decode(auth).map_err(|_no_base64| Unreadable)?;
        let decoded = String::from_utf8(decoded).map_err(|_no_text| Unreadable)?;
        let (username, password) = decoded.split_once(':').ok_or(Unreadable)?;
        Ok((username.to_owned(), password.to_owned()))
    }
}

/// The registry that a key of the configuration is for: a host, with a port if it has one, and with a path if the
/// credential is for a part of the registry only. Scheme and `/v1/` or `/v2/` say nothing (`BasicDockerKeyring.Add`).
/// None for a key without host.
fn registry(key: &str) -> Option<String> {
    let address = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let address = address.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = address.split_at(address.find('/').unwrap_or(address.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_user, host)| host);
    if host.is_empty() || host.contains(|character: char| character.is_whitespace() || character.is_control()) {
        return None;
    }
    let path = if path.starts_with("/v1/") || path.starts_with("/v2/") { path.get(3..) } else { Some(path) };
    match path {
        None | Some("" | "/") => Some(host.to_owned()),
        Some(path) => Some(format!("{host}{path}")),
    }
}

#[cfg(test)]
mod tests;
