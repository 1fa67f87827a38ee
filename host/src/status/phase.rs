//! A pod's phase, by the kubelet's rules (pkg/kubelet `getPhase`).
//!
//! In: the spec's restart policies and the container statuses. Out: [`Phase`]. Invariant: a terminal phase that the API server holds
//! is never left again.

use k8s_openapi::api::core::v1::{Container, ContainerStatus};

use super::Facts;
use super::containers::Containers;

/// `status.phase`. `Unknown` is not among them: nobody has set it since Kubernetes 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Pending,
    Running,
    Succeeded,
    Failed,
}

impl Phase {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }

    pub(crate) fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }

    pub(crate) fn is_terminal_name(name: &str) -> bool {
        name == "Succeeded" || name == "Failed"
    }
}

/// The phase that follows from the facts.
pub(crate) fn decide(facts: &Facts<'_>, containers: &Containers) -> Phase {
    match facts.baseline.phase.as_deref() {
        Some("Succeeded") => return Phase::Succeeded,
        Some("Failed") => return Phase::Failed,
        _ if facts.failed => return Phase::Failed,
        _ => {}
    }
    if !containers.detailed && !facts.stopped {
        return undetailed(facts);
    }
    let spec = facts.pod.spec.as_ref();
    let policy = spec.and_then(|spec| spec.restart_policy.as_deref()).unwrap_or("Always");
    let init_specs = spec.and_then(|spec| spec.init_containers.as_deref()).unwrap_or_default();
    let init = count_init(init_specs, &containers.init);
    let app = count_app(&containers.regular);
    if init.failed > 0 && policy == "Never" {
        return Phase::Failed;
    }
    if facts.stopped {
        return if app.all_succeeded && init.failed == 0 { Phase::Succeeded } else { Phase::Failed };
    }
    if init.pending > 0 && !app.any_started {
        return Phase::Pending;
    }
    match app {
        App { waiting: 1.., .. } => Phase::Pending,
        App { running: 1.., .. } => Phase::Running,
        App { stopped: 1.., .. } if policy == "Always" => Phase::Running,
        App { stopped: 1.., all_succeeded: true, .. } => Phase::Succeeded,
        App { stopped: 1.., .. } if policy == "Never" => Phase::Failed,
        App { stopped: 1.., .. } => Phase::Running,
        App { .. } => Phase::Pending,
    }
}

/// A provider that reports a phase and no containers is believed.
fn undetailed(facts: &Facts<'_>) -> Phase {
    match facts.report.and_then(|report| report.phase.as_deref()) {
        Some("Running") => Phase::Running,
        Some("Succeeded") => Phase::Succeeded,
        Some("Failed") => Phase::Failed,
        _ => Phase::Pending,
    }
}

#[derive(Default)]
struct Init {
    pending: usize,
    failed: usize,
}

fn count_init(specs: &[Container], statuses: &[ContainerStatus]) -> Init {
    let mut count = Init::default();
    for spec in specs {
        let status = statuses.iter().find(|status| status.name == spec.name);
        let state = status.and_then(|status| status.state.as_ref());
        let sidecar = spec.restart_policy.as_deref() == Some("Always");
        let terminated = state.and_then(|state| state.terminated.as_ref());
        let running = state.is_some_and(|state| state.running.is_some());
        if sidecar {
            let started = status.is_some_and(|status| status.started == Some(true)) || terminated.is_some();
            count.pending += usize::from(!started);
            continue;
        }
        let last = status.and_then(|status| status.last_state.as_ref()).and_then(|state| state.terminated.as_ref());
        match (terminated, running) {
            (Some(ended), _) => count.failed += usize::from(ended.exit_code != 0),
            (None, false) if last.is_some_and(|ended| ended.exit_code != 0) => count.failed += 1,
            (None, _) => count.pending += 1,
        }
    }
    count
}

#[derive(Default)]
struct App {
    running: usize,
    stopped: usize,
    waiting: usize,
    any_started: bool,
    all_succeeded: bool,
}

fn count_app(statuses: &[ContainerStatus]) -> App {
    let mut count = App { all_succeeded: !statuses.is_empty(), ..App::default() };
    for status in statuses {
        let state = status.state.as_ref();
        let last = status.last_state.as_ref().and_then(|state| state.terminated.as_ref());
        if state.is_some_and(|state| state.running.is_some()) {
            count.running += 1;
            count.any_started = true;
            count.all_succeeded = false;
        } else if let Some(ended) = state.and_then(|state| state.terminated.as_ref()).or(last) {
            count.stopped += 1;
            count.any_started = true;
            count.all_succeeded &= ended.exit_code == 0;
        } else {
            count.waiting += 1;
            count.all_succeeded = false;
        }
    }
    count
}
