//! Links the probes of a pod into its actor.
//!
//! In: the provider's reports, what the probes find. Out: events, [`Call::Restart`], verdicts for the status. Invariant: a provider that
//! probes by itself is never second-guessed.

use std::future::pending;
use std::time::Duration;

use k8s_openapi::api::core::v1::PodStatus;
use pluglet_model::provider::{Error, Level, Retry};
use tokio::time::Instant;
use tracing::info;

use super::Actor;
use super::lanes::Call;
use crate::pods::state::{Event, Failure};
use crate::probes::{Finding, Probes};
use crate::status::{Probed, field_path};

/// The next finding, or for ever nothing where nobody probes.
pub(super) async fn next(probes: &mut Option<Box<Probes>>) -> Finding {
    match probes {
        Some(probes) => probes.next().await,
        None => pending().await,
    }
}

impl Actor {
    /// Tells the probes what the provider says of the containers.
    pub(super) fn observe(&mut self, report: &PodStatus) {
        let Some(prober) = self.shared.prober.as_ref().filter(|_| !self.shared.features().probes) else { return };
        if self.probes.is_none() {
            self.probes = Probes::new(self.key.clone(), &self.pod.get(), Some(&self.baseline.get()), prober.clone())
                .map(Box::new);
        }
        if let Some(probes) = &mut self.probes {
            probes.observe(report);
            // One that came back by itself is another, and well until its own probes say otherwise.
            self.restarts.retain(|container| probes.awaits_restart(container));
        }
        self.tell_started();
    }

    /// What comes after a sidecar waits for its startup probe.
    fn tell_started(&self) {
        let (Some(probes), Level::Containers) = (&self.probes, self.shared.provider.level()) else { return };
        let pod = self.pod.get();
        let init = pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
        for container in init.filter(|container| container.startup_probe.is_some()) {
            if probes.verdict(&container.name).started == Some(true) {
                self.shared.provider.started(&self.key, &container.name);
            }
        }
    }

    /// What counts of a container that runs. A provider that does not probe does not know what is ready: without a probe it is as soon as it
    /// runs.
    pub(super) fn probed(&self, container: &str) -> Probed {
        if self.shared.features().probes {
            return Probed::default();
        }
        let verdict = self.probes.as_ref().map(|probes| probes.verdict(container)).unwrap_or_default();
        Probed { started: Some(verdict.started.unwrap_or(true)), ready: Some(verdict.ready.unwrap_or(true)) }
    }

    pub(super) fn found(&mut self, finding: Finding) {
        match finding {
            Finding::Changed => {
                self.dirty = true;
                self.tell_started();
            }
            Finding::Unhealthy { container, message } => self.tell(&container, true, "Unhealthy", &message),
            Finding::Warning { container, message } => self.tell(&container, true, "ProbeWarning", &message),
            Finding::Restart { container, message, grace, again } => {
                let grace =
                    grace.unwrap_or_else(|| Duration::from_secs(super::termination_grace(&self.pod.get()).into()));
                if self.shared.provider.level() == Level::Containers {
                    return self.restarts.owe_at_once(&container, grace, message, Instant::now());
                }
                if !again {
                    self.tell(&container, false, "Killing", &message);
                    return self.end_container(&container, message);
                }
                let pause = self.restarts.owe(&container, grace, message, Instant::now());
                if !pause.is_zero() {
                    let message = format!("Back-off restarting failed container {container}; it runs on for {pause:?}");
                    self.tell(&container, true, "BackOff", &message);
                }
            }
        }
    }

    /// A restart is due: asked for, unless another call is under way.
    pub(super) fn restart(&mut self, container: String) {
        let now = Instant::now();
        if self.call.is_some() {
            self.restarts.postpone(&container, now);
        } else if let Some(grace) = self.restarts.begin(&container, now) {
            self.call_provider(Call::Restart { container, grace });
        }
    }

    /// A provider that cannot restart a container leaves it as it is: its owner learns that nothing will happen by itself.
    pub(super) fn restarted(&mut self, container: &str, outcome: Result<(), Error>) {
        match outcome {
            Ok(()) => {
                info!(pod = %self.key, uid = %self.key.uid, container, "restarting a container that failed a probe");
                if let Some(message) = self.restarts.made(container, Instant::now()) {
                    self.tell(container, false, "Killing", &message);
                }
            }
            // It has ended by itself, or waits to start again: once another is seen in its place nothing is owed any more.
            Err(Error::NotFound) => {
                self.restarts.failed(container, Instant::now());
                self.call_provider(Call::Poll);
            }
            Err(error) if error.retry() == Retry::Never => {
                self.restarts.forgive(container);
                let message = format!("the container failed its probe and is not restarted: {error}");
                self.tell(container, true, "FailedToRestart", &message);
            }
            Err(error) => {
                let Some(pause) = self.restarts.failed(container, Instant::now()) else { return };
                let message = format!(
                    "the container failed its probe and could not be restarted: {error}; next try in {pause:?}"
                );
                self.tell(container, true, "FailedToRestart", &message);
            }
        }
    }

    /// Under `restartPolicy: Never` a container that is stopped stays so. A provider stops whole pods: right for a pod of one container.
    fn end_container(&mut self, container: &str, message: String) {
        let pod = self.pod.get();
        let alone = pod.spec.as_ref().is_some_and(|spec| spec.containers.len() == 1);
        if alone {
            self.step(Event::Expired(Failure::of_pod("Unhealthy", message)));
        } else {
            let message = "the container failed its probe and runs on: a provider stops whole pods, and this one has other containers";
            self.tell(container, true, "FailedToKill", message);
        }
    }

    fn tell(&self, container: &str, warning: bool, reason: &str, message: &str) {
        let path = field_path(&self.pod.get(), container);
        self.shared.events.record_about(&self.key, path, warning, reason, message);
    }
}
