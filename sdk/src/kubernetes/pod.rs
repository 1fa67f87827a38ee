//! The pod as its owner wrote it.
//!
//! In: `v1.Pod` JSON. Out: [`Pod`]. Invariant: a field that is missing reads as its default, so any pod of any version can be read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Time;

/// A `v1.Pod`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pod {
    /// Name, labels, annotations, …
    pub metadata: ObjectMeta,
    /// What to run.
    pub spec: PodSpec,
}

/// A `metav1.ObjectMeta`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ObjectMeta {
    /// Unique in time: the identity.
    pub uid: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Rises with each change of the spec.
    pub generation: u64,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// When the object was made.
    pub creation_timestamp: Option<Time>,
    /// By when it must be gone. None: nobody has deleted it.
    pub deletion_timestamp: Option<Time>,
    /// Seconds it was given to stop. None: nobody has deleted it.
    pub deletion_grace_period_seconds: Option<u64>,
}

/// A `v1.PodSpec`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodSpec {
    /// Containers that run before the others, and sidecars among them.
    pub init_containers: Vec<Container>,
    /// Containers.
    pub containers: Vec<Container>,
    /// What happens when a container ends.
    pub restart_policy: RestartPolicy,
    /// Seconds that containers get to stop.
    pub termination_grace_period_seconds: Option<u64>,
    /// Seconds that the pod may run.
    pub active_deadline_seconds: Option<u64>,
    /// The node.
    pub node_name: Option<String>,
    /// The pod's host name, where it is not its name.
    pub hostname: Option<String>,
    /// The pod's service account.
    pub service_account_name: Option<String>,
    /// Use the node's network.
    pub host_network: bool,
}

/// What happens when a container ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestartPolicy {
    /// It is started again.
    #[default]
    Always,
    /// It is started again when its exit code was not 0.
    OnFailure,
    /// Nothing.
    Never,
}

/// A `v1.Container`, as the host hands it over.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Container {
    /// Unique in the pod.
    pub name: String,
    /// Image reference.
    pub image: String,
    /// Takes the place of the image's entry point; empty: the image's own.
    pub command: Vec<String>,
    /// Arguments.
    pub args: Vec<String>,
    /// Where the command starts.
    pub working_dir: Option<String>,
    /// Environment.
    pub env: Vec<EnvVar>,
    /// Ports it listens on.
    pub ports: Vec<ContainerPort>,
    /// What it may use.
    pub resources: Resources,
    /// Where volumes appear.
    pub volume_mounts: Vec<VolumeMount>,
    /// `Always`, `IfNotPresent` or `Never`.
    pub image_pull_policy: Option<String>,
    /// Of an init container: `Always` makes it a sidecar.
    pub restart_policy: Option<RestartPolicy>,
    /// User and rights.
    pub security_context: Option<SecurityContext>,
    /// Keep standard input open.
    pub stdin: bool,
    /// Give it a terminal.
    pub tty: bool,
}

impl Container {
    /// Whether this init container goes on running beside the pod's containers.
    #[must_use]
    pub fn is_sidecar(&self) -> bool {
        self.restart_policy == Some(RestartPolicy::Always)
    }
}

/// A variable of the environment. The host has put the value in, wherever it came from; only the pod's own address is
/// [the provider's to fill in](crate::ResolvedPod::fill_pod_ips), and is empty before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EnvVar {
    /// Name.
    pub name: String,
    /// Value.
    pub value: String,
}

/// A port that a container listens on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ContainerPort {
    /// Its name; may be missing.
    pub name: Option<String>,
    /// Its number.
    pub container_port: u16,
    /// `TCP`, `UDP` or `SCTP`; missing means `TCP`.
    pub protocol: Option<String>,
}

/// Requests and limits: resource name → quantity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// What it gets in any case.
    pub requests: BTreeMap<String, String>,
    /// What it gets at most.
    pub limits: BTreeMap<String, String>,
}

/// Where a volume appears in a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct VolumeMount {
    /// The volume's name.
    pub name: String,
    /// Absolute path in the container.
    pub mount_path: String,
    /// Path inside the volume; missing: its root.
    pub sub_path: Option<String>,
    /// Whether writing fails.
    pub read_only: bool,
}

/// User and rights of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SecurityContext {
    /// User ID.
    pub run_as_user: Option<i64>,
    /// Group ID.
    pub run_as_group: Option<i64>,
    /// All rights on the machine.
    pub privileged: Option<bool>,
    /// Whether its own file system is read-only.
    pub read_only_root_filesystem: Option<bool>,
}
