//! Whether a node takes a pod that was bound to it.
//!
//! In: the pod, what the node says of itself, what its other pods request. Out: nothing, or the kubelet's own reason
//! and message. Invariant: the checks and their order are those of pkg/kubelet/lifecycle/predicate.go and of the
//! scheduler's `AdmissionCheck`, which it calls; the first that fails is told.
//!
//! A pod is checked once, before it first runs: one that runs already stays when labels or taints change. Left out is
//! what a node of pluglet has no part in: host ports, sysctls, AppArmor, devices, and making room for a critical pod.

use std::borrow::Cow;

use k8s_openapi::api::core::v1::{Pod, PodSpec, Taint};

use crate::quantity::Quantity;
use crate::requests::{Ledger, Resources, requests};
use crate::selector::{Labels, node_matches, tolerates};

/// What a node says of itself, as far as a pod can be refused for it.
#[derive(Clone, Copy, Debug)]
pub struct NodeView<'a> {
    /// metadata.name.
    pub name: &'a str,
    /// metadata.labels.
    pub labels: &'a Labels,
    /// spec.taints.
    pub taints: &'a [Taint],
    /// status.nodeInfo.operatingSystem: linux, windows.
    pub operating_system: &'a str,
    /// status.features.supplementalGroupsPolicy.
    pub supplemental_groups_policy: bool,
    /// status.allocatable. Without `pods` there is room for none.
    pub allocatable: &'a Resources,
}

/// Why a pod is not run: its phase becomes Failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Of the pod's status and of the event.
    pub reason: Cow<'static, str>,
    /// Of the event.
    pub message: String,
}

impl Rejection {
    fn new(reason: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { reason: reason.into(), message: message.into() }
    }

    /// The message of the pod's status (`rejectPod` in pkg/kubelet/kubelet.go).
    #[must_use]
    pub fn status_message(&self) -> String {
        format!("Pod was rejected: {}", self.message)
    }
}

/// Whether the node takes the pod; `used` is what the other pods on it request.
///
/// # Errors
/// The first check that fails.
pub fn admit(pod: &Pod, node: &NodeView<'_>, used: &Ledger) -> Result<(), Rejection> {
    let no_spec = PodSpec::default();
    let spec = pod.spec.as_ref().unwrap_or(&no_spec);
    check_operating_system(pod, spec, node)?;
    check_supplemental_groups(spec, node)?;
    check_resources(pod, node, used)?;
    if !node_matches(pod, node.name, node.labels) {
        return Err(predicate("NodeAffinity", "node(s) didn't match Pod's node affinity/selector"));
    }
    if spec.node_name.as_deref().is_some_and(|name| !name.is_empty() && name != node.name) {
        return Err(predicate("NodeName", "node(s) didn't match the requested node name"));
    }
    // The other effects are the scheduler's business: a pod with spec.nodeName goes round it, and may.
    let tolerations = spec.tolerations.as_deref().unwrap_or_default();
    if node.taints.iter().any(|taint| taint.effect == "NoExecute" && !tolerates(tolerations, taint)) {
        return Err(predicate("TaintToleration", "node(s) had taints that the pod didn't tolerate"));
    }
    Ok(())
}

/// The label that is compared is the pod's own, not that of its node selector: it is so in the kubelet
/// (`rejectPodAdmissionBasedOnOSSelector`), where a node selector that does not match is a NodeAffinity failure later.
fn check_operating_system(pod: &Pod, spec: &PodSpec, node: &NodeView<'_>) -> Result<(), Rejection> {
    let label = pod.metadata.labels.as_ref().and_then(|labels| labels.get("kubernetes.io/os"));
    if label.is_some_and(|label| label != node.operating_system) {
        return Err(Rejection::new(
            "PodOSSelectorNodeLabelDoesNotMatch",
            "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label",
        ));
    }
    if spec.os.as_ref().is_some_and(|os| os.name != node.operating_system) {
        return Err(Rejection::new("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS"));
    }
    Ok(())
}

fn check_supplemental_groups(spec: &PodSpec, node: &NodeView<'_>) -> Result<(), Rejection> {
    let policy = spec.security_context.as_ref().and_then(|context| context.supplemental_groups_policy.as_deref());
    if policy == Some("Strict") && !node.supplemental_groups_policy {
        return Err(Rejection::new(
            "SupplementalGroupsPolicyNotSupported",
            "SupplementalGroupsPolicy=Strict is not supported in this node",
        ));
    }
    Ok(())
}

fn check_resources(pod: &Pod, node: &NodeView<'_>, used: &Ledger) -> Result<(), Rejection> {
    let pods = i64::try_from(used.pods()).unwrap_or(i64::MAX);
    check_room("pods", 1, pods, node.allocatable.amount("pods").value())?;
    let requested = requests(pod);
    for name in in_order(&requested) {
        // A resource that the node does not name may be one of the cluster's or one that something else looks after, so
        // the kubelet does not refuse for it (removeMissingExtendedResources). A named zero is refused.
        if is_extended(name) && node.allocatable.get(name).is_none() {
            continue;
        }
        let amount = |quantity| in_units(name, quantity);
        let (requested, used) = (amount(requested.amount(name)), amount(used.amount(name)));
        check_room(name, requested, used, amount(node.allocatable.amount(name)))?;
    }
    Ok(())
}

/// `fitsRequest` (pkg/scheduler/framework/plugins/noderesources/fit.go), with the words of `InsufficientResourceError`.
fn check_room(name: &str, requested: i64, used: i64, capacity: i64) -> Result<(), Rejection> {
    if requested <= 0 || requested <= capacity.saturating_sub(used) {
        return Ok(());
    }
    let message =
        format!("Node didn't have enough resource: {name}, requested: {requested}, used: {used}, capacity: {capacity}");
    Err(Rejection::new(format!("OutOf{name}"), message))
}

/// The three that every node has come first. Of the others the scheduler knows some kinds and passes over the rest
/// (`IsScalarResourceName`); it takes them in any order, here it is that of their names.
fn in_order(requested: &Resources) -> impl Iterator<Item = &str> {
    const FIRST: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];
    let is_known = |name: &&str| {
        is_extended(name)
            || name.contains("kubernetes.io/")
            || name.starts_with("hugepages-")
            || name.starts_with("attachable-volumes-")
    };
    let others = requested.iter().map(|(name, _)| name).filter(is_known);
    FIRST.into_iter().chain(others)
}

/// Not of Kubernetes itself (`IsExtendedResourceName` in pkg/apis/core/v1/helper).
fn is_extended(name: &str) -> bool {
    name.contains('/') && !name.contains("kubernetes.io/") && !name.starts_with("requests.")
}

/// The kubelet counts thousandths of a CPU and wholes of everything else.
fn in_units(name: &str, quantity: Quantity) -> i64 {
    if name == "cpu" { quantity.milli_value() } else { quantity.value() }
}

fn predicate(name: &'static str, description: &str) -> Rejection {
    Rejection::new(name, format!("Predicate {name} failed: {description}"))
}

/// Why pluglet can never run the pod, on whatever node: it makes no certificates and knows no devices.
///
/// `hostUsers: false` is no such reason. No admission check of a kubelet is about it: one without user namespaces fails
/// later, when it makes the sandbox (pkg/kubelet/userns), which is the provider's part here.
#[must_use]
pub fn unsupported(pod: &Pod) -> Option<Rejection> {
    let spec = pod.spec.as_ref()?;
    let reject = |message: String| Some(Rejection::new("UnexpectedAdmissionError", message));
    let has_certificate = spec.volumes.iter().flatten().find(|volume| {
        let sources = volume.projected.as_ref().and_then(|projected| projected.sources.as_deref());
        sources.unwrap_or_default().iter().any(|source| source.pod_certificate.is_some())
    });
    if let Some(volume) = has_certificate {
        return reject(format!("volume {:?}: podCertificate sources are not supported on this node", volume.name));
    }
    let claims = spec.resource_claims.as_ref().is_some_and(|claims| !claims.is_empty());
    let extended = pod.status.as_ref().is_some_and(|status| status.extended_resource_claim_status.is_some());
    if claims || extended {
        return reject("resource claims are not supported on this node".to_owned());
    }
    None
}

/// Whether a DaemonSet owns the pod. Such a pod must not be failed: the controller makes another one at once, on the
/// same node, for ever.
#[must_use]
pub fn is_daemon_set_pod(pod: &Pod) -> bool {
    pod.metadata
        .owner_references
        .iter()
        .flatten()
        .any(|owner| owner.controller == Some(true) && owner.kind == "DaemonSet" && owner.api_version == "apps/v1")
}

#[cfg(test)]
mod tests;
