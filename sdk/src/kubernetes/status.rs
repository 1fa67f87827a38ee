//! The pod as the backend sees it.
//!
//! In: what runs. Out: `v1.PodStatus` JSON. Invariant: exactly one case of a container's state is told; a field without a value is
//! left out.

use serde::{Deserialize, Serialize};

use super::Time;

/// A `v1.PodStatus`, as far as the host reads it. The host computes the conditions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodStatus {
    /// Where the pod is in its life.
    pub phase: Phase,
    /// One word in UpperCamelCase: why it is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When the provider took the pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// The pod's main address.
    #[serde(rename = "podIP", skip_serializing_if = "Option::is_none")]
    pub pod_ip: Option<String>,
    /// All its addresses, the main one first.
    #[serde(rename = "podIPs", skip_serializing_if = "Vec::is_empty")]
    pub pod_ips: Vec<PodIp>,
    /// One for each init container of the spec.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub init_container_statuses: Vec<ContainerStatus>,
    /// One for each container of the spec.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub container_statuses: Vec<ContainerStatus>,
}

/// Where a pod is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Accepted, but not all containers have been started.
    #[default]
    Pending,
    /// All containers have been started and at least one runs or will run again.
    Running,
    /// All containers have ended with exit code 0 and none will run again.
    Succeeded,
    /// All containers have ended, one of them badly, and none will run again.
    Failed,
    /// The backend cannot be asked.
    Unknown,
}

/// One address of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodIp {
    /// IPv4 or IPv6.
    pub ip: String,
}

/// A `v1.ContainerStatus`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ContainerStatus {
    /// As in the spec.
    pub name: String,
    /// What it is doing.
    pub state: ContainerState,
    /// How its last run before the present one ended.
    #[serde(skip_serializing_if = "ContainerState::is_empty")]
    pub last_state: ContainerState,
    /// Whether it can serve.
    pub ready: bool,
    /// How often it was started again.
    pub restart_count: u32,
    /// The image reference that runs.
    pub image: String,
    /// The image by digest; may be empty.
    #[serde(rename = "imageID")]
    pub image_id: String,
    /// `<backend>://<id>` of the present run, or of the last one.
    #[serde(rename = "containerID", skip_serializing_if = "Option::is_none")]
    pub container_id: Option<String>,
    /// Whether it has started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<bool>,
}

/// A `v1.ContainerState`: one of the three.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerState {
    /// It does not run yet, or not now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<ContainerStateWaiting>,
    /// It runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running: Option<ContainerStateRunning>,
    /// It has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terminated: Option<ContainerStateTerminated>,
}

impl ContainerState {
    /// Nothing is told, as in the `lastState` of a first run.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_none() && self.running.is_none() && self.terminated.is_none()
    }

    /// It does not run. `reason` is one word, such as `ContainerCreating`.
    pub fn waiting(reason: impl Into<String>, message: Option<String>) -> Self {
        Self { waiting: Some(ContainerStateWaiting { reason: Some(reason.into()), message }), ..Self::default() }
    }

    /// It runs since `started_at`.
    #[must_use]
    pub fn running(started_at: Time) -> Self {
        Self { running: Some(ContainerStateRunning { started_at: Some(started_at) }), ..Self::default() }
    }

    /// It has ended.
    #[must_use]
    pub fn terminated(terminated: ContainerStateTerminated) -> Self {
        Self { terminated: Some(terminated), ..Self::default() }
    }
}

/// Why a container does not run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerStateWaiting {
    /// One word, such as `ContainerCreating` or `CrashLoopBackOff`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A container that runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ContainerStateRunning {
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
}

/// A container that has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ContainerStateTerminated {
    /// 0 for success; 128 + n where signal n ended it.
    pub exit_code: i32,
    /// `Completed`, `Error`, `OOMKilled`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When this run began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// The run's container ID.
    #[serde(rename = "containerID", skip_serializing_if = "Option::is_none")]
    pub container_id: Option<String>,
}
