//! Between the model's words and those of `containers`.
//!
//! In: model types and what the component answered. Out: the other side's types. Invariant: what the guest says is bounded before it is kept: names
//! have a length, lists of one pod have one, text is clean. Pure.

use pluglet_model::pod::RegistryCredential;
use pluglet_model::provider::Error;
use pluglet_model::runtime::{
    ContainerConfig, ContainerState, ContainerStatus, ImageStatus, MountSource, PodContents, Propagation, Resources,
    SandboxConfig, SandboxStatus, Security, SecurityProfile,
};

use super::{MAX_NAME_BYTES, MAX_TEXT_BYTES, key, pod_ref};
use crate::bindings::exports::pluglet::provider::containers as wit;
use crate::bindings::pluglet::provider::types;
use crate::capabilities::log::clean;

/// Sandboxes, and containers, of one pod: each container leaves one or two, and a pod has at most some tens. What a guest invents is held for as
/// long as the pod lives.
const MAX_OF_ONE_POD: usize = 1024;

/// Longest name that an engine gives: ids have 64 characters, image names with a registry some hundred.
const MAX_ID_BYTES: usize = 1024;

/// Labels of a container: the host writes a handful.
const MAX_LABELS: usize = 32;

/// Tags and digests of one image.
const MAX_TAGS: usize = 256;

/// Addresses of a sandbox: one of each family, in theory some more.
const MAX_ADDRESSES: usize = 16;

pub(crate) fn sandbox_config(config: &SandboxConfig) -> wit::SandboxConfig {
    let dns = |dns: &pluglet_model::runtime::DnsConfig| wit::DnsConfig {
        servers: dns.servers.clone(),
        searches: dns.searches.clone(),
        options: dns.options.clone(),
    };
    let port = |port: &pluglet_model::runtime::PortMapping| wit::PortMapping {
        container_port: port.container_port,
        host_port: port.host_port,
        protocol: port.protocol.clone(),
        host_ip: port.host_ip.clone(),
    };
    let memory = |volume: &pluglet_model::runtime::MemoryVolume| wit::MemoryVolume {
        name: volume.name.clone(),
        size_limit: volume.size_limit,
        group: volume.group,
    };
    wit::SandboxConfig {
        pod: pod_ref(&config.key, config.generation),
        attempt: config.attempt,
        hostname: config.hostname.clone(),
        dns: config.dns.as_ref().map(dns),
        ports: config.ports.iter().map(port).collect(),
        host_network: config.host_network,
        host_pid: config.host_pid,
        host_ipc: config.host_ipc,
        share_processes: config.share_processes,
        sysctls: config.sysctls.clone(),
        memory_volumes: config.memory_volumes.iter().map(memory).collect(),
    }
}

pub(crate) fn container_config(config: &ContainerConfig) -> wit::ContainerConfig {
    wit::ContainerConfig {
        name: config.name.clone(),
        attempt: config.attempt,
        image: config.image.clone(),
        image_id: config.image_id.clone(),
        command: config.command.clone(),
        args: config.args.clone(),
        working_directory: config.working_directory.clone(),
        env: config.env.clone(),
        mounts: config.mounts.iter().map(mount).collect(),
        stdin: config.stdin,
        stdin_once: config.stdin_once,
        tty: config.tty,
        labels: config.labels.clone(),
        resources: resources(&config.resources),
        security: security(&config.security),
    }
}

pub(crate) fn resources(resources: &Resources) -> wit::Resources {
    wit::Resources {
        cpu_shares: resources.cpu_shares,
        cpu_quota: resources.cpu_quota,
        cpu_period: resources.cpu_period,
        memory_limit: resources.memory_limit,
        oom_score_adjust: resources.oom_score_adjust,
    }
}

fn security(security: &Security) -> wit::Security {
    wit::Security {
        user: security.user.clone(),
        supplemental_groups: security.supplemental_groups.clone(),
        privileged: security.privileged,
        add_capabilities: security.add_capabilities.clone(),
        drop_capabilities: security.drop_capabilities.clone(),
        read_only_root: security.read_only_root,
        no_new_privileges: security.no_new_privileges,
        seccomp: profile(&security.seccomp),
        apparmor: profile(&security.apparmor),
        unmasked_proc: security.unmasked_proc,
        target_container: security.target_container.clone(),
    }
}

fn profile(profile: &SecurityProfile) -> wit::SecurityProfile {
    match profile {
        SecurityProfile::Default => wit::SecurityProfile::Default,
        SecurityProfile::Unconfined => wit::SecurityProfile::Unconfined,
        SecurityProfile::Custom(custom) => wit::SecurityProfile::Custom(custom.clone()),
    }
}

fn mount(mount: &pluglet_model::runtime::Mount) -> wit::Mount {
    wit::Mount {
        container_path: mount.container_path.clone(),
        source: match &mount.source {
            MountSource::Path(path) => wit::MountSource::Path(path.clone()),
            MountSource::Memory { volume, directory } => wit::MountSource::Memory((volume.clone(), directory.clone())),
        },
        read_only: mount.read_only,
        propagation: match mount.propagation {
            Propagation::Private => wit::Propagation::Private,
            Propagation::HostToContainer => wit::Propagation::HostToContainer,
            Propagation::Bidirectional => wit::Propagation::Bidirectional,
        },
    }
}

pub(crate) fn credentials(credentials: &[RegistryCredential]) -> Vec<types::RegistryCredential> {
    let credential = |credential: &RegistryCredential| types::RegistryCredential {
        registry: credential.registry.clone(),
        username: credential.username.clone(),
        password: credential.password.clone(),
    };
    credentials.iter().map(credential).collect()
}

pub(crate) fn sandbox_status(status: wit::SandboxStatus) -> SandboxStatus {
    SandboxStatus {
        id: id(&status.id),
        attempt: status.attempt,
        ready: status.ready,
        created_unix_ns: status.created_unix_ns,
        addresses: status.addresses.iter().take(MAX_ADDRESSES).map(|text| clean(text, MAX_NAME_BYTES)).collect(),
    }
}

pub(crate) fn container_status(status: wit::ContainerStatus) -> ContainerStatus {
    let label = |(name, value): &(String, String)| (clean(name, MAX_NAME_BYTES), clean(value, MAX_TEXT_BYTES));
    ContainerStatus {
        id: id(&status.id),
        sandbox_id: id(&status.sandbox_id),
        name: clean(&status.name, MAX_NAME_BYTES),
        attempt: status.attempt,
        state: match status.state {
            wit::ContainerState::Created => ContainerState::Created,
            wit::ContainerState::Running => ContainerState::Running,
            wit::ContainerState::Exited => ContainerState::Exited,
            wit::ContainerState::Unknown => ContainerState::Unknown,
        },
        image: id(&status.image),
        image_id: id(&status.image_id),
        created_unix_ns: status.created_unix_ns,
        started_unix_ns: status.started_unix_ns,
        finished_unix_ns: status.finished_unix_ns,
        exit_code: status.exit_code,
        reason: clean(&status.reason, MAX_NAME_BYTES),
        message: clean(&status.message, MAX_TEXT_BYTES),
        labels: status.labels.iter().take(MAX_LABELS).map(label).collect(),
    }
}

/// A pod's contents. One with too many is an error for the whole list: half of it would look like containers that are gone.
pub(crate) fn contents(contents: wit::PodContents) -> Result<PodContents, Error> {
    let key = key(&contents.pod);
    let most = contents.sandboxes.len().max(contents.containers.len());
    if most > MAX_OF_ONE_POD {
        return Err(Error::Internal(format!("it lists {most} containers of {key}, {MAX_OF_ONE_POD} are allowed")));
    }
    Ok(PodContents {
        key,
        sandboxes: contents.sandboxes.into_iter().map(sandbox_status).collect(),
        containers: contents.containers.into_iter().map(container_status).collect(),
    })
}

pub(crate) fn image_status(image: wit::ImageStatus) -> ImageStatus {
    let names = |names: Vec<String>| names.iter().take(MAX_TAGS).map(|name| id(name)).collect();
    ImageStatus {
        id: id(&image.id),
        tags: names(image.tags),
        digests: names(image.digests),
        size: image.size,
        user: clean(&image.user, MAX_NAME_BYTES),
    }
}

/// An id goes back to the guest, into statuses and into logs.
pub(crate) fn id(text: &str) -> String {
    clean(text, MAX_ID_BYTES)
}
