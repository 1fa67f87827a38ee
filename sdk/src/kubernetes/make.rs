//! Whole statuses of simple pods.
//!
//! In: a pod and a time. Out: a [`PodStatus`] with a status for every container of the spec. Invariant: all containers share one
//! fate; init containers have completed before the others run, and sidecars among them run on.

use super::{Container, ContainerState, ContainerStateTerminated, ContainerStatus, Phase, Pod, PodIp, PodStatus, Time};

impl PodStatus {
    /// Every container waits for `reason`, such as `ContainerCreating`.
    #[must_use]
    pub fn waiting(pod: &Pod, reason: &str, message: Option<&str>) -> Self {
        let waiting = |container: &Container| {
            ContainerStatus::of(container, ContainerState::waiting(reason, message.map(str::to_owned)))
        };
        Self {
            phase: Phase::Pending,
            init_container_statuses: pod.spec.init_containers.iter().map(waiting).collect(),
            container_statuses: pod.spec.containers.iter().map(waiting).collect(),
            ..Self::default()
        }
    }

    /// Every container runs and is ready since `started_at`.
    #[must_use]
    pub fn running(pod: &Pod, started_at: Time) -> Self {
        let running = |container: &Container| ContainerStatus::of(container, ContainerState::running(started_at));
        let init = |container: &Container| {
            if container.is_sidecar() { running(container) } else { completed(container, started_at) }
        };
        Self {
            phase: Phase::Running,
            start_time: Some(started_at),
            init_container_statuses: pod.spec.init_containers.iter().map(init).collect(),
            container_statuses: pod.spec.containers.iter().map(running).collect(),
            ..Self::default()
        }
    }

    /// Every container has ended with `exit_code`. `reason` is that of the containers: `Completed`, `Error`, …
    #[must_use]
    pub fn terminated(pod: &Pod, exit_code: i32, reason: &str, started: Time, finished: Time) -> Self {
        let ended = |container: &Container| {
            let end = ContainerStateTerminated {
                exit_code,
                reason: Some(reason.to_owned()),
                started_at: Some(started),
                finished_at: Some(finished),
                ..ContainerStateTerminated::default()
            };
            ContainerStatus::of(container, ContainerState::terminated(end))
        };
        let init = |container: &Container| {
            if container.is_sidecar() { ended(container) } else { completed(container, started) }
        };
        Self {
            phase: if exit_code == 0 { Phase::Succeeded } else { Phase::Failed },
            start_time: Some(started),
            init_container_statuses: pod.spec.init_containers.iter().map(init).collect(),
            container_statuses: pod.spec.containers.iter().map(ended).collect(),
            ..Self::default()
        }
    }

    /// Set the pod's only address.
    #[must_use]
    pub fn with_ip(mut self, ip: impl Into<String>) -> Self {
        let ip = ip.into();
        self.pod_ips = vec![PodIp { ip: ip.clone() }];
        self.pod_ip = Some(ip);
        self
    }

    /// Whether every container has ended, so that nothing of the pod runs.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        let ended = |status: &ContainerStatus| status.state.terminated.is_some();
        self.container_statuses.iter().all(ended) && self.init_container_statuses.iter().all(ended)
    }
}

impl ContainerStatus {
    /// A container of the spec in its first run. It is ready when it runs.
    #[must_use]
    pub fn of(container: &Container, state: ContainerState) -> Self {
        let running = state.running.is_some();
        Self {
            name: container.name.clone(),
            image: container.image.clone(),
            ready: running,
            started: Some(running),
            state,
            ..Self::default()
        }
    }
}

/// An init container that has done its work in no time. Kubernetes calls it ready from then on.
fn completed(container: &Container, at: Time) -> ContainerStatus {
    let end = ContainerStateTerminated {
        reason: Some("Completed".to_owned()),
        started_at: Some(at),
        finished_at: Some(at),
        ..ContainerStateTerminated::default()
    };
    let status = ContainerStatus::of(container, ContainerState::terminated(end));
    ContainerStatus { ready: true, ..status }
}
