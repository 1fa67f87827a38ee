//! From what a provider reports to what the API server shall hold.
//!
//! In: the pod object, the provider's last report, why it does not run. Out: a `v1.PodStatus` and the patch that leads there.
//! Invariant: pure; the clock is an argument. What belongs to others (foreign conditions, `qosClass`, …) is never touched.

pub(crate) mod conditions;
pub(crate) mod containers;
pub(crate) mod patch;
pub(crate) mod phase;
mod resize;

use k8s_openapi::api::core::v1::{HostIP, Pod, PodIP, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

pub(crate) use phase::Phase;
pub(crate) use resize::{Allocated, PendingResize};

/// Everything that decides a pod's status.
pub(crate) struct Facts<'a> {
    /// Spec and metadata as last seen.
    pub pod: &'a Pod,
    /// The generation of the spec that the provider runs, or has refused for good.
    pub generation: Option<i64>,
    /// The status that the API server holds.
    pub baseline: &'a PodStatus,
    /// What the provider last said.
    pub report: Option<&'a PodStatus>,
    /// Why the pod does not run.
    pub held: Option<Held<'a>>,
    /// The host's own verdict: the phase is Failed, whatever the containers say.
    pub failed: bool,
    /// The provider has stopped it for a deletion: nothing may look alive any more.
    pub stopped: bool,
    /// What the containers have of resources, where that is not what the spec says.
    pub allocated: Option<&'a Allocated>,
    /// Why they have not.
    pub resize: Option<&'a PendingResize>,
    /// What the host's own probes found.
    pub probed: &'a dyn Fn(&str) -> Probed,
    /// The node's address.
    pub host_ip: &'a str,
    /// Now, in whole seconds: the API's times have no finer grain.
    pub now: &'a Time,
}

impl<'a> Facts<'a> {
    /// Of a pod of which nothing else is known.
    pub(crate) fn of(pod: &'a Pod, baseline: &'a PodStatus, now: &'a Time) -> Self {
        Self {
            pod,
            generation: None,
            baseline,
            report: None,
            held: None,
            failed: false,
            stopped: false,
            allocated: None,
            resize: None,
            probed: &unprobed,
            host_ip: "",
            now,
        }
    }
}

/// Why a pod does not run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held<'a> {
    /// For the pod, when it fails; for its containers, while they wait.
    pub reason: &'a str,
    pub message: &'a str,
    /// The one container that waits for it. None: all do.
    pub container: Option<&'a str>,
    /// While they wait they are only being created, for all that one sees.
    pub creating: bool,
}

/// What probes found of one container; None where there is no such probe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Probed {
    pub started: Option<bool>,
    pub ready: Option<bool>,
}

/// Nobody probes.
pub(crate) fn unprobed(_: &str) -> Probed {
    Probed::default()
}

/// Which part of a pod a container is, as events name it. None where there is no such container.
pub(crate) fn field_path(pod: &Pod, container: &str) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let list = if spec.containers.iter().any(|regular| regular.name == container) {
        "containers"
    } else if spec.init_containers.iter().flatten().any(|init| init.name == container) {
        "initContainers"
    } else if spec.ephemeral_containers.iter().flatten().any(|ephemeral| ephemeral.name == container) {
        "ephemeralContainers"
    } else {
        return None;
    };
    Some(format!("spec.{list}{{{container}}}"))
}

/// The status that the API server shall hold.
pub(crate) fn translate(facts: &Facts<'_>) -> PodStatus {
    let containers = containers::translate(facts);
    let phase = phase::decide(facts, &containers);
    let (reason, message) = explanation(facts, phase);
    let mut status = PodStatus {
        phase: Some(phase.name().to_owned()),
        reason,
        message,
        start_time: Some(start_time(facts)),
        host_ip: Some(facts.host_ip.to_owned()),
        host_ips: Some(vec![HostIP { ip: facts.host_ip.to_owned() }]),
        observed_generation: facts.generation,
        ..PodStatus::default()
    };
    if !never_began(facts) {
        status.container_statuses = Some(containers.regular);
        status.init_container_statuses = (!containers.init.is_empty()).then_some(containers.init);
        status.ephemeral_container_statuses = (!containers.ephemeral.is_empty()).then_some(containers.ephemeral);
    }
    (status.pod_ip, status.pod_ips) = addresses(facts);
    status.conditions = Some(conditions::translate(facts, phase, &status));
    status
}

/// Whether a report means that the pod has come to its end by itself.
pub(crate) fn has_ended(pod: &Pod, report: &PodStatus) -> bool {
    let empty = PodStatus::default();
    let now = Time(k8s_openapi::jiff::Timestamp::UNIX_EPOCH);
    let facts = Facts { report: Some(report), ..Facts::of(pod, &empty, &now) };
    phase::decide(&facts, &containers::translate(&facts)).is_terminal()
}

/// Whether a report means that nothing of the pod runs any more, whatever its restart policy.
pub(crate) fn has_stopped(report: &PodStatus) -> bool {
    let all = [&report.container_statuses, &report.init_container_statuses, &report.ephemeral_container_statuses];
    let mut statuses = all.into_iter().flatten().flatten().peekable();
    if statuses.peek().is_none() {
        return report.phase.as_deref().is_some_and(Phase::is_terminal_name);
    }
    statuses.all(|status| status.state.as_ref().is_some_and(|state| state.running.is_none() && state.waiting.is_none()))
}

/// A pod that failed before anything of it was made has no containers to tell of, as on a kubelet: its reason is all there is.
fn never_began(facts: &Facts<'_>) -> bool {
    let told = facts.baseline.container_statuses.as_ref().is_some_and(|statuses| !statuses.is_empty());
    facts.failed && facts.report.is_none() && !told
}

fn start_time(facts: &Facts<'_>) -> Time {
    let known = facts.baseline.start_time.as_ref();
    let reported = facts.report.and_then(|report| report.start_time.as_ref());
    // What the API server holds comes first: a start time never moves.
    let time = known.or(reported).unwrap_or(facts.now);
    // As the API server keeps it: a finer time would look changed for ever.
    Time(Timestamp::from_second(time.0.as_second()).unwrap_or(time.0))
}

/// Addresses stay when the provider is silent about them: a terminated pod keeps its last address, as on a kubelet.
fn addresses(facts: &Facts<'_>) -> (Option<String>, Option<Vec<PodIP>>) {
    let reported = facts.report.filter(|report| report.pod_ip.is_some() || report.pod_ips.is_some());
    let source = reported.unwrap_or(facts.baseline);
    let told = source.pod_ips.iter().flatten().map(|ip| &ip.ip);
    let mut ips: Vec<PodIP> = told.filter_map(|ip| acceptable(ip)).collect();
    if ips.is_empty() {
        ips.extend(source.pod_ip.as_deref().and_then(acceptable));
    }
    (ips.first().map(|first| first.ip.clone()), (!ips.is_empty()).then_some(ips))
}

/// An address as the API server takes it. One that is none, or is an IPv4 address in IPv6 clothes, would have the whole status refused.
fn acceptable(ip: &str) -> Option<PodIP> {
    let address: std::net::IpAddr = ip.parse().ok()?;
    let plain = address.to_canonical();
    Some(PodIP { ip: if plain == address { ip.to_owned() } else { plain.to_string() } })
}

/// `status.reason` and `status.message`: the host's verdict, else the provider's words, else what was there while the phase stays.
fn explanation(facts: &Facts<'_>, phase: Phase) -> (Option<String>, Option<String>) {
    let baseline = facts.baseline;
    if baseline.phase.as_deref().is_some_and(Phase::is_terminal_name) {
        return (baseline.reason.clone(), baseline.message.clone());
    }
    if facts.failed
        && let Some(held) = facts.held
    {
        return (Some(held.reason.to_owned()), Some(held.message.to_owned()));
    }
    match facts.report {
        Some(report) if phase != Phase::Pending => (report.reason.clone(), report.message.clone()),
        _ => (None, None),
    }
}

#[cfg(test)]
mod tests;
