//! The probes of one pod, run by the host because its provider does not.
//!
//! In: the pod, what the provider says of it, the ends of checks. Out: [`Finding`]s, and a [`Verdict`] for each container's status.
//! Invariant: nothing runs but while [`Probes::next`] is polled; dropping it ends all. When a check runs and what it means is decided by
//! [`pluglet_rules::probe`], how it is made by a [`Runner`].

mod address;
mod check;
mod command;
mod exchange;
mod grpc;
mod http;
mod observed;
mod probed;
mod results;
mod runner;
mod tcp;

use std::collections::VecDeque;
use std::future::pending;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use k8s_openapi::api::core::v1::{self, Pod, PodStatus};
use k8s_openapi::jiff::Timestamp;
use pluglet_model::PodKey;
use pluglet_rules::probe::{Kind, Ticket, Verdict};
use tokio::time::{Instant, sleep_until};

pub(crate) use address::Reach;
pub(crate) use check::Check;
use probed::{Begun, Probed};
pub(crate) use results::Results;
pub(crate) use runner::{NodeRunner, Outcome, Runner};

/// Checks of one pod that are under way at once. A pod may have a thousand containers with three probes each, all slow: without this limit it
/// would take all the places of the node and leave its neighbours unprobed. What is due longest comes next.
const CHECKS_PER_POD: usize = 8;

/// How often a check is tried that comes to nothing, in one tick (`maxProbeRetries` in the kubelet's `prober.go`).
const TRIES: usize = 3;

/// Something worth telling. Reasons and messages are the kubelet's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// A [`Verdict`] is another than before.
    Changed,
    /// A check failed, or could not be made: a Warning event `Unhealthy`.
    Unhealthy { container: String, message: String },
    /// A check succeeded in a doubtful way: a Warning event `ProbeWarning`.
    Warning { container: String, message: String },
    /// A container has failed its liveness or startup probe: an event `Killing`, and the container must be stopped.
    Restart {
        container: String,
        message: String,
        /// How long it may take to stop. None: as long as the pod says.
        grace: Option<Duration>,
        /// Whether it shall run again; not so under `restartPolicy: Never`.
        again: bool,
    },
}

/// Who probes the pods of this node.
#[derive(Clone)]
pub(crate) struct Prober {
    pub(crate) runner: Arc<dyn Runner>,
    pub(crate) results: Results,
}

/// The probes of one pod.
pub(crate) struct Probes {
    key: PodKey,
    prober: Prober,
    /// The moments of the rules count from here.
    origin: Instant,
    containers: Vec<Probed>,
    /// Where network probes go.
    pod_ip: Option<IpAddr>,
    under_way: FuturesUnordered<BoxFuture<'static, Ended>>,
    /// What is not told yet. Short: nothing new begins before all of it is.
    findings: VecDeque<Finding>,
}

/// The end of a check.
struct Ended {
    container: usize,
    ticket: Ticket,
    outcome: Outcome,
}

impl Probes {
    /// None where no container of the pod has a probe. `before` is the status that the API server holds: what an earlier process found of a
    /// container that still runs counts on.
    pub(crate) fn new(key: PodKey, pod: &Pod, before: Option<&PodStatus>, prober: Prober) -> Option<Self> {
        let spec = pod.spec.as_ref()?;
        // Others than sidecars run to their end before the pod starts; the API server refuses probes for them.
        let sidecars = spec.init_containers.iter().flatten().filter(|container| is_always(container));
        let all = spec.containers.iter().chain(sidecars);
        let containers: Vec<_> = all.filter_map(|container| Probed::new(pod, before, container)).collect();
        let (under_way, findings) = (FuturesUnordered::new(), VecDeque::new());
        let origin = Instant::now();
        let pod_ip = before.and_then(observed::pod_ip);
        let mut probes = Self { key, prober, origin, containers, pod_ip, under_way, findings };
        if pod.metadata.deletion_timestamp.is_some() {
            probes.terminating();
        }
        (!probes.containers.is_empty()).then_some(probes)
    }

    /// What the provider last said about the pod.
    pub(crate) fn observe(&mut self, status: &PodStatus) {
        let (now, clock) = (self.now(), Timestamp::now());
        // An address stays when the provider is silent about it, as in the status that is written.
        self.pod_ip = observed::pod_ip(status).or(self.pod_ip);
        for container in &mut self.containers {
            let seen = observed::container(status, &container.name, clock);
            container.machine.observe(now, seen.as_ref());
        }
    }

    /// The pod is being deleted: no container is restarted any more (`StopLivenessAndStartup`). Readiness goes on, so that a Service learns
    /// of a container that refuses new work while it stops.
    pub(crate) fn terminating(&mut self) {
        let now = self.now();
        self.containers.iter_mut().for_each(|container| container.machine.terminating(now));
        self.findings.retain(|finding| !matches!(finding, Finding::Restart { .. }));
    }

    /// For the container's status. Empty for one without probes.
    pub(crate) fn verdict(&self, container: &str) -> Verdict {
        let probed = self.containers.iter().find(|probed| probed.name == container);
        probed.map(|probed| probed.machine.verdict()).unwrap_or_default()
    }

    /// Whether a container has failed a probe that must restart it, and still is the one that failed.
    pub(crate) fn awaits_restart(&self, container: &str) -> bool {
        self.containers.iter().any(|probed| probed.name == container && probed.machine.awaits_restart())
    }

    /// The next thing worth telling; pending while there is none. Cancel-safe: all that is under way is kept in `self`.
    pub(crate) async fn next(&mut self) -> Finding {
        loop {
            if let Some(finding) = self.findings.pop_front() {
                return finding;
            }
            self.begin();
            let due = self.due();
            tokio::select! {
                // Cancel-safe: a check that is not over stays in the set.
                Some(ended) = self.under_way.next(), if !self.under_way.is_empty() => self.ended(ended),
                // Cancel-safe: a timer.
                () = until(due) => {}
            }
        }
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    /// The check that is due first, if there is room for one.
    fn first(&self) -> Option<(Duration, usize, Kind)> {
        if self.under_way.len() >= CHECKS_PER_POD {
            return None;
        }
        let all = self.containers.iter().enumerate();
        let due = all.filter_map(|(at, probed)| probed.machine.due().map(|(due, kind)| (due, at, kind)));
        due.min()
    }

    fn due(&self) -> Option<Instant> {
        // Beyond what an `Instant` can hold nothing is due.
        self.first().and_then(|(due, ..)| self.origin.checked_add(due))
    }

    /// Begins what is due.
    fn begin(&mut self) {
        let now = self.now();
        while let Some((due, at, kind)) = self.first()
            && due <= now
        {
            let Some(begun) = self.containers.get_mut(at).and_then(|probed| probed.begin(kind, now)) else { return };
            let Begun { ticket, name, check, timeout } = begun;
            let (runner, key, pod_ip) = (self.prober.runner.clone(), self.key.clone(), self.pod_ip);
            let run = async move {
                let outcome = attempt(runner.as_ref(), &key, &name, &check, pod_ip, timeout).await;
                Ended { container: at, ticket, outcome }
            };
            self.under_way.push(run.boxed());
        }
    }

    fn ended(&mut self, ended: Ended) {
        let now = self.now();
        if let Some(probed) = self.containers.get_mut(ended.container) {
            self.prober.results.count(&self.key, &probed.name, ended.ticket.kind, &ended.outcome);
            self.findings.extend(probed.ended(ended.ticket, ended.outcome, now));
        }
    }
}

impl Drop for Probes {
    fn drop(&mut self) {
        for probed in &self.containers {
            self.prober.results.forget(&self.key, &probed.name);
        }
    }
}

/// One tick's check: what comes to nothing is tried again, as the error may be the way's and not the container's.
async fn attempt(
    runner: &dyn Runner,
    key: &PodKey,
    container: &str,
    check: &Check,
    pod_ip: Option<IpAddr>,
    timeout: Duration,
) -> Outcome {
    let mut outcome = runner.check(key, container, check, pod_ip, timeout).await;
    for _ in 1..TRIES {
        if !matches!(outcome, Outcome::Unknown { .. }) {
            break;
        }
        outcome = runner.check(key, container, check, pod_ip, timeout).await;
    }
    outcome
}

fn is_always(container: &v1::Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests;
