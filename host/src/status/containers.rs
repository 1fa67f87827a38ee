//! Container statuses: the provider's, completed from the spec.
//!
//! In: [`Facts`]. Out: one status for each container of the spec, in the spec's order. Invariant: every container of the spec has
//! exactly one status, and no status is without a state; statuses of unknown names are dropped, as the API server would refuse them.

use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::{Facts, Phase, Probed};

/// What the kubelet writes for a container that it can no longer find.
const UNKNOWN_REASON: &str = "ContainerStatusUnknown";
/// 128 + SIGKILL, likewise.
const UNKNOWN_EXIT_CODE: i32 = 137;
const UNKNOWN_MESSAGE: &str = "The container could not be located when the pod was terminated";

/// The container statuses of a pod.
#[derive(Debug)]
pub(crate) struct Containers {
    pub regular: Vec<ContainerStatus>,
    pub init: Vec<ContainerStatus>,
    pub ephemeral: Vec<ContainerStatus>,
    /// The provider told the state of each container, not only a phase.
    pub detailed: bool,
}

/// Completes what the provider reported.
pub(crate) fn translate(facts: &Facts<'_>) -> Containers {
    let spec = facts.pod.spec.as_ref();
    let reported = facts.report;
    let detailed = reported.is_some_and(|report| report.container_statuses.as_ref().is_some_and(|all| !all.is_empty()));
    let regular = spec.map(|spec| spec.containers.as_slice()).unwrap_or_default();
    let init = spec.and_then(|spec| spec.init_containers.as_deref()).unwrap_or_default();
    let ephemeral = spec.and_then(|spec| spec.ephemeral_containers.as_deref()).unwrap_or_default();
    Containers {
        regular: regular
            .iter()
            .map(|container| {
                let status = find(reported, |report| report.container_statuses.as_deref(), &container.name);
                complete(facts, status, &container.name, container.image.as_deref(), Kind::Regular)
            })
            .collect(),
        init: init
            .iter()
            .map(|container| {
                let status = find(reported, |report| report.init_container_statuses.as_deref(), &container.name);
                let sidecar = container.restart_policy.as_deref() == Some("Always");
                let kind = if sidecar { Kind::Sidecar } else { Kind::Init };
                complete(facts, status, &container.name, container.image.as_deref(), kind)
            })
            .collect(),
        ephemeral: ephemeral
            .iter()
            .map(|container| {
                let status = find(reported, |report| report.ephemeral_container_statuses.as_deref(), &container.name);
                complete(facts, status, &container.name, container.image.as_deref(), Kind::Ephemeral)
            })
            .collect(),
        detailed,
    }
}

fn find<'a>(
    report: Option<&'a PodStatus>,
    list: impl Fn(&'a PodStatus) -> Option<&'a [ContainerStatus]>,
    name: &str,
) -> Option<&'a ContainerStatus> {
    list(report?)?.iter().find(|status| status.name == name)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Regular,
    Init,
    Sidecar,
    Ephemeral,
}

fn complete(
    facts: &Facts<'_>,
    reported: Option<&ContainerStatus>,
    name: &str,
    image: Option<&str>,
    kind: Kind,
) -> ContainerStatus {
    let mut status = reported.cloned().unwrap_or_else(|| unreported(facts, name));
    // Not even by a provider that has forgotten what it counted.
    status.restart_count = status.restart_count.max(held(facts, name).map_or(0, |held| held.restart_count));
    if status.image.is_empty() {
        status.image = image.unwrap_or_default().to_owned();
    }
    let state = status.state.take().filter(has_state).unwrap_or_else(|| assumed(facts, name, kind));
    let over = facts.stopped || (facts.failed && was_running(facts, name));
    status.state = Some(if over { stopped(facts, name, state) } else { state });
    settle_readiness(&mut status, reported.is_none(), kind);
    settle_probes(&mut status, kind, (facts.probed)(name));
    super::resize::complete(&mut status, facts.pod, facts.allocated);
    as_the_api_server_holds_it(&mut status);
    status
}

/// The API server keeps times in whole seconds and never leaves `lastState` out. A status in another form would look changed for
/// ever.
fn as_the_api_server_holds_it(status: &mut ContainerStatus) {
    let last = status.last_state.get_or_insert_default();
    for state in [Some(last), status.state.as_mut()].into_iter().flatten() {
        if let Some(running) = &mut state.running {
            whole_second(&mut running.started_at);
        }
        if let Some(ended) = &mut state.terminated {
            bound_message(&mut ended.message);
            whole_second(&mut ended.started_at);
            whole_second(&mut ended.finished_at);
        }
    }
}

/// The kubelet keeps so much of a termination message, in bytes (`MaxContainerTerminationMessageLength`). A pod's status would otherwise
/// be as large as its containers like.
const LONGEST_TERMINATION_MESSAGE: usize = 4096;

fn bound_message(message: &mut Option<String>) {
    if let Some(message) = message
        && message.len() > LONGEST_TERMINATION_MESSAGE
    {
        let end = (0..=LONGEST_TERMINATION_MESSAGE).rev().find(|end| message.is_char_boundary(*end)).unwrap_or(0);
        message.truncate(end);
    }
}

fn whole_second(time: &mut Option<Time>) {
    if let Some(time) = time
        && let Ok(whole) = Timestamp::from_second(time.0.as_second())
    {
        time.0 = whole;
    }
}

fn has_state(state: &ContainerState) -> bool {
    state.running.is_some() || state.terminated.is_some() || state.waiting.is_some()
}

/// What the API server holds of a container.
fn held<'a>(facts: &Facts<'a>, name: &str) -> Option<&'a ContainerStatus> {
    let status = facts.baseline;
    let all = [&status.container_statuses, &status.init_container_statuses, &status.ephemeral_container_statuses];
    all.into_iter().flatten().flatten().find(|status| status.name == name)
}

/// A container that the provider said nothing about. The count of its restarts never falls.
fn unreported(facts: &Facts<'_>, name: &str) -> ContainerStatus {
    let restart_count = held(facts, name).map_or(0, |status| status.restart_count);
    ContainerStatus { name: name.to_owned(), restart_count, ..ContainerStatus::default() }
}

/// A pod that failed under a running container has lost it.
fn was_running(facts: &Facts<'_>, name: &str) -> bool {
    held(facts, name).and_then(|status| status.state.as_ref()).is_some_and(|state| state.waiting.is_none())
}

/// The state of a container that the provider said nothing about.
fn assumed(facts: &Facts<'_>, name: &str, kind: Kind) -> ContainerState {
    let phase = facts.report.and_then(|report| report.phase.as_deref());
    let started = || Some(super::start_time(facts));
    match (phase, kind) {
        (Some("Running"), Kind::Init) => terminated(0, "Completed", None, started(), started()),
        (Some("Running"), Kind::Regular | Kind::Sidecar) => {
            ContainerState { running: Some(ContainerStateRunning { started_at: started() }), ..Default::default() }
        }
        (Some(ended), _) if Phase::is_terminal_name(ended) && kind != Kind::Ephemeral => {
            let (code, reason) = if ended == "Succeeded" { (0, "Completed") } else { (1, "Error") };
            terminated(code, reason, None, started(), Some(finished(facts, name)))
        }
        _ => waiting(facts, name),
    }
}

/// When a container without a time of its own ended: what the API server already holds, else now. Without the first, every look
/// would give another status.
fn finished(facts: &Facts<'_>, name: &str) -> Time {
    let ended = held(facts, name).and_then(|status| status.state.as_ref()?.terminated.as_ref());
    let known = ended.and_then(|ended| ended.finished_at.clone());
    known.unwrap_or_else(|| facts.now.clone())
}

/// What a kubelet says of a container that it is about to create: the others wait for their own turn while one of them has a problem. In a pod
/// with init containers all of them are said to wait for those.
fn waiting(facts: &Facts<'_>, name: &str) -> ContainerState {
    let init = facts.pod.spec.as_ref().and_then(|spec| spec.init_containers.as_ref());
    let creating = if init.is_some_and(|init| !init.is_empty()) { "PodInitializing" } else { "ContainerCreating" };
    let held = facts.held.filter(|held| held.container.is_none_or(|container| container == name));
    let (reason, message) = match held {
        Some(held) if held.creating => (creating, Some(held.message.to_owned())),
        Some(held) => (held.reason, Some(held.message.to_owned())),
        None => (creating, None),
    };
    let waiting = ContainerStateWaiting { reason: Some(reason.to_owned()), message };
    ContainerState { waiting: Some(waiting), ..Default::default() }
}

/// After a deletion nothing may look alive: what the provider did not account for is unknown, as on a kubelet.
fn stopped(facts: &Facts<'_>, name: &str, state: ContainerState) -> ContainerState {
    if state.terminated.is_some() {
        return state;
    }
    let started = state.running.and_then(|running| running.started_at);
    let message = Some(UNKNOWN_MESSAGE.to_owned());
    terminated(UNKNOWN_EXIT_CODE, UNKNOWN_REASON, message, started, Some(finished(facts, name)))
}

fn terminated(
    exit_code: i32,
    reason: &str,
    message: Option<String>,
    started_at: Option<Time>,
    finished_at: Option<Time>,
) -> ContainerState {
    ContainerState {
        terminated: Some(ContainerStateTerminated {
            exit_code,
            reason: Some(reason.to_owned()),
            message,
            started_at,
            finished_at,
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// `ready` and `started` as the kubelet sets them: only what runs can be ready, but a completed init container is.
fn settle_readiness(status: &mut ContainerStatus, assumed: bool, kind: Kind) {
    let state = status.state.as_ref();
    let running = state.is_some_and(|state| state.running.is_some());
    let completed = state.and_then(|state| state.terminated.as_ref()).is_some_and(|ended| ended.exit_code == 0);
    if kind == Kind::Init {
        status.ready = completed;
        status.started = Some(running);
        return;
    }
    if kind == Kind::Ephemeral {
        status.ready = false;
        return;
    }
    if !running {
        status.ready = false;
        status.started = Some(false);
    } else if assumed {
        status.ready = true;
        status.started = Some(true);
    } else if status.started.is_none() {
        status.started = Some(true);
    }
}

/// The host's own probes have the last word on a container that runs: without a startup probe it has started, without a readiness probe it
/// is ready as soon as it has.
fn settle_probes(status: &mut ContainerStatus, kind: Kind, probed: Probed) {
    let running = status.state.as_ref().is_some_and(|state| state.running.is_some());
    if !running || probed == Probed::default() || !matches!(kind, Kind::Regular | Kind::Sidecar) {
        return;
    }
    let started = probed.started.unwrap_or(true);
    status.started = Some(started);
    status.ready = started && probed.ready.unwrap_or(true);
}
