//! `resourceFieldRef`: requests and limits of a container as whole numbers of a divisor.
//!
//! In: a pod's spec, a container of it, the node's allocatable. Out: a decimal number. Invariant: rounded up, never
//! below zero. Rules of `pkg/api/v1/resource` and `defaultPodLimitsForDownwardAPI`: an unset limit is the pod's, then
//! the node's allocatable; an unset request is 0.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PodSpec, ResourceFieldSelector, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;

use crate::containers::{self, ContainerView};
use crate::quantity::Quantity;

/// Resources whose limit falls back to the node's allocatable (`MergeContainerResourceLimits`): huge pages are never
/// overcommitted, so a container that uses them has a limit.
const WITH_ALLOCATABLE: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

/// The value in an environment: of the container itself unless another is named.
pub(crate) fn in_environment(
    spec: &PodSpec,
    own: &ContainerView<'_>,
    field: &ResourceFieldSelector,
    allocatable: &BTreeMap<String, String>,
) -> Result<String, String> {
    match field.container_name.as_deref().filter(|name| !name.is_empty()) {
        Some(_) => in_volume(spec, field, allocatable),
        None => value(spec, own.resources, field, allocatable),
    }
}

/// The value in a volume, where a container must be named.
pub(crate) fn in_volume(
    spec: &PodSpec,
    field: &ResourceFieldSelector,
    allocatable: &BTreeMap<String, String>,
) -> Result<String, String> {
    let name = field.container_name.as_deref().unwrap_or_default();
    let container = containers::find(spec, name).ok_or_else(|| format!("container {name} not found"))?;
    value(spec, container.resources, field, allocatable)
}

fn value(
    spec: &PodSpec,
    resources: Option<&ResourceRequirements>,
    field: &ResourceFieldSelector,
    allocatable: &BTreeMap<String, String>,
) -> Result<String, String> {
    let unsupported = || format!("unsupported container resource : {}", field.resource);
    let (list, resource) = field.resource.split_once('.').ok_or_else(unsupported)?;
    if !WITH_ALLOCATABLE.contains(&resource) && !resource.starts_with("hugepages-") {
        return Err(unsupported());
    }
    let amount = match list {
        "limits" => limit(spec, resources, resource, allocatable)?,
        "requests" => get(resources.and_then(|resources| resources.requests.as_ref()), resource)?,
        _ => return Err(unsupported()),
    };
    let divisor = field.divisor.as_ref().map(|divisor| parse(&divisor.0)).transpose()?.unwrap_or(Quantity::ONE);
    Ok(amount.unwrap_or(Quantity::ZERO).divided_by(divisor).to_string())
}

fn limit(
    spec: &PodSpec,
    resources: Option<&ResourceRequirements>,
    resource: &str,
    allocatable: &BTreeMap<String, String>,
) -> Result<Option<Quantity>, String> {
    let own = get(resources.and_then(|resources| resources.limits.as_ref()), resource)?;
    if own.is_some() || !WITH_ALLOCATABLE.contains(&resource) {
        return Ok(own);
    }
    // Pod-level resources know cpu, memory and huge pages only.
    let pod = spec.resources.as_ref().filter(|_| resource != "ephemeral-storage");
    let pod = get(pod.and_then(|resources| resources.limits.as_ref()), resource)?;
    match pod {
        Some(limit) => Ok(Some(limit)),
        None => allocatable.get(resource).map(|text| parse(text)).transpose(),
    }
}

/// A quantity of a list; nothing for one that is missing or zero.
fn get(list: Option<&BTreeMap<String, Text>>, resource: &str) -> Result<Option<Quantity>, String> {
    let found = list.and_then(|list| list.get(resource)).map(|text| parse(&text.0)).transpose()?;
    Ok(found.filter(|quantity| *quantity != Quantity::ZERO))
}

fn parse(text: &str) -> Result<Quantity, String> {
    Quantity::parse(text).map_err(|error| format!("invalid quantity {text:?}: {error}"))
}
