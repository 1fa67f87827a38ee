//! What a kubelet tells its container runtime, and what it makes of the answer.
//!
//! In: a resolved pod, what the runtime has of it. Out: configurations of sandboxes and containers, a pod's status. Invariant: pure; nothing that a pod asks for is
//! left out without a word: what cannot be had is a [`Refusal`].
//!
//! Sources: `pkg/kubelet/kuberuntime` and `pkg/kubelet/kubelet_pods.go` of Kubernetes 1.37.

mod addresses;
pub mod container;
pub mod hosts;
mod resources;
pub mod sandbox;
mod security;
pub mod status;

use k8s_openapi::api::core::v1::{Container, PodSpec};

use crate::lifecycle::Kind;

/// Why a container cannot be made from what its pod says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub(crate) String);

/// A container of the pod, of whichever list. Ephemeral ones have the fields of others and no type in common with them: they come as a copy.
#[must_use]
pub fn find(spec: &PodSpec, name: &str) -> Option<(Kind, Container)> {
    let named = |containers: &[Container]| containers.iter().find(|container| container.name == name).cloned();
    if let Some(container) = named(&spec.containers) {
        return Some((Kind::Regular, container));
    }
    if let Some(container) = named(spec.init_containers.as_deref().unwrap_or_default()) {
        return Some((Kind::Init, container));
    }
    let mut ephemeral = spec.ephemeral_containers.iter().flatten();
    let found = ephemeral.find(|container| container.name == name)?;
    let same = serde_json::to_value(found).and_then(serde_json::from_value).ok()?;
    Some((Kind::Ephemeral, same))
}

#[cfg(test)]
mod tests;
