//! What a call is about: a pod's identity and the pod with nothing left to look up.
//!
//! In: what the host sends. Out: [`PodRef`], [`ResolvedPod`], [`Status`]. Invariant: the pod's JSON is kept as it came and read
//! only when asked for, into whatever type the provider wants.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::kubernetes::{Pod, PodStatus};
use crate::{Error, Result};

mod addresses;

/// Which pod. The identity is `uid` alone: a pod that is deleted and made again under the same name is another pod, and both may
/// exist in a backend at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PodRef {
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.generation`: rises with each change of the spec. 0 where it is unknown.
    pub generation: u64,
}

/// `namespace/name`, as people write it.
impl fmt::Display for PodRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A pod as the host hands it over, with the files and registry credentials that the host has looked up for it.
///
/// A provider never reads the API server: what is not in here, it does not need. Environment variables have literal values, except those of
/// the pod's own address, see [`ResolvedPod::fill_pod_ips`]; `command` and `args` are expanded; mounts have `subPath` and no `subPathExpr`.
/// `lifecycle` hooks are in the JSON and the provider's to run.
#[derive(Clone, Default)]
pub struct ResolvedPod {
    /// A `v1.Pod` as JSON.
    pub json: String,
    /// Volumes whose content the host made. Only of the kinds that [`crate::Info`] lists.
    pub volumes: Vec<Volume>,
    /// For the registries of the pod's images.
    pub registry_credentials: Vec<RegistryCredential>,
}

impl ResolvedPod {
    /// The pod in the SDK's own slim type.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the JSON is not a pod.
    pub fn pod(&self) -> Result<Pod> {
        self.pod_as()
    }

    /// The pod in a type of your own, which may borrow from the JSON. A type with only the fields you need is the fastest.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the JSON does not fit the type.
    pub fn pod_as<'a, T: Deserialize<'a>>(&'a self) -> Result<T> {
        serde_json::from_str(&self.json).map_err(|error| Error::Invalid(format!("cannot read the pod: {error}")))
    }
}

/// Sizes and names only: environment and files may hold secrets.
impl fmt::Debug for ResolvedPod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResolvedPod")
            .field("json_bytes", &self.json.len())
            .field("volumes", &self.volumes)
            .field("registry_credentials", &self.registry_credentials)
            .finish()
    }
}

/// A volume made from configMap, secret, downwardAPI or projected sources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// As in `spec.volumes[].name`.
    pub name: String,
    /// Its files.
    pub files: Vec<VolumeFile>,
}

/// One file of a [`Volume`].
#[derive(Clone, Default, PartialEq, Eq)]
pub struct VolumeFile {
    /// Relative to the volume's root, no `..`.
    pub path: String,
    /// Permission bits, such as `0o644`.
    pub mode: u32,
    /// Content. May be a Secret: never printed.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for VolumeFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes, {:o})", self.path, self.bytes.len(), self.mode)
    }
}

/// A user name and password for one registry.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RegistryCredential {
    /// Registry as an image reference begins: a host, with a port and a path where the Secret names them.
    pub registry: String,
    /// User name.
    pub username: String,
    /// Password; never printed.
    pub password: String,
}

impl fmt::Debug for RegistryCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryCredential").field("registry", &self.registry).finish_non_exhaustive()
    }
}

/// A `v1.PodStatus` as JSON: made from the SDK's [`PodStatus`], or passed on as a backend wrote it.
///
/// The host reads `phase`, `reason`, `message`, `startTime`, `podIP(s)` and the container statuses and computes the conditions
/// itself. At most 1 MiB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status(String);

impl Status {
    /// A status that is JSON already. It is not looked into: the host refuses one that is not a `v1.PodStatus`.
    #[must_use]
    pub fn from_json(json: String) -> Self {
        Self(json)
    }

    /// The JSON.
    #[must_use]
    pub fn as_json(&self) -> &str {
        &self.0
    }

    /// The JSON, taken out.
    #[must_use]
    pub fn into_json(self) -> String {
        self.0
    }
}

impl From<&PodStatus> for Status {
    fn from(status: &PodStatus) -> Self {
        // A PodStatus holds strings, numbers and times only, and writing those into memory cannot fail.
        Self(serde_json::to_string(status).unwrap_or_default())
    }
}

impl From<PodStatus> for Status {
    fn from(status: PodStatus) -> Self {
        Self::from(&status)
    }
}
