//! From a pod as written to a pod with nothing left to look up.
//!
//! In: the object. Out: a [`PodPlan`]. Invariant: pure.
//!
//! Environment sources, volumes, tokens and image pull secrets are not looked up yet: a provider gets the spec as the API server
//! holds it, with no files and no registry credentials. [`unresolved`] says so to the owner of a pod that needs them.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, Pod};
use pluglet_model::{PodKey, PodPlan};

/// The volume that admission adds to every pod; a pod that does not ask for it does not miss it.
const TOKEN_VOLUME: &str = "kube-api-access-";

/// The plan of a pod.
pub(crate) fn plan(key: PodKey, pod: Arc<Pod>) -> PodPlan {
    let generation = pod.metadata.generation.and_then(|generation| u64::try_from(generation).ok()).unwrap_or(0);
    PodPlan { key, generation, pod, volumes: vec![], registry_credentials: vec![] }
}

/// What a pod refers to and will not get from this version; None where nothing is missing.
pub(crate) fn unresolved(pod: &Pod) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let mut missing = vec![];
    for container in spec.init_containers.iter().flatten().chain(&spec.containers) {
        missing.extend(environment(container));
    }
    let volumes = spec.volumes.iter().flatten().filter(|volume| !volume.name.starts_with(TOKEN_VOLUME));
    missing.extend(volumes.map(|volume| format!("volume {}", volume.name)));
    missing.extend(spec.image_pull_secrets.iter().flatten().map(|secret| format!("image pull secret {}", secret.name)));
    (!missing.is_empty()).then(|| {
        let list = missing.join(", ");
        format!("this version of pluglet does not resolve references; the provider gets the pod without: {list}")
    })
}

fn environment(container: &Container) -> Option<String> {
    let from = container.env_from.iter().flatten().next().is_some();
    let value_from = container.env.iter().flatten().any(|variable| variable.value_from.is_some());
    (from || value_from).then(|| format!("environment sources of container {}", container.name))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn missing(spec: Value) -> Option<String> {
        unresolved(&serde_json::from_value(json!({ "spec": spec })).unwrap())
    }

    #[test]
    fn a_pod_that_refers_to_nothing_misses_nothing() {
        let volumes = json!([{ "name": "kube-api-access-x", "projected": {} }]);
        assert_eq!(
            missing(
                json!({ "containers": [{ "name": "c", "env": [{ "name": "A", "value": "b" }] }], "volumes": volumes })
            ),
            None
        );
    }

    #[test]
    fn everything_that_is_missing_is_named() {
        let reference = json!({ "name": "A", "valueFrom": { "secretKeyRef": { "name": "s", "key": "k" } } });
        let text = missing(json!({
            "containers": [{ "name": "c", "env": [reference] }],
            "volumes": [{ "name": "data", "emptyDir": {} }],
            "imagePullSecrets": [{ "name": "registry" }],
        }));
        let text = text.unwrap();
        assert!(
            text.ends_with("environment sources of container c, volume data, image pull secret registry"),
            "{text}"
        );
    }
}
