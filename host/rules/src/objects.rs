//! What is known of the objects that a pod names.
//!
//! In: answers of the API server, kept by the caller. Out: contents for environments and files, or why there are none
//! yet. Invariant: contents of Secrets never appear in `Debug` output.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};

use crate::references::{ObjectRef, TokenSpec};
use crate::services::ServiceFacts;

/// What the caller knows of an [`ObjectRef`].
#[derive(Clone, Debug)]
pub enum Known {
    /// It has been asked for and the answer is not here yet.
    Loading,
    /// It does not exist.
    Missing,
    /// Forbidden, or another answer that does not say whether it exists.
    Failed(String),
    /// It exists.
    Found(Arc<Object>),
}

/// An object, or the set of objects that one [`ObjectRef`] stands for.
#[derive(Clone)]
pub enum Object {
    /// For [`ObjectRef::ConfigMap`].
    ConfigMap(ConfigMap),
    /// For [`ObjectRef::Secret`].
    Secret(Secret),
    /// For [`ObjectRef::Services`] and [`ObjectRef::KubernetesService`].
    Services(Vec<ServiceFacts>),
    /// For [`ObjectRef::TrustBundle`] and [`ObjectRef::TrustBundles`].
    TrustBundles(Vec<TrustBundle>),
}

/// What the rules read of a ClusterTrustBundle (certificates.k8s.io).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustBundle {
    /// `metadata.name`.
    pub name: String,
    /// `spec.signerName`; empty for a bundle without signer.
    pub signer_name: String,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// `spec.trustBundle`: PEM.
    pub pem: String,
}

impl fmt::Debug for Object {
    // Content may be a Secret: never printed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConfigMap(map) => write!(f, "ConfigMap({:?})", map.metadata.name),
            Self::Secret(secret) => write!(f, "Secret({:?})", secret.metadata.name),
            Self::Services(services) => f.debug_tuple("Services").field(services).finish(),
            Self::TrustBundles(bundles) => f.debug_tuple("TrustBundles").field(bundles).finish(),
        }
    }
}

impl Object {
    /// Keys and values for `envFrom`, sorted by key: of a ConfigMap only `data`, not `binaryData`.
    pub(crate) fn variables(&self) -> Vec<(&str, &[u8])> {
        match self {
            Self::ConfigMap(map) => texts(map).collect(),
            Self::Secret(secret) => secrets(secret).collect(),
            Self::Services(_) | Self::TrustBundles(_) => Vec::new(),
        }
    }

    /// One of [`variables`](Self::variables).
    pub(crate) fn variable(&self, key: &str) -> Option<&[u8]> {
        match self {
            Self::ConfigMap(map) => Some(map.data.as_ref()?.get(key)?.as_bytes()),
            Self::Secret(secret) => Some(&secret.data.as_ref()?.get(key)?.0),
            Self::Services(_) | Self::TrustBundles(_) => None,
        }
    }

    /// Keys and contents for a volume: of a ConfigMap `data` and `binaryData`.
    pub(crate) fn files(&self) -> Vec<(&str, &[u8])> {
        let mut files = self.variables();
        if let Self::ConfigMap(map) = self {
            files.extend(map.binary_data.iter().flatten().map(|(key, bytes)| (key.as_str(), bytes.0.as_slice())));
        }
        files
    }

    /// One of [`files`](Self::files).
    pub(crate) fn file(&self, key: &str) -> Option<&[u8]> {
        self.variable(key).or_else(|| match self {
            Self::ConfigMap(map) => Some(&map.binary_data.as_ref()?.get(key)?.0),
            _ => None,
        })
    }
}

fn texts(map: &ConfigMap) -> impl Iterator<Item = (&str, &[u8])> {
    map.data.iter().flatten().map(|(key, value)| (key.as_str(), value.as_bytes()))
}

fn secrets(secret: &Secret) -> impl Iterator<Item = (&str, &[u8])> {
    secret.data.iter().flatten().map(|(key, value)| (key.as_str(), value.0.as_slice()))
}

/// Why a part of a pod cannot be resolved now. Whoever knows which container or volume it is makes a
/// [`Problem`](crate::resolve::Problem) of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// Wait for an object.
    Loading(ObjectRef),
    /// Wait for a token.
    Token(TokenSpec),
    /// No kubelet of this kind can do it.
    Unsupported(String),
    /// For people, in the kubelet's words.
    Message(String),
}

impl From<String> for Obstacle {
    fn from(message: String) -> Self {
        Self::Message(message)
    }
}

/// The object if it exists, None if it does not.
pub(crate) fn look_up(
    object: &dyn Fn(&ObjectRef) -> Known,
    reference: &ObjectRef,
) -> Result<Option<Arc<Object>>, Obstacle> {
    if reference.is_nameless() {
        return Ok(None);
    }
    match object(reference) {
        Known::Loading => Err(Obstacle::Loading(reference.clone())),
        Known::Missing => Ok(None),
        Known::Failed(message) => Err(Obstacle::Message(message)),
        Known::Found(object) => Ok(Some(object)),
    }
}

/// The object; None only if it does not exist and is optional.
pub(crate) fn require(
    object: &dyn Fn(&ObjectRef) -> Known,
    reference: &ObjectRef,
    optional: Option<bool>,
) -> Result<Option<Arc<Object>>, Obstacle> {
    match look_up(object, reference)? {
        None if optional != Some(true) => Err(Obstacle::Message(reference.not_found())),
        found => Ok(found),
    }
}
