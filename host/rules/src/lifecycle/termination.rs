//! In which order the containers of a pod are stopped.
//!
//! In: the pod's spec, what still runs. Out: who may be told to stop now. Invariant: a sidecar outlives all regular containers and every sidecar that
//! was started after it, unless the grace period is over: then all go at once (KEP-753).

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::PodSpec;

use super::is_sidecar;

/// Those of `running` that may be told to stop, in the pod's order.
#[must_use]
pub fn may_stop<'a>(spec: &'a PodSpec, running: &BTreeSet<&str>) -> Vec<&'a str> {
    let runs = |name: &str| running.contains(name);
    let init = spec.init_containers.as_deref().unwrap_or_default();
    let mut may: Vec<&str> = spec.containers.iter().map(|container| container.name.as_str()).collect();
    may.extend(spec.ephemeral_containers.iter().flatten().map(|container| container.name.as_str()));
    may.retain(|name| runs(name));
    let regular = spec.containers.iter().any(|container| runs(&container.name));
    let last_sidecar = init.iter().rev().find(|container| is_sidecar(container) && runs(&container.name));
    let turn = last_sidecar.filter(|_| !regular).map(|container| container.name.as_str());
    let of_init = init.iter().filter(|container| runs(&container.name));
    may.extend(of_init.filter(|container| !is_sidecar(container)).map(|container| container.name.as_str()));
    may.extend(turn);
    may
}
