//! What a pod names that must be looked up before it can be resolved.
//!
//! In: a pod, the volume kinds that the provider takes. Out: a set of [`ObjectRef`]s and of [`TokenSpec`]s. Invariant:
//! whatever [`resolve`](crate::resolve::resolve) asks for is in these sets; a volume kind that the provider does not
//! take adds nothing.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{
    EnvFromSource, EnvVar, Pod, PodSpec, ServiceAccountTokenProjection, VolumeProjection,
};

use crate::containers;
pub use crate::volumes::kinds::{VolumeKinds, kind};

/// `expirationSeconds` of a token projection that names none (`SetDefaults_ServiceAccountTokenProjection`).
const DEFAULT_TOKEN_SECONDS: i64 = 3600;
/// The API server refuses shorter ones.
const SHORTEST_TOKEN_SECONDS: i64 = 600;

/// An object, or a set of objects, of the API server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ObjectRef {
    /// A ConfigMap.
    ConfigMap {
        /// `metadata.namespace`.
        namespace: Arc<str>,
        /// `metadata.name`, never empty.
        name: Arc<str>,
    },
    /// A Secret.
    Secret {
        /// `metadata.namespace`.
        namespace: Arc<str>,
        /// `metadata.name`, never empty.
        name: Arc<str>,
    },
    /// All Services of a namespace.
    Services {
        /// Which namespace.
        namespace: Arc<str>,
    },
    /// The Service `default/kubernetes`.
    KubernetesService,
    /// A ClusterTrustBundle.
    TrustBundle {
        /// `metadata.name`, never empty.
        name: Arc<str>,
    },
    /// All ClusterTrustBundles of a signer.
    TrustBundles {
        /// `spec.signerName`.
        signer_name: Arc<str>,
    },
}

impl ObjectRef {
    pub(crate) fn config_map(namespace: &str, name: &str) -> Self {
        Self::ConfigMap { namespace: namespace.into(), name: name.into() }
    }

    pub(crate) fn secret(namespace: &str, name: &str) -> Self {
        Self::Secret { namespace: namespace.into(), name: name.into() }
    }

    /// An empty name is valid in the API ("effectively required, but allowed to be empty"). No object has it, and asked
    /// for by path it would be the list of all objects.
    pub(crate) fn is_nameless(&self) -> bool {
        match self {
            Self::ConfigMap { name, .. } | Self::Secret { name, .. } | Self::TrustBundle { name } => name.is_empty(),
            Self::Services { .. } | Self::KubernetesService | Self::TrustBundles { .. } => false,
        }
    }

    /// What a kubelet says when it does not exist: the `NotFound` status that its object manager makes up.
    pub(crate) fn not_found(&self) -> String {
        match self {
            Self::ConfigMap { name, .. } => format!("configmap {name:?} not found"),
            Self::Secret { name, .. } => format!("secret {name:?} not found"),
            Self::Services { namespace } => format!("services of namespace {namespace:?} not found"),
            Self::KubernetesService => "service \"kubernetes\" not found".to_owned(),
            Self::TrustBundle { name } => {
                format!("while getting ClusterTrustBundle: clustertrustbundle.certificates.k8s.io {name:?} not found")
            }
            Self::TrustBundles { .. } => {
                "combination of signerName and labelSelector matched zero ClusterTrustBundles".to_owned()
            }
        }
    }
}

/// As kubelet messages name them: `ConfigMap ns/name`.
impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConfigMap { namespace, name } => write!(f, "ConfigMap {namespace}/{name}"),
            Self::Secret { namespace, name } => write!(f, "Secret {namespace}/{name}"),
            Self::Services { namespace } => write!(f, "Services of namespace {namespace}"),
            Self::KubernetesService => f.write_str("Service default/kubernetes"),
            Self::TrustBundle { name } => write!(f, "ClusterTrustBundle {name}"),
            Self::TrustBundles { signer_name } => write!(f, "ClusterTrustBundles of signer {signer_name}"),
        }
    }
}

/// A token to ask of the pod's ServiceAccount, bound to the pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenSpec {
    /// None is the API server's own audience.
    pub audience: Option<Arc<str>>,
    /// Seconds, at least 600.
    pub expiration_seconds: i64,
}

impl TokenSpec {
    pub(crate) fn of(projection: &ServiceAccountTokenProjection) -> Self {
        let seconds = projection.expiration_seconds.unwrap_or(DEFAULT_TOKEN_SECONDS);
        Self {
            audience: projection.audience.as_deref().filter(|audience| !audience.is_empty()).map(Arc::from),
            expiration_seconds: seconds.max(SHORTEST_TOKEN_SECONDS),
        }
    }
}

/// Everything that a pod names and that must be looked up.
///
/// The set is that of a pod created now: what [`Environment`](crate::environment::Environment) has frozen is in it as
/// well.
#[must_use]
pub fn references(pod: &Pod, kinds: &VolumeKinds) -> BTreeSet<ObjectRef> {
    let mut found = BTreeSet::from([ObjectRef::KubernetesService]);
    let (Some(spec), namespace) = (&pod.spec, namespace(pod)) else {
        return found;
    };
    if spec.enable_service_links.unwrap_or(true) {
        found.insert(ObjectRef::Services { namespace: namespace.into() });
    }
    for container in containers::all(spec) {
        found.extend(container.env_from.iter().filter_map(|source| of_env_from(source, namespace)));
        found.extend(container.env.iter().filter_map(|variable| of_env(variable, namespace)));
    }
    let secrets = spec.image_pull_secrets.iter().flatten();
    found.extend(secrets.map(|secret| ObjectRef::secret(namespace, &secret.name)));
    found.extend(of_volumes(spec, namespace, kinds));
    found.retain(|reference| !reference.is_nameless());
    found
}

/// The part of [`references`] that files are made of: all that changes while the pod runs.
#[must_use]
pub fn file_references(pod: &Pod, kinds: &VolumeKinds) -> BTreeSet<ObjectRef> {
    let found = pod.spec.iter().flat_map(|spec| of_volumes(spec, namespace(pod), kinds));
    found.filter(|reference| !reference.is_nameless()).collect()
}

/// Whether the host makes files for the pod.
#[must_use]
pub fn makes_files(pod: &Pod, kinds: &VolumeKinds) -> bool {
    const MADE: [&str; 4] = ["configMap", "secret", "downwardAPI", "projected"];
    pod.spec
        .iter()
        .flat_map(|spec| taken(spec, kinds))
        .any(|volume| kind(volume).is_some_and(|kind| MADE.contains(&kind)))
}

/// The first volume that holds this token.
#[must_use]
pub fn volume_of_token<'a>(pod: &'a Pod, token: &TokenSpec) -> Option<&'a str> {
    let holds = |projection: &VolumeProjection| {
        projection.service_account_token.as_ref().is_some_and(|projection| TokenSpec::of(projection) == *token)
    };
    let mut volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let found = volumes
        .find(|volume| volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten()).any(holds));
    found.map(|volume| volume.name.as_str())
}

/// The tokens that a pod's volumes hold.
#[must_use]
pub fn token_specs(pod: &Pod, kinds: &VolumeKinds) -> BTreeSet<TokenSpec> {
    let projections = pod.spec.iter().flat_map(|spec| projections(spec, kinds));
    projections.filter_map(|projection| projection.service_account_token.as_ref()).map(TokenSpec::of).collect()
}

/// A pod's namespace; the API server always sets it.
pub(crate) fn namespace(pod: &Pod) -> &str {
    pod.metadata.namespace.as_deref().unwrap_or("default")
}

/// The object that an `envFrom` entry names.
pub(crate) fn of_env_from(source: &EnvFromSource, namespace: &str) -> Option<ObjectRef> {
    match (&source.config_map_ref, &source.secret_ref) {
        (Some(map), _) => Some(ObjectRef::config_map(namespace, &map.name)),
        (None, Some(secret)) => Some(ObjectRef::secret(namespace, &secret.name)),
        (None, None) => None,
    }
}

/// The object that an `env` entry names. A value that is not empty wins over `valueFrom`, as in the kubelet.
pub(crate) fn of_env(variable: &EnvVar, namespace: &str) -> Option<ObjectRef> {
    if variable.value.as_deref().is_some_and(|value| !value.is_empty()) {
        return None;
    }
    let source = variable.value_from.as_ref()?;
    if source.field_ref.is_some() || source.resource_field_ref.is_some() {
        return None;
    }
    match (&source.config_map_key_ref, &source.secret_key_ref) {
        (Some(key), _) => Some(ObjectRef::config_map(namespace, &key.name)),
        (None, Some(key)) => Some(ObjectRef::secret(namespace, &key.name)),
        (None, None) => None,
    }
}

fn of_volumes(spec: &PodSpec, namespace: &str, kinds: &VolumeKinds) -> Vec<ObjectRef> {
    let mut found = Vec::new();
    for volume in taken(spec, kinds) {
        found.extend(volume.config_map.iter().map(|map| ObjectRef::config_map(namespace, &map.name)));
        let secret = volume.secret.as_ref().and_then(|secret| secret.secret_name.as_deref());
        found.extend(secret.map(|name| ObjectRef::secret(namespace, name)));
    }
    found.extend(projections(spec, kinds).filter_map(|projection| of_projection(projection, namespace)));
    found
}

/// The object that a projection names, in the order in which the kubelet looks at the sources.
pub(crate) fn of_projection(projection: &VolumeProjection, namespace: &str) -> Option<ObjectRef> {
    if let Some(secret) = &projection.secret {
        return Some(ObjectRef::secret(namespace, &secret.name));
    }
    if let Some(map) = &projection.config_map {
        return Some(ObjectRef::config_map(namespace, &map.name));
    }
    let bundle = projection.cluster_trust_bundle.as_ref()?;
    match (&bundle.name, &bundle.signer_name) {
        (Some(name), _) => Some(ObjectRef::TrustBundle { name: name.as_str().into() }),
        (None, Some(signer)) => Some(ObjectRef::TrustBundles { signer_name: signer.as_str().into() }),
        (None, None) => None,
    }
}

fn taken<'a>(
    spec: &'a PodSpec,
    kinds: &'a VolumeKinds,
) -> impl Iterator<Item = &'a k8s_openapi::api::core::v1::Volume> {
    spec.volumes.iter().flatten().filter(|volume| kind(volume).is_some_and(|kind| kinds.takes(kind)))
}

fn projections<'a>(spec: &'a PodSpec, kinds: &'a VolumeKinds) -> impl Iterator<Item = &'a VolumeProjection> {
    taken(spec, kinds)
        .filter_map(|volume| volume.projected.as_ref())
        .flat_map(|projected| projected.sources.iter().flatten())
}

#[cfg(test)]
mod tests;
