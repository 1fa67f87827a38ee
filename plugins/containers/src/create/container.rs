//! A container in a sandbox.
//!
//! In: the container as the host describes it, and the sandbox that it joins. Out: the JSON that makes it. Invariant: pure; it has no network, no
//! host name and no name server of its own.

use pluglet_sdk::{ContainerConfig, Result, SandboxConfig};
use serde_json::{Map, Value, json};

use super::{filled, mounts, no_healthcheck, resources, security};
use crate::client::Dialect;
use crate::labels::Owner;

/// What a body is made of besides the container itself.
pub(crate) struct Context<'a> {
    pub(crate) dialect: Dialect,
    pub(crate) owner: &'a Owner,
    pub(crate) cgroup_parent: Option<&'a str>,
    pub(crate) sandbox_id: &'a str,
    pub(crate) sandbox: &'a SandboxConfig,
}

pub(crate) fn body(context: &Context<'_>, config: &ContainerConfig) -> Result<Value> {
    let env: Vec<String> = config.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut body = filled(vec![
        ("Image", json!(config.image_id)),
        ("Entrypoint", json!(config.command)),
        // Where `Entrypoint` is given and this is not, the engines leave out the image's command too.
        ("Cmd", json!(config.args)),
        ("WorkingDir", json!(config.working_directory)),
        ("Env", json!(env)),
        ("User", json!(config.security.user)),
        ("OpenStdin", json!(config.stdin)),
        ("StdinOnce", json!(config.stdin && config.stdin_once)),
        ("Tty", json!(config.tty)),
        ("Healthcheck", no_healthcheck()),
        ("Labels", json!(context.owner.of_container(context.sandbox_id, &context.sandbox.pod, config))),
    ]);
    body.insert("HostConfig".to_owned(), Value::Object(host_config(context, config)?));
    Ok(Value::Object(body))
}

fn host_config(context: &Context<'_>, config: &ContainerConfig) -> Result<Map<String, Value>> {
    let sandbox = context.sandbox;
    let joined = format!("container:{}", context.sandbox_id);
    let network = if sandbox.host_network { "host" } else { &joined };
    // Docker takes the host name with the network, and knows no other way.
    let uts = if context.dialect == Dialect::Docker && !sandbox.host_network { "" } else { network };
    let ipc = if sandbox.host_ipc { "host" } else { &joined };
    let pid = match &config.security.target_container {
        Some(target) => format!("container:{target}"),
        None if sandbox.host_pid => "host".to_owned(),
        None if sandbox.share_processes => joined.clone(),
        None => String::new(),
    };
    let mut fields = filled(vec![
        ("NetworkMode", json!(network)),
        ("UTSMode", json!(uts)),
        ("IpcMode", json!(ipc)),
        ("PidMode", json!(pid)),
        ("CgroupParent", json!(context.cgroup_parent)),
        ("Mounts", json!(mounts::body(context.dialect, &sandbox.pod, &config.mounts)?)),
    ]);
    if config.security.read_only_root && context.dialect == Dialect::Podman {
        fields.extend(filled(vec![("Tmpfs", json!(mounts::podman_read_only(&config.mounts)))]));
    }
    fields.extend(resources::host_config(&config.resources));
    fields.extend(security::host_config(context.dialect, &config.security)?);
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use pluglet_sdk::{PodRef, Security};

    use super::*;

    fn made(dialect: Dialect, sandbox: &SandboxConfig, config: &ContainerConfig) -> Value {
        let owner = Owner { cluster: "c".into(), node: "n".into() };
        let context = Context { dialect, owner: &owner, cgroup_parent: Some("/pods"), sandbox_id: "s", sandbox };
        body(&context, config).unwrap()
    }

    fn sandbox() -> SandboxConfig {
        SandboxConfig {
            pod: PodRef { uid: "u".into(), ..PodRef::default() },
            hostname: "web".into(),
            ..SandboxConfig::default()
        }
    }

    #[test]
    fn a_container_joins_its_sandbox() {
        let config =
            ContainerConfig { name: "main".into(), image_id: "sha256:4d".into(), ..ContainerConfig::default() };
        let joined = json!({"NetworkMode": "container:s", "IpcMode": "container:s", "CgroupParent": "/pods"});
        let body = made(Dialect::Docker, &sandbox(), &config);
        assert_eq!(body["HostConfig"], joined);
        let podman = made(Dialect::Podman, &sandbox(), &config);
        assert_eq!(
            podman["HostConfig"]["UTSMode"], "container:s",
            "Podman does not share the host name with the network"
        );
        assert_eq!((body.get("Hostname"), body.get("Cmd"), &body["Image"]), (None, None, &json!("sha256:4d")));
    }

    #[test]
    fn whose_processes_are_seen_is_decided_by_the_closest_wish() {
        let pid = |host_pid, share_processes, target: Option<&str>| {
            let sandbox = SandboxConfig { host_pid, share_processes, ..sandbox() };
            let security = Security { target_container: target.map(str::to_owned), ..Security::default() };
            made(Dialect::Podman, &sandbox, &ContainerConfig { security, ..ContainerConfig::default() })["HostConfig"]["PidMode"].clone()
        };
        assert_eq!(pid(false, false, None), Value::Null);
        assert_eq!(pid(false, true, None), "container:s");
        assert_eq!(pid(true, false, None), "host");
        assert_eq!(pid(true, true, Some("t")), "container:t");
    }

    #[test]
    fn a_pod_of_the_machine_is_in_the_machines_namespaces() {
        let sandbox = SandboxConfig { host_network: true, host_ipc: true, ..sandbox() };
        let body = made(Dialect::Podman, &sandbox, &ContainerConfig::default());
        assert_eq!(
            body["HostConfig"],
            json!({"NetworkMode": "host", "UTSMode": "host", "IpcMode": "host", "CgroupParent": "/pods"})
        );
    }

    #[test]
    fn what_is_run_and_how_is_passed_on() {
        let config = ContainerConfig {
            command: vec!["sh".into()],
            args: vec!["-c".into(), "id".into()],
            working_directory: "/srv".into(),
            env: vec![("A".into(), "1=2".into())],
            stdin: true,
            stdin_once: true,
            tty: true,
            security: Security { user: "1000:2000".into(), read_only_root: true, ..Security::default() },
            ..ContainerConfig::default()
        };
        let body = made(Dialect::Podman, &sandbox(), &config);
        assert_eq!((&body["Entrypoint"], &body["Cmd"]), (&json!(["sh"]), &json!(["-c", "id"])));
        assert_eq!(
            (&body["WorkingDir"], &body["Env"], &body["User"]),
            (&json!("/srv"), &json!(["A=1=2"]), &json!("1000:2000"))
        );
        assert_eq!((&body["OpenStdin"], &body["StdinOnce"], &body["Tty"]), (&json!(true), &json!(true), &json!(true)));
        assert_eq!(body["HostConfig"]["Tmpfs"], json!({"/run": "ro", "/tmp": "ro", "/var/tmp": "ro"}));
        assert_eq!(made(Dialect::Docker, &sandbox(), &config)["HostConfig"].get("Tmpfs"), None);
    }
}
