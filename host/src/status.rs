//! From what a provider reports to what the API server shall hold.
//!
//! In: the pod object, the provider's last report, why it does not run. Out: a `v1.PodStatus` and the patch that leads there.
//! Invariant: pure; the clock is an argument. What belongs to others (foreign conditions, `qosClass`, …) is never touched.

pub(crate) mod conditions;
pub(crate) mod containers;
pub(crate) mod patch;
pub(crate) mod phase;

use k8s_openapi::api::core::v1::{HostIP, Pod, PodIP, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

pub(crate) use phase::Phase;

/// Everything that decides a pod's status.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    /// Spec and metadata as last seen.
    pub pod: &'a Pod,
    /// The status that the API server holds.
    pub baseline: &'a PodStatus,
    /// What the provider last said.
    pub report: Option<&'a PodStatus>,
    /// Why the pod does not run (reason, message).
    pub held: Option<(&'a str, &'a str)>,
    /// The host's own verdict: the phase is Failed, whatever the containers say.
    pub failed: bool,
    /// The provider has stopped it for a deletion: nothing may look alive any more.
    pub stopped: bool,
    /// The node's address.
    pub host_ip: &'a str,
    /// Now, in whole seconds: the API's times have no finer grain.
    pub now: &'a Time,
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
        observed_generation: facts.pod.metadata.generation,
        container_statuses: Some(containers.regular),
        init_container_statuses: (!containers.init.is_empty()).then_some(containers.init),
        ephemeral_container_statuses: (!containers.ephemeral.is_empty()).then_some(containers.ephemeral),
        ..PodStatus::default()
    };
    (status.pod_ip, status.pod_ips) = addresses(facts);
    status.conditions = Some(conditions::translate(facts, phase, &status));
    status
}

/// Whether a report means that the pod has come to its end by itself.
pub(crate) fn has_ended(pod: &Pod, report: &PodStatus) -> bool {
    let empty = PodStatus::default();
    let now = Time(k8s_openapi::jiff::Timestamp::UNIX_EPOCH);
    let facts = Facts {
        pod,
        baseline: &empty,
        report: Some(report),
        held: None,
        failed: false,
        stopped: false,
        host_ip: "",
        now: &now,
    };
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
    // The API server refuses a status with anything else in it, and with it the whole status.
    let is_address = |ip: &&String| ip.parse::<std::net::IpAddr>().is_ok();
    let mut ips: Vec<PodIP> = told.filter(is_address).map(|ip| PodIP { ip: ip.clone() }).collect();
    if ips.is_empty() {
        ips.extend(source.pod_ip.iter().filter(is_address).map(|ip| PodIP { ip: ip.clone() }));
    }
    (ips.first().map(|first| first.ip.clone()), (!ips.is_empty()).then_some(ips))
}

/// `status.reason` and `status.message`: the host's verdict, else the provider's words, else what was there while the phase stays.
fn explanation(facts: &Facts<'_>, phase: Phase) -> (Option<String>, Option<String>) {
    let baseline = facts.baseline;
    if baseline.phase.as_deref().is_some_and(Phase::is_terminal_name) {
        return (baseline.reason.clone(), baseline.message.clone());
    }
    if facts.failed
        && let Some((reason, message)) = facts.held
    {
        return (Some(reason.to_owned()), Some(message.to_owned()));
    }
    match facts.report {
        Some(report) if phase != Phase::Pending => (report.reason.clone(), report.message.clone()),
        _ => (None, None),
    }
}

#[cfg(test)]
mod tests;
