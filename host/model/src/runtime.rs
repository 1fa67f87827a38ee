//! What the host asks of a backend that knows containers and not pods: the [`Runtime`] trait, the CRI in short.
//!
//! In: sandboxes and containers to make. Out: how they are. Invariant: callers keep at most one call under way for one sandbox or container, but for
//! [`Runtime::stop_container`], and every call may be made twice.
//!
//! The trait mirrors `wit/containers.wit`, which says for each function who owns what, which errors it may give and which deadline it has. Sessions go
//! through [`Provider`](crate::provider::Provider), with the container's id in place of its name.

use std::time::Duration;

use async_trait::async_trait;

use crate::PodKey;
use crate::pod::RegistryCredential;
use crate::provider::Error;

/// A container engine, as the host's driver sees it.
#[async_trait]
pub trait Runtime: Send + Sync + 'static {
    /// Make a sandbox and start it.
    async fn create_sandbox(&self, config: &SandboxConfig) -> Result<SandboxStatus, Error>;
    /// Stop what the sandbox itself consists of.
    async fn stop_sandbox(&self, key: &PodKey, id: &str) -> Result<(), Error>;
    /// Remove it with all that is in it.
    async fn remove_sandbox(&self, key: &PodKey, id: &str) -> Result<(), Error>;
    /// Make a container; answers its id.
    async fn create_container(
        &self,
        sandbox_id: &str,
        sandbox: &SandboxConfig,
        config: &ContainerConfig,
    ) -> Result<String, Error>;
    /// Start it; answers how it is then.
    async fn start_container(&self, key: &PodKey, id: &str) -> Result<ContainerStatus, Error>;
    /// Stop it; answers when it has ended.
    async fn stop_container(&self, key: &PodKey, id: &str, grace: Duration) -> Result<(), Error>;
    /// Remove it.
    async fn remove_container(&self, key: &PodKey, id: &str) -> Result<(), Error>;
    /// Change what it may use.
    async fn update_container(&self, key: &PodKey, id: &str, resources: &Resources) -> Result<(), Error>;
    /// How it is.
    async fn container(&self, key: &PodKey, id: &str) -> Result<ContainerStatus, Error>;
    /// All that there is of one pod.
    async fn pod(&self, key: &PodKey) -> Result<PodContents, Error>;
    /// All that there is.
    async fn pods(&self) -> Result<Vec<PodContents>, Error>;
    /// An image that is there.
    async fn image(&self, key: &PodKey, image: &str) -> Result<Option<ImageStatus>, Error>;
    /// Pull an image.
    async fn pull(&self, key: &PodKey, image: &str, credentials: &[RegistryCredential]) -> Result<ImageStatus, Error>;
    /// All images.
    async fn images(&self) -> Result<Vec<ImageStatus>, Error>;
    /// Remove an image.
    async fn remove_image(&self, id: &str) -> Result<(), Error>;
}

/// What the containers of a pod share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxConfig {
    /// Whose.
    pub key: PodKey,
    /// `metadata.generation`.
    pub generation: u64,
    /// Counts the sandboxes of this pod, from 0.
    pub attempt: u32,
    /// The host name of all containers.
    pub hostname: String,
    /// None: what the engine does by itself.
    pub dns: Option<DnsConfig>,
    /// Ports of the machine that lead to it.
    pub ports: Vec<PortMapping>,
    /// Use the network of the machine.
    pub host_network: bool,
    /// Use the processes of the machine.
    pub host_pid: bool,
    /// Use the IPC of the machine.
    pub host_ipc: bool,
    /// The containers see each other's processes.
    pub share_processes: bool,
    /// Kernel parameters of its namespaces.
    pub sysctls: Vec<(String, String)>,
    /// tmpfs volumes that live as long as the sandbox.
    pub memory_volumes: Vec<MemoryVolume>,
}

/// `/etc/resolv.conf`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DnsConfig {
    /// Addresses.
    pub servers: Vec<String>,
    /// Search domains.
    pub searches: Vec<String>,
    /// `name` or `name:value`.
    pub options: Vec<String>,
}

/// A port of the machine that leads to one of the pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortMapping {
    /// In the pod.
    pub container_port: u16,
    /// On the machine.
    pub host_port: u16,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// Empty: all addresses.
    pub host_ip: String,
}

/// A tmpfs of a sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryVolume {
    /// As in `spec.volumes[].name`.
    pub name: String,
    /// Bytes.
    pub size_limit: Option<u64>,
    /// Whose it is.
    pub group: Option<u32>,
}

/// One run of a container.
#[derive(Clone, PartialEq, Eq)]
pub struct ContainerConfig {
    /// As in the spec.
    pub name: String,
    /// Counts its runs, from 0.
    pub attempt: u32,
    /// As the pod's author wrote it.
    pub image: String,
    /// What is to be run.
    pub image_id: String,
    /// In place of the image's entrypoint.
    pub command: Vec<String>,
    /// In place of the image's command.
    pub args: Vec<String>,
    /// Empty: the image's.
    pub working_directory: String,
    /// Values may be secrets: never printed.
    pub env: Vec<(String, String)>,
    /// Files and directories.
    pub mounts: Vec<Mount>,
    /// Keep standard input open.
    pub stdin: bool,
    /// Until the first session that has it ends.
    pub stdin_once: bool,
    /// Give it a terminal.
    pub tty: bool,
    /// Come back in [`ContainerStatus::labels`].
    pub labels: Vec<(String, String)>,
    /// What it may use.
    pub resources: Resources,
    /// What it may do.
    pub security: Security,
}

/// Without what may be secret.
impl std::fmt::Debug for ContainerConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ContainerConfig")
            .field("name", &self.name)
            .field("attempt", &self.attempt)
            .field("image", &self.image)
            .field("mounts", &self.mounts)
            .field("resources", &self.resources)
            .field("security", &self.security)
            .finish_non_exhaustive()
    }
}

/// What a container may use. None: no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// Relative weight.
    pub cpu_shares: Option<u64>,
    /// Microseconds in each period.
    pub cpu_quota: Option<u64>,
    /// Microseconds.
    pub cpu_period: Option<u64>,
    /// Bytes.
    pub memory_limit: Option<u64>,
    /// −1000 to 1000.
    pub oom_score_adjust: i32,
}

/// What a container may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "mirrors the record of the contract")]
pub struct Security {
    /// `1000`, `1000:2000` or `web`. Empty: the image's.
    pub user: String,
    /// More groups.
    pub supplemental_groups: Vec<u32>,
    /// All of the machine.
    pub privileged: bool,
    /// Without `CAP_`.
    pub add_capabilities: Vec<String>,
    /// Without `CAP_`.
    pub drop_capabilities: Vec<String>,
    /// The image's files cannot be changed.
    pub read_only_root: bool,
    /// No more rights than it starts with.
    pub no_new_privileges: bool,
    /// System calls.
    pub seccomp: SecurityProfile,
    /// Mandatory access control.
    pub apparmor: SecurityProfile,
    /// `/proc` with nothing masked.
    pub unmasked_proc: bool,
    /// See the processes of this container: its id.
    pub target_container: Option<String>,
}

/// A profile for seccomp or AppArmor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SecurityProfile {
    /// What the engine does by itself.
    #[default]
    Default,
    /// None at all.
    Unconfined,
    /// A name, or for seccomp the profile's JSON.
    Custom(String),
}

/// A file or directory in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where.
    pub container_path: String,
    /// What.
    pub source: MountSource,
    /// It cannot be written to.
    pub read_only: bool,
    /// Which mounts below it are seen.
    pub propagation: Propagation,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountSource {
    /// A file or directory of this machine.
    Path(String),
    /// A directory in one of the sandbox's memory volumes.
    Memory {
        /// Its name.
        volume: String,
        /// Relative; may be empty.
        directory: String,
    },
}

/// `mountPropagation`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Propagation {
    /// None.
    #[default]
    Private,
    /// Those of the machine in the container.
    HostToContainer,
    /// Both.
    Bidirectional,
}

/// How a container is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerState {
    /// Made, never started.
    Created,
    /// It runs.
    Running,
    /// It has ended.
    Exited,
    /// The engine cannot tell.
    Unknown,
}

/// How a sandbox is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxStatus {
    /// The engine's name of it.
    pub id: String,
    /// Counts the sandboxes of its pod.
    pub attempt: u32,
    /// Containers can be started in it.
    pub ready: bool,
    /// Nanoseconds since 1970.
    pub created_unix_ns: u64,
    /// None yet, or with the machine's network.
    pub addresses: Vec<String>,
}

/// How a container is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerStatus {
    /// The engine's name of it.
    pub id: String,
    /// Where it is.
    pub sandbox_id: String,
    /// As in the spec.
    pub name: String,
    /// Counts its runs.
    pub attempt: u32,
    /// Whether it runs.
    pub state: ContainerState,
    /// As the pod's author wrote it.
    pub image: String,
    /// What it runs.
    pub image_id: String,
    /// Nanoseconds since 1970.
    pub created_unix_ns: u64,
    /// Nanoseconds since 1970.
    pub started_unix_ns: Option<u64>,
    /// Nanoseconds since 1970.
    pub finished_unix_ns: Option<u64>,
    /// Where it has ended.
    pub exit_code: Option<i32>,
    /// `OOMKilled` where that is known, else empty.
    pub reason: String,
    /// Why it could not be started.
    pub message: String,
    /// As in its config.
    pub labels: Vec<(String, String)>,
}

impl ContainerStatus {
    /// The value of a label.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// All that there is of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodContents {
    /// Which.
    pub key: PodKey,
    /// In no order.
    pub sandboxes: Vec<SandboxStatus>,
    /// In no order.
    pub containers: Vec<ContainerStatus>,
}

impl PodContents {
    /// Of a pod of which there is nothing.
    #[must_use]
    pub const fn none(key: PodKey) -> Self {
        Self { key, sandboxes: vec![], containers: vec![] }
    }
}

/// An image that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageStatus {
    /// What identifies its content.
    pub id: String,
    /// Its names.
    pub tags: Vec<String>,
    /// Its names by content.
    pub digests: Vec<String>,
    /// Bytes.
    pub size: u64,
    /// The user that it runs as, as written in it; empty for root.
    pub user: String,
}
