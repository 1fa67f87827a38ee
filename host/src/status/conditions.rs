//! The pod conditions that a kubelet owns.
//!
//! In: [`Facts`], the phase, the status so far. Out: `PodReadyToStartContainers`, `Initialized`, `ContainersReady`, `Ready`,
//! `PodResizePending` while there is one (and `PodScheduled` where nobody has set it). Invariant: a transition time changes only when the condition's status does.

use k8s_openapi::api::core::v1::{ContainerStatus, PodCondition, PodStatus};

use super::resize::PENDING;
use super::{Facts, Phase};

struct Verdict {
    holds: bool,
    reason: Option<&'static str>,
    message: Option<String>,
}

impl Verdict {
    fn yes() -> Self {
        Self { holds: true, reason: None, message: None }
    }

    fn no(reason: &'static str, message: Option<String>) -> Self {
        Self { holds: false, reason: Some(reason), message }
    }
}

/// The conditions for `status.conditions`, in a fixed order.
pub(crate) fn translate(facts: &Facts<'_>, phase: Phase, status: &PodStatus) -> Vec<PodCondition> {
    let regular = status.container_statuses.as_deref().unwrap_or_default();
    let init = status.init_container_statuses.as_deref().unwrap_or_default();
    let containers_ready = containers_ready(phase, sidecars(facts, init).chain(regular));
    let ready = ready(facts, &containers_ready);
    let mut conditions = vec![
        condition(facts, "PodReadyToStartContainers", sandbox(phase, regular)),
        condition(facts, "Initialized", initialized(facts, phase, init, regular)),
        condition(facts, "Ready", ready),
        condition(facts, "ContainersReady", containers_ready),
    ];
    if let Some(pending) = facts.resize.filter(|_| !phase.is_terminal()) {
        let message = Some(pending.message.clone());
        conditions.push(condition(facts, PENDING, Verdict { holds: true, reason: Some(pending.reason()), message }));
    }
    if existing(facts, "PodScheduled").is_none() {
        conditions.push(condition(facts, "PodScheduled", Verdict::yes()));
    }
    conditions
}

fn existing<'a>(facts: &Facts<'a>, type_: &str) -> Option<&'a PodCondition> {
    facts.baseline.conditions.iter().flatten().find(|condition| condition.type_ == type_)
}

fn condition(facts: &Facts<'_>, type_: &str, verdict: Verdict) -> PodCondition {
    let status = if verdict.holds { "True" } else { "False" };
    let before = existing(facts, type_).filter(|condition| condition.status == status);
    let since = before.and_then(|condition| condition.last_transition_time.clone());
    PodCondition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: verdict.reason.map(str::to_owned),
        message: verdict.message,
        last_transition_time: since.or_else(|| Some(facts.now.clone())),
        last_probe_time: None,
        // A resize that is refused is one of the spec as it stands.
        observed_generation: if type_ == PENDING { facts.pod.metadata.generation } else { facts.generation },
    }
}

/// The pod's sandbox exists while anything of it runs. A provider has no sandbox to tell of: a started container proves one.
fn sandbox(phase: Phase, regular: &[ContainerStatus]) -> Verdict {
    let started = regular.iter().any(|status| status.state.as_ref().is_some_and(|state| state.waiting.is_none()));
    Verdict { holds: !phase.is_terminal() && started, reason: None, message: None }
}

fn initialized(facts: &Facts<'_>, phase: Phase, init: &[ContainerStatus], regular: &[ContainerStatus]) -> Verdict {
    if phase == Phase::Succeeded {
        return Verdict { reason: Some("PodCompleted"), ..Verdict::yes() };
    }
    let started = regular.iter().any(|status| status.state.as_ref().is_some_and(|state| state.running.is_some()));
    let specs = facts.pod.spec.as_ref().and_then(|spec| spec.init_containers.as_deref()).unwrap_or_default();
    let is_sidecar =
        |name: &str| specs.iter().any(|spec| spec.name == name && spec.restart_policy.as_deref() == Some("Always"));
    // A sidecar is done when it has started, any other when it has completed.
    let is_complete = |status: &&ContainerStatus| {
        if is_sidecar(&status.name) { status.started == Some(true) } else { status.ready }
    };
    let incomplete: Vec<_> = init.iter().filter(|status| !is_complete(status)).collect();
    if started || incomplete.is_empty() {
        return Verdict::yes();
    }
    Verdict::no(
        "ContainersNotInitialized",
        Some(format!("containers with incomplete status: [{}]", names(&incomplete))),
    )
}

/// Init containers that run beside the regular ones, and must be ready as they must.
fn sidecars<'a>(facts: &Facts<'a>, init: &'a [ContainerStatus]) -> impl Iterator<Item = &'a ContainerStatus> {
    let specs = facts.pod.spec.as_ref().and_then(|spec| spec.init_containers.as_deref()).unwrap_or_default();
    let is_sidecar =
        |name: &str| specs.iter().any(|spec| spec.name == name && spec.restart_policy.as_deref() == Some("Always"));
    init.iter().filter(move |status| is_sidecar(&status.name))
}

fn containers_ready<'a>(phase: Phase, all: impl Iterator<Item = &'a ContainerStatus>) -> Verdict {
    match phase {
        Phase::Succeeded => return Verdict::no("PodCompleted", None),
        Phase::Failed => return Verdict::no("PodFailed", None),
        Phase::Pending | Phase::Running => {}
    }
    let unready: Vec<_> = all.filter(|status| !status.ready).collect();
    if unready.is_empty() {
        return Verdict::yes();
    }
    Verdict::no("ContainersNotReady", Some(format!("containers with unready status: [{}]", names(&unready))))
}

/// `Ready` = `ContainersReady` and every readiness gate, which other controllers set.
fn ready(facts: &Facts<'_>, containers: &Verdict) -> Verdict {
    if !containers.holds {
        return Verdict { holds: false, reason: containers.reason, message: containers.message.clone() };
    }
    let gates = facts.pod.spec.as_ref().and_then(|spec| spec.readiness_gates.as_deref()).unwrap_or_default();
    let closed: Vec<_> = gates.iter().filter_map(|gate| why_closed(facts, &gate.condition_type)).collect();
    if closed.is_empty() { Verdict::yes() } else { Verdict::no("ReadinessGatesNotReady", Some(closed.join(", "))) }
}

/// The kubelet's words (`GeneratePodReadyCondition`); None for a gate that is open.
fn why_closed(facts: &Facts<'_>, gate: &str) -> Option<String> {
    match existing(facts, gate) {
        None => Some(format!("corresponding condition of pod readiness gate {gate:?} does not exist.")),
        Some(condition) if condition.status == "True" => None,
        Some(condition) => {
            Some(format!("the status of pod readiness gate {gate:?} is not \"True\", but {}", condition.status))
        }
    }
}

fn names(statuses: &[&ContainerStatus]) -> String {
    statuses.iter().map(|status| status.name.as_str()).collect::<Vec<_>>().join(" ")
}
