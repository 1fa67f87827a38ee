//! Between the contract's types of `containers` and the SDK's.
//!
//! In: generated records. Out: the SDK's types, and back. Invariant: values are moved, not copied.

use super::bindings::exports::pluglet::provider::containers as wit;
use crate::containers::{
    ContainerConfig, ContainerState, ContainerStatus, DnsConfig, ImageStatus, MemoryVolume, Mount, MountSource,
    PodContents, PortMapping, Propagation, Resources, SandboxConfig, SandboxStatus, Security, SecurityProfile,
};

impl From<wit::SandboxConfig> for SandboxConfig {
    fn from(config: wit::SandboxConfig) -> Self {
        let dns =
            |dns: wit::DnsConfig| DnsConfig { servers: dns.servers, searches: dns.searches, options: dns.options };
        let port = |port: wit::PortMapping| PortMapping {
            container_port: port.container_port,
            host_port: port.host_port,
            protocol: port.protocol,
            host_ip: port.host_ip,
        };
        let memory = |volume: wit::MemoryVolume| MemoryVolume {
            name: volume.name,
            size_limit: volume.size_limit,
            group: volume.group,
        };
        Self {
            pod: config.pod.into(),
            attempt: config.attempt,
            hostname: config.hostname,
            dns: config.dns.map(dns),
            ports: config.ports.into_iter().map(port).collect(),
            host_network: config.host_network,
            host_pid: config.host_pid,
            host_ipc: config.host_ipc,
            share_processes: config.share_processes,
            sysctls: config.sysctls,
            memory_volumes: config.memory_volumes.into_iter().map(memory).collect(),
        }
    }
}

impl From<wit::ContainerConfig> for ContainerConfig {
    fn from(config: wit::ContainerConfig) -> Self {
        Self {
            name: config.name,
            attempt: config.attempt,
            image: config.image,
            image_id: config.image_id,
            command: config.command,
            args: config.args,
            working_directory: config.working_directory,
            env: config.env,
            mounts: config.mounts.into_iter().map(Mount::from).collect(),
            stdin: config.stdin,
            stdin_once: config.stdin_once,
            tty: config.tty,
            labels: config.labels,
            resources: config.resources.into(),
            security: config.security.into(),
        }
    }
}

impl From<wit::Resources> for Resources {
    fn from(resources: wit::Resources) -> Self {
        Self {
            cpu_shares: resources.cpu_shares,
            cpu_quota: resources.cpu_quota,
            cpu_period: resources.cpu_period,
            memory_limit: resources.memory_limit,
            oom_score_adjust: resources.oom_score_adjust,
        }
    }
}

impl From<wit::Security> for Security {
    fn from(security: wit::Security) -> Self {
        Self {
            user: security.user,
            supplemental_groups: security.supplemental_groups,
            privileged: security.privileged,
            add_capabilities: security.add_capabilities,
            drop_capabilities: security.drop_capabilities,
            read_only_root: security.read_only_root,
            no_new_privileges: security.no_new_privileges,
            seccomp: security.seccomp.into(),
            apparmor: security.apparmor.into(),
            unmasked_proc: security.unmasked_proc,
            target_container: security.target_container,
        }
    }
}

impl From<wit::SecurityProfile> for SecurityProfile {
    fn from(profile: wit::SecurityProfile) -> Self {
        match profile {
            wit::SecurityProfile::Default => Self::Default,
            wit::SecurityProfile::Unconfined => Self::Unconfined,
            wit::SecurityProfile::Custom(profile) => Self::Custom(profile),
        }
    }
}

impl From<wit::Mount> for Mount {
    fn from(mount: wit::Mount) -> Self {
        Self {
            container_path: mount.container_path,
            source: match mount.source {
                wit::MountSource::Path(path) => MountSource::Path(path),
                wit::MountSource::Memory((volume, directory)) => MountSource::Memory { volume, directory },
            },
            read_only: mount.read_only,
            propagation: match mount.propagation {
                wit::Propagation::Private => Propagation::Private,
                wit::Propagation::HostToContainer => Propagation::HostToContainer,
                wit::Propagation::Bidirectional => Propagation::Bidirectional,
            },
        }
    }
}

impl From<SandboxStatus> for wit::SandboxStatus {
    fn from(status: SandboxStatus) -> Self {
        Self {
            id: status.id,
            attempt: status.attempt,
            ready: status.ready,
            created_unix_ns: status.created_unix_ns,
            addresses: status.addresses,
        }
    }
}

impl From<ContainerStatus> for wit::ContainerStatus {
    fn from(status: ContainerStatus) -> Self {
        Self {
            id: status.id,
            sandbox_id: status.sandbox_id,
            name: status.name,
            attempt: status.attempt,
            state: match status.state {
                ContainerState::Created => wit::ContainerState::Created,
                ContainerState::Running => wit::ContainerState::Running,
                ContainerState::Exited => wit::ContainerState::Exited,
                ContainerState::Unknown => wit::ContainerState::Unknown,
            },
            image: status.image,
            image_id: status.image_id,
            created_unix_ns: status.created_unix_ns,
            started_unix_ns: status.started_unix_ns,
            finished_unix_ns: status.finished_unix_ns,
            exit_code: status.exit_code,
            reason: status.reason,
            message: status.message,
            labels: status.labels,
        }
    }
}

impl From<PodContents> for wit::PodContents {
    fn from(pod: PodContents) -> Self {
        Self {
            pod: pod.pod.into(),
            sandboxes: pod.sandboxes.into_iter().map(Into::into).collect(),
            containers: pod.containers.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<ImageStatus> for wit::ImageStatus {
    fn from(image: ImageStatus) -> Self {
        Self { id: image.id, tags: image.tags, digests: image.digests, size: image.size, user: image.user }
    }
}
