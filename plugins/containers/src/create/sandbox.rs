//! A sandbox: one container that sleeps, in whose namespaces the others run.
//!
//! In: the sandbox as the host describes it. Out: the JSON that makes it. Invariant: pure; what belongs to the pod as a whole (addresses, ports, name
//! server, host name, kernel parameters) is set here and nowhere else, because neither engine takes it from a container that joins.

use std::collections::BTreeMap;

use pluglet_sdk::{PortMapping, SandboxConfig};
use serde_json::{Value, json};

use super::{filled, no_healthcheck};
use crate::client::Dialect;
use crate::config::Config;
use crate::labels::Owner;
use crate::names;

/// Where the sandbox has the memory volumes. It does nothing with them, but they live while somebody has them.
const VOLUMES: &str = "/.pluglet";

pub(crate) fn body(dialect: Dialect, config: &Config, owner: &Owner, sandbox: &SandboxConfig) -> Value {
    let ports = if sandbox.host_network { &[][..] } else { &sandbox.ports };
    let hostname = if sandbox.host_network { "" } else { &sandbox.hostname };
    let exposed: BTreeMap<String, Value> = ports.iter().map(|port| (key(port), json!({}))).collect();
    let mut body = filled(vec![
        ("Image", json!(config.sandbox_image())),
        ("Entrypoint", json!(config.sandbox_command)),
        ("Hostname", json!(hostname)),
        ("Labels", json!(owner.of_sandbox(sandbox))),
        ("Healthcheck", no_healthcheck()),
        ("ExposedPorts", json!(exposed)),
    ]);
    body.insert("HostConfig".to_owned(), host_config(dialect, config, sandbox, ports));
    Value::Object(body)
}

fn host_config(dialect: Dialect, config: &Config, sandbox: &SandboxConfig, ports: &[PortMapping]) -> Value {
    let dns = sandbox.dns.clone().unwrap_or_default();
    let sysctls: BTreeMap<_, _> = sandbox.sysctls.iter().cloned().collect();
    let network = if sandbox.host_network { "host" } else { config.network() };
    let ipc = match (sandbox.host_ipc, dialect) {
        (true, _) => "host",
        (false, Dialect::Docker) => "shareable",
        // Podman's always is.
        (false, Dialect::Podman) => "",
    };
    Value::Object(filled(vec![
        ("NetworkMode", json!(network)),
        ("UTSMode", json!(if sandbox.host_network { "host" } else { "" })),
        ("PidMode", json!(if sandbox.host_pid { "host" } else { "" })),
        ("IpcMode", json!(ipc)),
        ("Dns", json!(dns.servers)),
        ("DnsSearch", json!(dns.searches)),
        ("DnsOptions", json!(dns.options)),
        ("PortBindings", json!(bindings(ports))),
        ("Sysctls", json!(sysctls)),
        ("CgroupParent", json!(config.cgroup_parent)),
        ("Mounts", json!(volumes(sandbox))),
    ]))
}

/// Such as `53/udp`.
fn key(port: &PortMapping) -> String {
    format!("{}/{}", port.container_port, port.protocol.to_ascii_lowercase())
}

/// Several ports of the machine may lead to one of the pod.
fn bindings(ports: &[PortMapping]) -> BTreeMap<String, Vec<Value>> {
    let mut all: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for port in ports {
        let binding = json!({"HostIp": port.host_ip, "HostPort": port.host_port.to_string()});
        all.entry(key(port)).or_default().push(binding);
    }
    all
}

fn volumes(sandbox: &SandboxConfig) -> Vec<Value> {
    let mount = |name: &str| {
        json!({
            "Type": "volume",
            "Source": names::volume(&sandbox.pod, name),
            "Target": format!("{VOLUMES}/{name}"),
            "VolumeOptions": {"NoCopy": true},
        })
    };
    sandbox.memory_volumes.iter().map(|volume| mount(&volume.name)).collect()
}

#[cfg(test)]
mod tests {
    use pluglet_sdk::{DnsConfig, MemoryVolume, PodRef};

    use super::*;

    fn sandbox() -> SandboxConfig {
        let pod = PodRef { uid: "u".into(), namespace: "shop".into(), name: "web".into(), generation: 1 };
        SandboxConfig { pod, hostname: "web".into(), ..SandboxConfig::default() }
    }

    fn body_of(dialect: Dialect, sandbox: &SandboxConfig) -> Value {
        body(dialect, &Config::default(), &Owner { cluster: "c".into(), node: "n".into() }, sandbox)
    }

    #[test]
    fn docker_has_to_be_told_that_shared_memory_is_shared() {
        assert_eq!(
            body_of(Dialect::Docker, &sandbox())["HostConfig"],
            json!({"NetworkMode": "bridge", "IpcMode": "shareable"})
        );
        assert_eq!(body_of(Dialect::Podman, &sandbox())["HostConfig"], json!({"NetworkMode": "bridge"}));
    }

    #[test]
    fn a_pod_with_the_machines_network_has_no_name_and_no_ports_of_its_own() {
        let ports =
            vec![PortMapping { container_port: 80, host_port: 80, protocol: "TCP".into(), host_ip: String::new() }];
        let body = body_of(
            Dialect::Podman,
            &SandboxConfig { host_network: true, host_ipc: true, host_pid: true, ports, ..sandbox() },
        );
        assert_eq!(
            body["HostConfig"],
            json!({"NetworkMode": "host", "UTSMode": "host", "PidMode": "host", "IpcMode": "host"})
        );
        assert_eq!((body.get("Hostname"), body.get("ExposedPorts")), (None, None));
    }

    #[test]
    fn ports_names_and_kernel_parameters_are_the_sandboxs() {
        let port = |container_port, host_port, protocol: &str| PortMapping {
            container_port,
            host_port,
            protocol: protocol.into(),
            host_ip: "127.0.0.1".into(),
        };
        let dns = DnsConfig {
            servers: vec!["10.0.0.10".into()],
            searches: vec!["svc".into()],
            options: vec!["ndots:5".into()],
        };
        let body = body_of(
            Dialect::Docker,
            &SandboxConfig {
                dns: Some(dns),
                ports: vec![port(80, 8080, "TCP"), port(80, 8081, "TCP"), port(53, 5353, "UDP")],
                sysctls: vec![("net.ipv4.ip_local_port_range".into(), "1024 2000".into())],
                memory_volumes: vec![MemoryVolume { name: "cache".into(), ..MemoryVolume::default() }],
                ..sandbox()
            },
        );
        let host = &body["HostConfig"];
        assert_eq!(body["ExposedPorts"], json!({"53/udp": {}, "80/tcp": {}}));
        assert_eq!(host["PortBindings"]["80/tcp"].as_array().unwrap().len(), 2);
        assert_eq!(host["PortBindings"]["53/udp"], json!([{"HostIp": "127.0.0.1", "HostPort": "5353"}]));
        assert_eq!(
            (&host["Dns"], &host["DnsSearch"], &host["DnsOptions"]),
            (&json!(["10.0.0.10"]), &json!(["svc"]), &json!(["ndots:5"]))
        );
        assert_eq!(host["Sysctls"], json!({"net.ipv4.ip_local_port_range": "1024 2000"}));
        assert_eq!(host["Mounts"][0]["Source"], "pluglet_u_cache");
        assert_eq!(body["Labels"]["dev.pluglet.kind"], "sandbox");
    }
}
