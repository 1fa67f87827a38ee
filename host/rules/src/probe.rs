//! Probes: when they run and what their outcomes mean.
//!
//! In: a container's `v1.Probe`s, what is seen of the container, outcomes of checks, moments. Out: when the next check is due, whether the
//! container counts as started and ready, whether it must be restarted. Invariant: nothing is ready that does not run, nothing is restarted
//! before `failureThreshold` failures in a row of one and the same container.
//!
//! A moment is the time since an origin that the caller chooses once. The rules are the kubelet's (`pkg/kubelet/prober/worker.go` and
//! `prober_manager.go`, Kubernetes 1.37) but for one: a run of equal outcomes ends with its container, where the kubelet carries it over and
//! may restart a new container for what the old one did.

mod container;
mod worker;

use std::fmt;
use std::time::Duration;

use k8s_openapi::api::core::v1::Probe;

pub use container::{Container, Effect, Ticket, Verdict, probe_of};
pub use worker::Standing;

/// What a probe is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Whether the container has started; until then the others do not run.
    Startup,
    /// Whether the container may get traffic.
    Readiness,
    /// Whether the container must be restarted.
    Liveness,
}

impl Kind {
    /// All of them, in the order in which they act on each other.
    pub const ALL: [Self; 3] = [Self::Startup, Self::Readiness, Self::Liveness];

    /// As in `Container … failed liveness probe`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Startup => "startup",
            Self::Readiness => "readiness",
            Self::Liveness => "liveness",
        }
    }
}

/// As the kubelet's events begin: `Liveness probe failed: …`.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Startup => "Startup",
            Self::Readiness => "Readiness",
            Self::Liveness => "Liveness",
        })
    }
}

/// The numbers of a `v1.Probe`, with the API's defaults (`SetDefaults_Probe`) where it is silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Counted from the start of the container. Default 0 s.
    pub initial_delay: Duration,
    /// From one check to the next; at least 1 s. Default 10 s.
    pub period: Duration,
    /// How long one check may take; at least 1 s. Default 1 s.
    pub timeout: Duration,
    /// Successes in a row that count; at least 1. Default 1.
    pub success_threshold: u32,
    /// Failures in a row that count; at least 1. Default 3.
    pub failure_threshold: u32,
    /// How long the container may take to stop when this probe has it restarted. None: as long as the pod says.
    pub grace: Option<Duration>,
}

impl Settings {
    /// The settings of a probe of that kind. Readiness probes have no grace period, the others a success threshold of 1: the API
    /// server refuses anything else (`validateLivenessProbe`, `validateReadinessProbe`).
    #[must_use]
    pub fn of(kind: Kind, probe: &Probe) -> Self {
        let seconds = |value: Option<i32>, default| Duration::from_secs(u64::from(positive(value, default)));
        let grace = probe.termination_grace_period_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        Self {
            initial_delay: seconds(probe.initial_delay_seconds, 0),
            period: seconds(probe.period_seconds, 10),
            timeout: seconds(probe.timeout_seconds, 1),
            success_threshold: if kind == Kind::Readiness { positive(probe.success_threshold, 1) } else { 1 },
            failure_threshold: positive(probe.failure_threshold, 3),
            grace: grace.filter(|_| kind != Kind::Readiness).map(Duration::from_secs),
        }
    }
}

fn positive(value: Option<i32>, default: u32) -> u32 {
    value.and_then(|value| u32::try_from(value).ok()).filter(|value| *value > 0).unwrap_or(default)
}

/// What tells a container from the one before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Instance {
    /// `containerID`, where the provider gives one.
    pub id: Option<String>,
    /// `startedAt` in seconds since 1970, the grain of the API. None where it is not told, as while the container waits.
    pub started_at: Option<i64>,
    /// `restartCount`.
    pub restarts: i32,
}

impl Instance {
    /// Whether both are the same container; None where nothing tells.
    fn is_same(&self, other: &Self) -> Option<bool> {
        if self.restarts != other.restarts {
            return Some(false);
        }
        let ids = self.id.as_ref().zip(other.id.as_ref()).map(|(one, other)| one == other);
        let starts = self.started_at.zip(other.started_at).map(|(one, other)| one == other);
        match (ids, starts) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (None, None) => None,
            _ => Some(true),
        }
    }
}

/// What is seen of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Which one it is.
    pub instance: Instance,
    /// Its state is `running`.
    pub running: bool,
    /// The provider says that it has not started yet although it runs, as while its postStart hook does.
    pub starting: bool,
    /// How long ago it started, if it runs.
    pub age: Duration,
}

#[cfg(test)]
mod tests;
