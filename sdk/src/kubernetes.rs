//! Slim views of Kubernetes objects.
//!
//! In: v1 JSON. Out: the fields that providers need. Invariant: the names in JSON are Kubernetes' own; fields that are not listed
//! here are skipped when reading. Read into a type of your own with [`crate::ResolvedPod::pod_as`] when you need others.

mod make;
mod pod;
mod quantity;
mod status;
mod time;

pub use pod::{
    Container, ContainerPort, EnvVar, ObjectMeta, Pod, PodSpec, Resources, RestartPolicy, SecurityContext, VolumeMount,
};
pub use quantity::Quantity;
pub use status::{
    ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, Phase,
    PodIp, PodStatus,
};
pub use time::Time;
