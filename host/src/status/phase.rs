//! A pod's phase, by the kubelet's rules (pkg/kubelet `getPhase`).
//!
//! In: the restart policies and rules of pod and containers, the container statuses. Out: [`Phase`]. Invariant: a terminal phase that the API server holds
//! is never left again.

use k8s_openapi::api::core::v1::{ContainerStatus, PodSpec};
use pluglet_rules::lifecycle::restart;

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
    let nothing = PodSpec::default();
    let spec = facts.pod.spec.as_ref().unwrap_or(&nothing);
    let mut count = Count::default();
    count.init(spec, &containers.init);
    count.regular(spec, &containers.regular);
    if count.failed_init > 0 {
        return Phase::Failed;
    }
    let succeeded = count.stopped == count.succeeded;
    if facts.stopped {
        let all = count.stopped == containers.regular.len() && !containers.regular.is_empty();
        return if all && succeeded && !count.init_has_failed { Phase::Succeeded } else { Phase::Failed };
    }
    // A sidecar that restarts does not take back what the pod has reached.
    let uninitialized = count.pending_init > 0 || (count.pending_sidecars > 0 && !count.initialized);
    if (uninitialized && !count.initialized) || count.waiting > 0 {
        return Phase::Pending;
    }
    if count.running > 0 {
        return Phase::Running;
    }
    match count.stopped {
        0 => Phase::Pending,
        stopped if stopped != count.stopped_for_good => Phase::Running,
        _ if succeeded => Phase::Succeeded,
        _ => Phase::Failed,
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

/// The counters of `getPhase`.
#[derive(Default)]
struct Count {
    /// Init containers that have not ended.
    pending_init: usize,
    /// Init containers that have failed and are not started again.
    failed_init: usize,
    init_has_failed: bool,
    /// Sidecars that have not started.
    pending_sidecars: usize,
    /// Any regular container was ever started.
    initialized: bool,
    running: usize,
    waiting: usize,
    stopped: usize,
    stopped_for_good: usize,
    succeeded: usize,
}

/// How a container is, as far as a phase is concerned.
enum Is {
    Running,
    /// It has ended, or waits to be started again after an end, with this code.
    Ended(i32),
    Waiting,
}

fn is(status: Option<&ContainerStatus>) -> Is {
    let state = status.and_then(|status| status.state.as_ref());
    if state.is_some_and(|state| state.running.is_some()) {
        return Is::Running;
    }
    let ended = state.and_then(|state| state.terminated.as_ref());
    let last = status.and_then(|status| status.last_state.as_ref()?.terminated.as_ref());
    ended.or(last).map_or(Is::Waiting, |ended| Is::Ended(ended.exit_code))
}

fn find<'a>(statuses: &'a [ContainerStatus], name: &str) -> Option<&'a ContainerStatus> {
    statuses.iter().find(|status| status.name == name)
}

impl Count {
    fn init(&mut self, spec: &PodSpec, statuses: &[ContainerStatus]) {
        for container in spec.init_containers.iter().flatten() {
            let status = find(statuses, &container.name);
            let sidecar = container.restart_policy.as_deref() == Some("Always");
            match (sidecar, is(status)) {
                (false, Is::Running | Is::Waiting) => self.pending_init += 1,
                (false, Is::Ended(0)) | (true, Is::Ended(_)) => {}
                (false, Is::Ended(code)) => {
                    self.init_has_failed = true;
                    self.failed_init += usize::from(!restart::after_exit(spec, container, code));
                }
                (true, Is::Running) => {
                    self.running += 1;
                    let started = status.is_some_and(|status| status.started == Some(true));
                    self.pending_sidecars += usize::from(!started);
                }
                (true, Is::Waiting) => {
                    self.waiting += 1;
                    self.pending_sidecars += 1;
                }
            }
        }
    }

    fn regular(&mut self, spec: &PodSpec, statuses: &[ContainerStatus]) {
        for container in &spec.containers {
            match is(find(statuses, &container.name)) {
                Is::Running => {
                    self.running += 1;
                    self.initialized = true;
                }
                Is::Ended(code) => {
                    self.stopped += 1;
                    self.initialized = true;
                    self.succeeded += usize::from(code == 0);
                    self.stopped_for_good += usize::from(!restart::after_exit(spec, container, code));
                }
                Is::Waiting => self.waiting += 1,
            }
        }
    }
}
