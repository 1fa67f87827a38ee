//! Between the contract's types and the SDK's.
//!
//! In: generated records. Out: the SDK's types, and back. Invariant: values are moved, not copied.

use super::bindings::exports::pluglet::provider::{events, lifecycle, pods, stats};
use super::bindings::pluglet::provider::types;
use crate::events::Event;
use crate::pod::{PodRef, RegistryCredential, ResolvedPod, Volume, VolumeFile};
use crate::{Error, Feature, Info, Init, NodeFacts, PodStats, Retry};

impl From<types::PodRef> for PodRef {
    fn from(pod: types::PodRef) -> Self {
        Self { uid: pod.uid, namespace: pod.namespace, name: pod.name, generation: pod.generation }
    }
}

impl From<PodRef> for types::PodRef {
    fn from(pod: PodRef) -> Self {
        Self { uid: pod.uid, namespace: pod.namespace, name: pod.name, generation: pod.generation }
    }
}

impl From<Error> for types::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound => Self::NotFound,
            Error::AlreadyExists => Self::AlreadyExists,
            Error::Unsupported(text) => Self::Unsupported(text),
            Error::Invalid(text) => Self::Invalid(text),
            Error::Denied(text) => Self::Denied(text),
            Error::Unavailable(retry) => Self::Unavailable(retry.into()),
            Error::Quota(retry) => Self::Quota(retry.into()),
            Error::Internal(text) => Self::Internal(text),
            Error::Other { code, message } => Self::Other((code, message)),
        }
    }
}

impl From<Retry> for types::Retry {
    fn from(retry: Retry) -> Self {
        let retry_after_ms = retry.after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
        Self { message: retry.message, retry_after_ms }
    }
}

impl From<lifecycle::Init> for Init {
    fn from(init: lifecycle::Init) -> Self {
        let lifecycle::Init { node_name, cluster_id, config_json, handoff } = init;
        Self { node_name, cluster_id, config_json, handoff }
    }
}

impl From<Info> for lifecycle::Info {
    fn from(info: Info) -> Self {
        let features = info.features.into_iter().map(lifecycle::Features::from).collect();
        Self { features, volume_kinds: info.volume_kinds, node: info.node.into() }
    }
}

impl From<Feature> for lifecycle::Features {
    fn from(feature: Feature) -> Self {
        match feature {
            Feature::Update => Self::UPDATE,
            Feature::Watch => Self::WATCH,
            Feature::Logs => Self::LOGS,
            Feature::Exec => Self::EXEC,
            Feature::Attach => Self::ATTACH,
            Feature::PortForward => Self::PORT_FORWARD,
            Feature::Stats => Self::STATS,
            Feature::Refresh => Self::REFRESH,
            Feature::Restart => Self::RESTART,
            Feature::Probes => Self::PROBES,
            Feature::Containers => Self::CONTAINERS,
        }
    }
}

impl From<NodeFacts> for lifecycle::NodeFacts {
    fn from(node: NodeFacts) -> Self {
        let taint = |taint: crate::Taint| lifecycle::Taint { key: taint.key, value: taint.value, effect: taint.effect };
        let condition = |condition: crate::Condition| lifecycle::Condition {
            type_: condition.kind,
            status: condition.status,
            reason: condition.reason,
            message: condition.message,
        };
        Self {
            capacity: node.capacity.into_iter().collect(),
            allocatable: node.allocatable.into_iter().collect(),
            architecture: node.architecture,
            operating_system: node.operating_system,
            labels: node.labels.into_iter().collect(),
            taints: node.taints.into_iter().map(taint).collect(),
            conditions: node.conditions.into_iter().map(condition).collect(),
        }
    }
}

impl From<pods::ResolvedPod> for ResolvedPod {
    fn from(spec: pods::ResolvedPod) -> Self {
        Self {
            json: spec.pod,
            volumes: spec.volumes.into_iter().map(Volume::from).collect(),
            registry_credentials: spec.registry_credentials.into_iter().map(RegistryCredential::from).collect(),
        }
    }
}

impl From<types::RegistryCredential> for RegistryCredential {
    fn from(credential: types::RegistryCredential) -> Self {
        Self { registry: credential.registry, username: credential.username, password: credential.password }
    }
}

impl From<pods::Volume> for Volume {
    fn from(volume: pods::Volume) -> Self {
        let file = |file: pods::File| VolumeFile { path: file.path, mode: file.mode, bytes: file.bytes };
        Self { name: volume.name, files: volume.files.into_iter().map(file).collect() }
    }
}

impl From<Event> for events::Event {
    fn from(event: Event) -> Self {
        match event {
            Event::Status(pod, status) => Self::Status((pod.into(), status.into_json())),
            Event::Gone(pod) => Self::Gone(pod.into()),
            Event::Pod(event) => Self::PodEvent(events::PodEvent {
                pod: event.pod.into(),
                warning: event.warning,
                reason: event.reason,
                message: event.message,
            }),
            Event::ContainerChanged(pod, id) => Self::ContainerChanged((pod.into(), id)),
            Event::Node(node) => Self::Node(node.into()),
            Event::Resync => Self::Resync,
        }
    }
}

impl From<PodStats> for stats::PodStats {
    fn from(pod: PodStats) -> Self {
        let container = |container: crate::ContainerStats| stats::ContainerStats {
            name: container.name,
            time_unix_ms: container.time_unix_ms,
            start_time_unix_ms: container.start_time_unix_ms,
            cpu_usage_core_ns: container.cpu_usage_core_ns,
            cpu_usage_nano_cores: container.cpu_usage_nano_cores,
            memory_working_set: container.memory_working_set,
            memory_usage: container.memory_usage,
        };
        Self { pod: pod.pod.into(), containers: pod.containers.into_iter().map(container).collect() }
    }
}
