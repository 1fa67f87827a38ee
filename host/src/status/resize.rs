//! In-place resize, as far as a status tells it (KEP-1287).
//!
//! In: what the containers have, why it is not what the spec says. Out: `resources` and `allocatedResources` of container statuses, the
//! condition `PodResizePending`. Invariant: pure.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodStatus, ResourceRequirements};

/// By container.
pub(crate) type Allocated = Vec<(String, ResourceRequirements)>;

/// The condition's type.
pub(crate) const PENDING: &str = "PodResizePending";

/// A resize that has not taken place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PendingResize {
    /// It never will. Otherwise it is tried again.
    pub infeasible: bool,
    pub message: String,
}

impl PendingResize {
    /// What a status says about a resize.
    pub(crate) fn told(status: &PodStatus) -> Option<Self> {
        let condition = status.conditions.iter().flatten().find(|condition| condition.type_ == PENDING)?;
        (condition.status == "True").then(|| Self {
            infeasible: condition.reason.as_deref() == Some("Infeasible"),
            message: condition.message.clone().unwrap_or_default(),
        })
    }

    pub(crate) fn reason(&self) -> &'static str {
        if self.infeasible { "Infeasible" } else { "Deferred" }
    }
}

/// Fills in what a container has, where the provider does not tell.
pub(super) fn complete(status: &mut ContainerStatus, pod: &Pod, allocated: Option<&Allocated>) {
    if status.resources.is_some() || status.state.as_ref().is_none_or(|state| state.running.is_none()) {
        return;
    }
    let known = allocated.and_then(|allocated| allocated.iter().find(|(name, _)| *name == status.name));
    let resources = known.map(|(_, resources)| resources).or_else(|| declared(pod, &status.name));
    let (requests, limits) = resources.map(|known| (known.requests.clone(), known.limits.clone())).unwrap_or_default();
    status.allocated_resources.clone_from(&requests);
    // An empty one says that this node answers resizes: without it the API server refuses them.
    status.resources = Some(ResourceRequirements { limits, requests, claims: None });
}

fn declared<'a>(pod: &'a Pod, container: &str) -> Option<&'a ResourceRequirements> {
    let spec = pod.spec.as_ref()?;
    let mut all = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    all.find(|declared| declared.name == container)?.resources.as_ref()
}
