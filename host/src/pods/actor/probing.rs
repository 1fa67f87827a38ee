//! Links the probes of a pod into its actor.
//!
//! In: the provider's reports, what the probes find. Out: events, [`Call::Restart`], verdicts for the status. Invariant: a provider that
//! probes by itself is never second-guessed.

use std::collections::BTreeMap;
use std::future::pending;
use std::time::Duration;

use k8s_openapi::api::core::v1::PodStatus;
use pluglet_model::provider::{Error, Retry};
use tokio::time::{Instant, sleep_until};
use tracing::info;

use super::Actor;
use super::lanes::Call;
use crate::pods::state::{Event, FIRST_RETRY, Failure, LONGEST_RETRY, State, exponential};
use crate::probes::{Finding, Probes};
use crate::status::{Probed, field_path};

/// A restart to be asked for again.
pub(super) struct Restart {
    grace: Duration,
    failures: u32,
    due: Instant,
}

/// The container whose restart is due next, when it is; for ever nothing where there is none.
pub(super) async fn restart_due(restarts: &BTreeMap<String, Restart>) -> String {
    match restarts.iter().min_by_key(|(_, restart)| restart.due) {
        Some((container, restart)) => {
            sleep_until(restart.due).await;
            container.clone()
        }
        None => pending().await,
    }
}

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
        let Some(runner) = self.shared.prober.as_ref().filter(|_| !self.shared.features().probes) else { return };
        if self.probes.is_none() {
            self.probes = Probes::new(self.key.clone(), &self.pod, Some(&self.baseline), runner.clone()).map(Box::new);
        }
        if let Some(probes) = &mut self.probes {
            probes.observe(report);
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
            Finding::Changed => self.dirty = true,
            Finding::Unhealthy { container, message } => self.tell(&container, true, "Unhealthy", &message),
            Finding::Warning { container, message } => self.tell(&container, true, "ProbeWarning", &message),
            Finding::Restart { container, message, grace, again } => {
                self.tell(&container, false, "Killing", &message);
                let grace = grace.unwrap_or_else(|| Duration::from_secs(super::termination_grace(&self.pod).into()));
                if again {
                    self.call_provider(Call::Restart { container, grace });
                } else {
                    self.end_container(&container, message);
                }
            }
        }
    }

    /// A provider that cannot restart a container leaves it as it is: its owner learns that nothing will happen by itself.
    pub(super) fn restarted(&mut self, container: &str, grace: Duration, outcome: Result<(), Error>) {
        let before = self.restarts.remove(container);
        if !matches!(self.machine.state, State::Running | State::Updating) {
            return;
        }
        match outcome {
            Ok(()) => {
                info!(pod = %self.key, uid = %self.key.uid, container, "restarting a container that failed a probe");
            }
            // It has ended by itself, or waits to start again.
            Err(Error::NotFound) => {
                self.call_provider(Call::Poll);
            }
            Err(error) if error.retry() == Retry::Never => {
                let message = format!("the container failed its probe and is not restarted: {error}");
                self.tell(container, true, "FailedToRestart", &message);
            }
            Err(error) => {
                let failures = before.map_or(0, |restart| restart.failures);
                let pause = exponential(FIRST_RETRY, LONGEST_RETRY, failures);
                let message = format!(
                    "the container failed its probe and could not be restarted: {error}; next try in {pause:?}"
                );
                self.tell(container, true, "FailedToRestart", &message);
                let again = Restart { grace, failures: failures + 1, due: Instant::now() + pause };
                self.restarts.insert(container.to_owned(), again);
            }
        }
    }

    /// Another call is under way: the restart follows it.
    pub(super) fn restart_later(&mut self, container: String, grace: Duration) {
        let failures = self.restarts.get(&container).map_or(0, |restart| restart.failures);
        self.restarts.insert(container, Restart { grace, failures, due: Instant::now() + FIRST_RETRY });
    }

    pub(super) fn restart_again(&mut self, container: &str) {
        if let Some(restart) = self.restarts.get_mut(container) {
            let call = Call::Restart { container: container.to_owned(), grace: restart.grace };
            // Its answer decides; until then it is not due.
            restart.due = Instant::now() + LONGEST_RETRY;
            self.call_provider(call);
        }
    }

    /// Under `restartPolicy: Never` a container that is stopped stays so. A provider stops whole pods: right for a pod of one container.
    fn end_container(&mut self, container: &str, message: String) {
        let spec = self.pod.spec.as_ref();
        let alone = spec.is_some_and(|spec| spec.containers.len() == 1);
        if alone {
            self.step(Event::Expired(Failure::of_pod("Unhealthy", message)));
        } else {
            let message = "the container failed its probe and runs on: a provider stops whole pods, and this one has other containers";
            self.tell(container, true, "FailedToKill", message);
        }
    }

    fn tell(&self, container: &str, warning: bool, reason: &str, message: &str) {
        let path = field_path(&self.pod, container);
        self.shared.events.record_about(&self.key, path, warning, reason, message);
    }
}
