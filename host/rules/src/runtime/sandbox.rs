//! What the containers of a pod share.
//!
//! In: a pod, what the node knows of names. Out: a [`SandboxConfig`]. Invariant: the same pod and attempt always give the same.

use k8s_openapi::api::core::v1::{Container, ContainerPort, Pod, PodSpec, Volume};
use pluglet_model::PodKey;
use pluglet_model::runtime::{DnsConfig, MemoryVolume, PortMapping, SandboxConfig};

use crate::quantity::Quantity;

/// A host name in the kernel.
const LONGEST_HOSTNAME: usize = 63;

/// What the node knows of names.
#[derive(Clone, Debug, Default)]
pub struct NodeNames {
    /// The node's own.
    pub node: String,
    /// Addresses of the cluster's DNS servers. None: `ClusterFirst` is as good as `Default`.
    pub cluster_dns: Vec<String>,
    /// Such as `cluster.local`.
    pub cluster_domain: String,
}

/// Makes it.
#[must_use]
pub fn config(key: &PodKey, pod: &Pod, attempt: u32, names: &NodeNames) -> SandboxConfig {
    let nothing = PodSpec::default();
    let spec = pod.spec.as_ref().unwrap_or(&nothing);
    let host_network = spec.host_network == Some(true);
    SandboxConfig {
        key: key.clone(),
        generation: pod.metadata.generation.and_then(|generation| u64::try_from(generation).ok()).unwrap_or(0),
        attempt,
        hostname: if host_network { names.node.clone() } else { hostname(key, spec, names) },
        dns: dns(key, spec, names),
        ports: if host_network { vec![] } else { all(spec).flat_map(ports).filter_map(mapping).collect() },
        host_network,
        host_pid: spec.host_pid == Some(true),
        host_ipc: spec.host_ipc == Some(true),
        share_processes: spec.share_process_namespace == Some(true),
        sysctls: spec
            .security_context
            .iter()
            .flat_map(|context| context.sysctls.iter().flatten())
            .map(|sysctl| (sysctl_name(&sysctl.name), sysctl.value.clone()))
            .collect(),
        memory_volumes: spec.volumes.iter().flatten().filter_map(|volume| memory(spec, volume)).collect(),
    }
}

/// With dots between its parts: where the first separator is a slash, slashes and dots change places (`NormalizeName`).
#[must_use]
pub fn sysctl_name(name: &str) -> String {
    let first = name.chars().find(|c| matches!(c, '.' | '/'));
    let swap = |c| match c {
        '/' => '.',
        '.' => '/',
        other => other,
    };
    if first == Some('/') { name.chars().map(swap).collect() } else { name.to_owned() }
}

/// Host name and domain, as `/etc/hosts` has them.
#[must_use]
pub fn host_and_domain(key: &PodKey, spec: &PodSpec, names: &NodeNames) -> (String, String) {
    if let Some(name) = &spec.hostname_override {
        return (name.clone(), String::new());
    }
    let name = spec.hostname.clone().filter(|name| !name.is_empty()).unwrap_or_else(|| key.name.to_string());
    let name = name.get(..LONGEST_HOSTNAME).unwrap_or(&name).trim_end_matches(['-', '.']).to_owned();
    let subdomain = spec.subdomain.as_deref().filter(|subdomain| !subdomain.is_empty());
    let domain = subdomain.map(|subdomain| format!("{subdomain}.{}.svc.{}", key.namespace, names.cluster_domain));
    (name, domain.unwrap_or_default())
}

fn hostname(key: &PodKey, spec: &PodSpec, names: &NodeNames) -> String {
    let (name, domain) = host_and_domain(key, spec, names);
    if spec.set_hostname_as_fqdn == Some(true) && !domain.is_empty() { format!("{name}.{domain}") } else { name }
}

/// `pkg/kubelet/network/dns`: the policy first, then what the pod adds.
fn dns(key: &PodKey, spec: &PodSpec, names: &NodeNames) -> Option<DnsConfig> {
    let host_network = spec.host_network == Some(true);
    let of_cluster = match spec.dns_policy.as_deref().unwrap_or("ClusterFirst") {
        "None" => Some(DnsConfig::default()),
        "ClusterFirstWithHostNet" => of_cluster(key, names),
        "ClusterFirst" if !host_network => of_cluster(key, names),
        _ => None,
    };
    let Some(own) = &spec.dns_config else { return of_cluster };
    let mut config = of_cluster.unwrap_or_default();
    add(&mut config.servers, own.nameservers.iter().flatten());
    add(&mut config.searches, own.searches.iter().flatten());
    for option in own.options.iter().flatten() {
        let Some(name) = &option.name else { continue };
        config.options.retain(|known| known.split(':').next() != Some(name));
        config.options.push(option.value.as_ref().map_or_else(|| name.clone(), |value| format!("{name}:{value}")));
    }
    Some(config)
}

fn of_cluster(key: &PodKey, names: &NodeNames) -> Option<DnsConfig> {
    let domain = &names.cluster_domain;
    (!names.cluster_dns.is_empty()).then(|| DnsConfig {
        servers: names.cluster_dns.clone(),
        searches: vec![format!("{}.svc.{domain}", key.namespace), format!("svc.{domain}"), domain.clone()],
        options: vec!["ndots:5".to_owned()],
    })
}

fn add<'a>(list: &mut Vec<String>, more: impl Iterator<Item = &'a String>) {
    for item in more {
        if !list.contains(item) {
            list.push(item.clone());
        }
    }
}

/// Those that run side by side.
fn all(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    let sidecars = spec.init_containers.iter().flatten();
    spec.containers.iter().chain(sidecars.filter(|container| container.restart_policy.as_deref() == Some("Always")))
}

fn ports(container: &Container) -> impl Iterator<Item = &ContainerPort> {
    container.ports.iter().flatten()
}

fn mapping(port: &ContainerPort) -> Option<PortMapping> {
    Some(PortMapping {
        container_port: u16::try_from(port.container_port).ok()?,
        host_port: port.host_port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0)?,
        protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
        host_ip: port.host_ip.clone().unwrap_or_default(),
    })
}

fn memory(spec: &PodSpec, volume: &Volume) -> Option<MemoryVolume> {
    let empty = volume.empty_dir.as_ref()?;
    if !is_in_memory(volume) {
        return None;
    }
    let limit = empty.size_limit.as_ref().and_then(|limit| Quantity::parse(&limit.0).ok());
    let size_limit = limit.and_then(|limit| u64::try_from(limit.value()).ok()).filter(|limit| *limit > 0);
    let group = spec.security_context.as_ref().and_then(|context| context.fs_group);
    let group = group.and_then(|group| u32::try_from(group).ok());
    Some(MemoryVolume { name: volume.name.clone(), size_limit, group })
}

/// Whether a volume is a tmpfs.
#[must_use]
pub fn is_in_memory(volume: &Volume) -> bool {
    volume.empty_dir.as_ref().is_some_and(|empty| empty.medium.as_deref() == Some("Memory"))
}
