//! From a pod as written to a pod with nothing left to look up.
//!
//! In: the object. Out: a [`PodPlan`]. Invariant: pure.
//!
//! Environment sources, volumes, tokens and image pull secrets are not looked up yet: a provider gets the spec as the API server
//! holds it, with no files and no registry credentials.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use pluglet_model::{PodKey, PodPlan};

/// The plan of a pod.
pub(crate) fn plan(key: PodKey, pod: Arc<Pod>) -> PodPlan {
    let generation = pod.metadata.generation.and_then(|generation| u64::try_from(generation).ok()).unwrap_or(0);
    PodPlan { key, generation, pod, volumes: vec![], registry_credentials: vec![] }
}
