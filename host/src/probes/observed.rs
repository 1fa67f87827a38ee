//! What a provider's report says about containers, as the rules of probes want it.
//!
//! In: a `v1.PodStatus`. Out: [`Seen`], [`Instance`], the pod's address. Invariant: a container counts as running exactly when the status that
//! is written for it says so (see `status::containers`): by its own state, else by the phase.

use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ContainerStatus, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use pluglet_rules::probe::{Instance, Seen, Verdict};

/// The pod's first address.
pub(super) fn pod_ip(status: &PodStatus) -> Option<IpAddr> {
    let first = status.pod_ips.iter().flatten().map(|ip| ip.ip.as_str()).next();
    first.or(status.pod_ip.as_deref())?.parse().ok()
}

/// What is seen of a container; None while there is nothing to see.
pub(super) fn container(status: &PodStatus, name: &str, clock: Timestamp) -> Option<Seen> {
    let told = find(status, name);
    let phase = status.phase.as_deref();
    if matches!(phase, Some("Succeeded" | "Failed")) {
        return None;
    }
    let stated = told.filter(|told| has_state(told));
    let (running, started_at) = match stated {
        Some(told) => (is_running(told), started_at(told)),
        None if phase == Some("Running") => (true, status.start_time.as_ref()),
        None => return None,
    };
    let age = started_at.map(|start| clock.duration_since(start.0)).unwrap_or_default();
    Some(Seen {
        instance: instance(told, started_at),
        running,
        starting: running && told.is_some_and(|told| told.started == Some(false)),
        // A start in the future, as of a clock that is ahead, is now.
        age: Duration::try_from(age).unwrap_or_default(),
    })
}

/// What the API server holds of a container that ran.
pub(super) fn before(status: Option<&PodStatus>, name: &str) -> Option<(Instance, Verdict)> {
    let held = find(status?, name).filter(|held| is_running(held))?;
    let verdict = Verdict { started: held.started, ready: Some(held.ready) };
    Some((instance(Some(held), started_at(held)), verdict))
}

fn find<'a>(status: &'a PodStatus, name: &str) -> Option<&'a ContainerStatus> {
    let all = [&status.container_statuses, &status.init_container_statuses];
    all.into_iter().flatten().flatten().find(|status| status.name == name)
}

fn has_state(status: &ContainerStatus) -> bool {
    let state = status.state.as_ref();
    state.is_some_and(|state| state.running.is_some() || state.terminated.is_some() || state.waiting.is_some())
}

fn is_running(status: &ContainerStatus) -> bool {
    status.state.as_ref().is_some_and(|state| state.running.is_some())
}

fn started_at(status: &ContainerStatus) -> Option<&Time> {
    let state = status.state.as_ref()?;
    let running = state.running.as_ref().and_then(|running| running.started_at.as_ref());
    running.or_else(|| state.terminated.as_ref()?.started_at.as_ref())
}

fn instance(status: Option<&ContainerStatus>, started_at: Option<&Time>) -> Instance {
    Instance {
        id: status.and_then(|status| status.container_id.clone()).filter(|id| !id.is_empty()),
        started_at: started_at.map(|start| start.0.as_second()),
        restarts: status.map_or(0, |status| status.restart_count),
    }
}
