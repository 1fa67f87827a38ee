//! Resource use of containers.
//!
//! In: figures of the backend. Out: [`PodStats`] for `kubectl top` and autoscalers. Invariant: what is unknown is None, not 0.

use crate::PodRef;

/// Figures of one pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodStats {
    /// Which pod.
    pub pod: PodRef,
    /// Its containers.
    pub containers: Vec<ContainerStats>,
}

/// Counters of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerStats {
    /// As in the spec.
    pub name: String,
    /// When the figures were taken; milliseconds since 1970, UTC.
    pub time_unix_ms: u64,
    /// When the container started; milliseconds since 1970, UTC.
    pub start_time_unix_ms: u64,
    /// CPU time used since the start, in nanoseconds.
    pub cpu_usage_core_ns: Option<u64>,
    /// CPU in use at `time_unix_ms`, in billionths of a core.
    pub cpu_usage_nano_cores: Option<u64>,
    /// Memory that cannot be taken back, in bytes.
    pub memory_working_set: Option<u64>,
    /// All memory in use, in bytes.
    pub memory_usage: Option<u64>,
}
