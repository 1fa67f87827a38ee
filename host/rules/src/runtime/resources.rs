//! What a container may use, in the runtime's words.
//!
//! In: requests and limits. Out: [`Resources`]. Invariant: the kubelet's own arithmetic (`pkg/kubelet/cm/helpers_linux.go`,
//! `pkg/kubelet/qos/policy.go`), on which pods have been tuned.

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, ResourceRequirements};
use pluglet_model::runtime::Resources;

use crate::quantity::Quantity;

/// Shares for each CPU, and the least and most that cgroup v1 takes.
const SHARES_PER_CPU: u64 = 1024;
const MIN_SHARES: u64 = 2;
const MAX_SHARES: u64 = 262_144;
/// Microseconds.
const PERIOD: u64 = 100_000;
/// The kernel takes no quota below a millisecond.
const MIN_QUOTA: u64 = 1000;
/// `guaranteedOOMScoreAdj` and `besteffortOOMScoreAdj`.
const GUARANTEED: i32 = -997;
const BEST_EFFORT: i32 = 1000;

/// The quality-of-service classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Guaranteed,
    Burstable,
    BestEffort,
}

/// `node_memory` in bytes.
pub(super) fn of(pod: &Pod, container: &Container, node_memory: u64) -> Resources {
    let own = container.resources.as_ref();
    let cpu_limit = amount(own, "cpu", true).map(milli).filter(|milli| *milli > 0);
    let cpu_request = amount(own, "cpu", false).map(milli).or(cpu_limit).unwrap_or(0);
    let memory_limit = amount(own, "memory", true).map(bytes).filter(|bytes| *bytes > 0);
    let memory_request = amount(own, "memory", false).map(bytes).or(memory_limit).unwrap_or(0);
    Resources {
        cpu_shares: Some((cpu_request * SHARES_PER_CPU / 1000).clamp(MIN_SHARES, MAX_SHARES)),
        cpu_quota: cpu_limit.map(|milli| (milli * PERIOD / 1000).max(MIN_QUOTA)),
        cpu_period: cpu_limit.map(|_| PERIOD),
        memory_limit,
        oom_score_adjust: oom_score(pod, memory_request, node_memory),
    }
}

fn oom_score(pod: &Pod, memory_request: u64, node_memory: u64) -> i32 {
    let critical = pod.spec.as_ref().and_then(|spec| spec.priority).is_some_and(|priority| priority >= 2_000_000_000);
    match pod.spec.as_ref().map_or(Class::BestEffort, class) {
        _ if critical => GUARANTEED,
        Class::Guaranteed => GUARANTEED,
        Class::BestEffort => BEST_EFFORT,
        Class::Burstable => {
            let share = u128::from(memory_request) * 1000 / u128::from(node_memory.max(1));
            let score = 1000 - i32::try_from(share.min(1000)).unwrap_or(1000);
            // Below all guaranteed ones, above those that asked for nothing.
            score.clamp(1000 + GUARANTEED, BEST_EFFORT - 1)
        }
    }
}

/// `ComputePodQOS`.
pub(super) fn class(spec: &PodSpec) -> Class {
    let containers = || spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let mut named = false;
    let mut guaranteed = true;
    for container in containers() {
        for resource in ["cpu", "memory"] {
            let own = container.resources.as_ref();
            let limit = amount(own, resource, true).filter(|amount| *amount > Quantity::ZERO);
            let request = amount(own, resource, false).filter(|amount| *amount > Quantity::ZERO);
            named |= limit.is_some() || request.is_some();
            guaranteed &= limit.is_some() && request.is_none_or(|request| Some(request) == limit);
        }
    }
    match (named, guaranteed) {
        (false, _) => Class::BestEffort,
        (true, true) => Class::Guaranteed,
        (true, false) => Class::Burstable,
    }
}

fn amount(resources: Option<&ResourceRequirements>, name: &str, limit: bool) -> Option<Quantity> {
    let resources = resources?;
    let list = if limit { &resources.limits } else { &resources.requests };
    Quantity::parse(&list.as_ref()?.get(name)?.0).ok()
}

fn milli(quantity: Quantity) -> u64 {
    u64::try_from(quantity.milli_value()).unwrap_or(0)
}

fn bytes(quantity: Quantity) -> u64 {
    u64::try_from(quantity.value()).unwrap_or(0)
}
