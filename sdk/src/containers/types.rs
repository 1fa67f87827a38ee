//! The words of [`Runtime`](super::Runtime).
//!
//! In: what the host asks for. Out: what the engine tells. Invariant: the shapes of `wit/containers.wit`, in Rust.

use crate::pod::PodRef;

/// What the containers of a pod share: an address, a host name, `/dev/shm`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SandboxConfig {
    /// Whose.
    pub pod: PodRef,
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
    /// tmpfs volumes that live as long as the sandbox, see [`MountSource::Memory`].
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryVolume {
    /// As in `spec.volumes[].name`.
    pub name: String,
    /// Bytes. None: no limit of its own.
    pub size_limit: Option<u64>,
    /// It and all that is made in it belongs to this group, which may write. None: everybody may.
    pub group: Option<u32>,
}

/// One run of a container. It is made once and started once; a restart is another attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerConfig {
    /// As in the pod's spec.
    pub name: String,
    /// Counts the runs of this container, from 0.
    pub attempt: u32,
    /// As the pod's author wrote it.
    pub image: String,
    /// What is to be run: the `id` that [`super::Runtime::image`] or [`super::Runtime::pull`] answered.
    pub image_id: String,
    /// In place of the image's entrypoint. Empty: the image's.
    pub command: Vec<String>,
    /// In place of the image's command; where `command` is set and this is empty there are no arguments.
    pub args: Vec<String>,
    /// Empty: the image's.
    pub working_directory: String,
    /// In addition to the image's, which they replace where the names are equal.
    pub env: Vec<(String, String)>,
    /// Files and directories.
    pub mounts: Vec<Mount>,
    /// Keep standard input open.
    pub stdin: bool,
    /// The end of the first attached session's input is the end of the container's.
    pub stdin_once: bool,
    /// Give it a terminal.
    pub tty: bool,
    /// A few short words that come back in [`ContainerStatus::labels`] as they are.
    pub labels: Vec<(String, String)>,
    /// What it may use.
    pub resources: Resources,
    /// What it may do.
    pub security: Security,
}

/// What a container may use. None: no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// Relative weight, as `cpu.shares` of cgroup v1.
    pub cpu_shares: Option<u64>,
    /// Microseconds of CPU in each period.
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
    /// Without `CAP_`; `ALL` too.
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
    /// See the processes of this container of the pod: its id.
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
    /// A file or directory of the machine that host and engine share. It exists.
    Path(String),
    /// One of the sandbox's memory volumes, and a directory in it, which may be empty. One that is not there is made like the volume itself.
    Memory {
        /// Its name.
        volume: String,
        /// Relative; may be empty.
        directory: String,
    },
}

/// Which mounts below a mount are seen on the other side (`mountPropagation`).
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContainerState {
    /// Made, never started.
    Created,
    /// It runs.
    Running,
    /// It has ended.
    Exited,
    /// The engine cannot tell.
    #[default]
    Unknown,
}

/// How a sandbox is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SandboxStatus {
    /// The engine's name of it.
    pub id: String,
    /// As in its [`SandboxConfig`].
    pub attempt: u32,
    /// Containers can be started in it.
    pub ready: bool,
    /// Nanoseconds since 1970, UTC.
    pub created_unix_ns: u64,
    /// None yet, or with the machine's network.
    pub addresses: Vec<String>,
}

/// How a container is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerStatus {
    /// The engine's name of it.
    pub id: String,
    /// Where it is.
    pub sandbox_id: String,
    /// As in its [`ContainerConfig`].
    pub name: String,
    /// As in its [`ContainerConfig`].
    pub attempt: u32,
    /// Whether it runs.
    pub state: ContainerState,
    /// As in its [`ContainerConfig`].
    pub image: String,
    /// What it runs.
    pub image_id: String,
    /// Nanoseconds since 1970, UTC.
    pub created_unix_ns: u64,
    /// Nanoseconds since 1970, UTC.
    pub started_unix_ns: Option<u64>,
    /// Nanoseconds since 1970, UTC.
    pub finished_unix_ns: Option<u64>,
    /// Where it has ended.
    pub exit_code: Option<i32>,
    /// `OOMKilled` where that is known, else empty.
    pub reason: String,
    /// Why it could not be started, where the engine keeps that.
    pub message: String,
    /// As in its [`ContainerConfig`].
    pub labels: Vec<(String, String)>,
}

/// All that there is of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodContents {
    /// Which.
    pub pod: PodRef,
    /// In no order.
    pub sandboxes: Vec<SandboxStatus>,
    /// In no order.
    pub containers: Vec<ContainerStatus>,
}

/// An image that is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
