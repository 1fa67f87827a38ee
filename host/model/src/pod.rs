//! A pod's identity and the resolved pod.
//!
//! In: `v1.Pod` objects. Out: [`PodKey`], [`PodPlan`]. Invariant: two keys are the same pod if and only if their UIDs are equal.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;

/// Which pod: the UID decides, namespace and name are for people and for API paths.
///
/// A pod that is deleted and made again under the same name (a StatefulSet does so within milliseconds) is another pod.
#[derive(Clone, Debug)]
pub struct PodKey {
    /// `metadata.uid`.
    pub uid: Arc<str>,
    /// `metadata.namespace`.
    pub namespace: Arc<str>,
    /// `metadata.name`.
    pub name: Arc<str>,
}

impl PodKey {
    /// A key from its parts.
    #[must_use]
    pub fn new(uid: &str, namespace: &str, name: &str) -> Self {
        Self { uid: uid.into(), namespace: namespace.into(), name: name.into() }
    }

    /// The key of an object from the API server; None for an object without UID or name, which the API server never sends.
    #[must_use]
    pub fn of(pod: &Pod) -> Option<Self> {
        let uid = pod.metadata.uid.as_deref()?;
        let name = pod.metadata.name.as_deref()?;
        Some(Self::new(uid, pod.metadata.namespace.as_deref().unwrap_or("default"), name))
    }
}

impl PartialEq for PodKey {
    fn eq(&self, other: &Self) -> bool {
        self.uid == other.uid
    }
}
impl Eq for PodKey {}
impl Hash for PodKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.uid.hash(state);
    }
}

/// `namespace/name`, as people write it; logs carry the UID as a field of its own.
impl fmt::Display for PodKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A pod with nothing left to look up: what a provider gets.
#[derive(Clone, Debug)]
pub struct PodPlan {
    /// Identity.
    pub key: PodKey,
    /// `metadata.generation` of `pod`.
    pub generation: u64,
    /// The pod as the provider shall see it.
    pub pod: Arc<Pod>,
    /// Volumes whose files the host made.
    pub volumes: Vec<Volume>,
    /// Credentials for the registries of the pod's images.
    pub registry_credentials: Vec<RegistryCredential>,
}

/// A volume that the host made from configMap, secret, downwardAPI or projected sources.
#[derive(Clone, PartialEq, Eq)]
pub struct Volume {
    /// As in `spec.volumes[].name`.
    pub name: String,
    /// Its files, sorted by path.
    pub files: Vec<VolumeFile>,
}

impl fmt::Debug for Volume {
    // Content may be a Secret: never printed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths: Vec<_> = self.files.iter().map(|file| &file.path).collect();
        f.debug_struct("Volume").field("name", &self.name).field("files", &paths).finish()
    }
}

/// One file of a [`Volume`].
#[derive(Clone, PartialEq, Eq)]
pub struct VolumeFile {
    /// Relative to the volume's root; no `..`.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// Content.
    pub bytes: Vec<u8>,
}

/// A user name and password for one registry.
#[derive(Clone, PartialEq, Eq)]
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
