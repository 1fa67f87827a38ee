//! One container with probes: its machine, its checks, what to tell of their ends.
//!
//! In: moments, ends of checks. Out: checks to make, [`Finding`]s. Invariant: what is void is not told; of errors that repeat only the first is.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{self, Pod, PodStatus};
use pluglet_rules::probe::{Container, Effect, Kind, Ticket, probe_of};

use super::{Check, Finding, Outcome, observed};

/// A container with probes.
pub(super) struct Probed {
    pub(super) name: String,
    pub(super) machine: Container,
    checks: Vec<(Kind, Arc<Check>)>,
    /// Whether it runs again after it was stopped.
    again: bool,
    /// Of each probe the error that was told last, if it was an error.
    told: Vec<(Kind, String)>,
}

/// What a check needs to run by itself.
pub(super) struct Begun {
    pub(super) ticket: Ticket,
    pub(super) name: String,
    pub(super) check: Arc<Check>,
    pub(super) timeout: Duration,
}

impl Probed {
    /// None for a container without probes. Its periods count from the origin of the moments.
    pub(super) fn new(pod: &Pod, before: Option<&PodStatus>, container: &v1::Container) -> Option<Self> {
        let mut machine = Container::new(container, Duration::ZERO)?;
        if let Some((instance, verdict)) = observed::before(before, &container.name) {
            machine.remember(instance, verdict);
        }
        let checks = Kind::ALL.into_iter().filter_map(|kind| {
            let probe = probe_of(container, kind)?;
            Some((kind, Arc::new(Check::of(probe, container))))
        });
        // The container's own policy wins (KEP-5307); without one a sidecar is not special either, as it has one.
        let policy = container.restart_policy.as_deref();
        let policy = policy.or(pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref()));
        Some(Self {
            name: container.name.clone(),
            machine,
            checks: checks.collect(),
            again: policy != Some("Never"),
            told: vec![],
        })
    }

    /// Begins a check if one of that kind is due; [`Probed::ended`] must follow.
    pub(super) fn begin(&mut self, kind: Kind, now: Duration) -> Option<Begun> {
        let check = self.checks.iter().find(|(at, _)| *at == kind).map(|(_, check)| check.clone())?;
        let timeout = self.machine.settings(kind)?.timeout;
        let ticket = self.machine.begin(kind, now)?;
        Some(Begun { ticket, name: self.name.clone(), check, timeout })
    }

    /// What to tell of the end of a check, in the kubelet's order: the event first, then what follows from it.
    pub(super) fn ended(&mut self, ticket: Ticket, outcome: Outcome, now: Duration) -> Vec<Finding> {
        let effect = self.machine.finished(ticket, now, outcome.verdict());
        if effect == Effect::Void {
            return vec![];
        }
        let mut findings = Vec::from_iter(self.tell(ticket.kind, outcome));
        match effect {
            Effect::Void | Effect::Unchanged => {}
            Effect::Changed => findings.push(Finding::Changed),
            Effect::Restart => findings.push(self.restart(ticket.kind)),
        }
        findings
    }

    fn tell(&mut self, kind: Kind, outcome: Outcome) -> Option<Finding> {
        let container = self.name.clone();
        if let Outcome::Unknown { error } = outcome {
            // The same error at each tick, as of a provider that cannot run commands at all, is told once.
            if self.told.iter().any(|(at, told)| *at == kind && *told == error) {
                return None;
            }
            let message = format!("{kind} probe errored and resulted in unknown state: {error}");
            self.told.retain(|(at, _)| *at != kind);
            self.told.push((kind, error));
            return Some(Finding::Unhealthy { container, message });
        }
        self.told.retain(|(at, _)| *at != kind);
        match outcome {
            Outcome::Success | Outcome::Unknown { .. } => None,
            Outcome::Warning { output } => {
                Some(Finding::Warning { container, message: format!("{kind} probe warning: {output}") })
            }
            Outcome::Failure { output } => {
                Some(Finding::Unhealthy { container, message: format!("{kind} probe failed: {output}") })
            }
        }
    }

    /// `computePodActions` in `kuberuntime_manager.go`.
    fn restart(&self, kind: Kind) -> Finding {
        let container = self.name.clone();
        let end = if self.again { ", will be restarted" } else { "" };
        let message = format!("Container {container} failed {} probe{end}", kind.name());
        let grace = self.machine.settings(kind).and_then(|settings| settings.grace);
        Finding::Restart { container, message, grace, again: self.again }
    }
}
