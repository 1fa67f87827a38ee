//! What pods may have of the machine that their containers run on.
//!
//! In: a pod, what the operator has granted. Out: what it asks for and may not have. Invariant: deny by default: a field that reaches out of the containers is
//! refused unless a grant names it. The provider never sees a pod that is refused.
//!
//! This stands beside Pod Security admission, which a cluster may not have, and which does not know this machine: here a pod's containers run on a
//! backend that its author must not be able to take over, whatever the cluster lets through.

use std::path::{Component, Path, PathBuf};

use k8s_openapi::api::core::v1::{AppArmorProfile, Container, Pod, PodSecurityContext, PodSpec, Volume};

use crate::runtime::sandbox::sysctl_name;

/// Capabilities that a container may add: what an engine gives by itself (Pod Security Standards, baseline).
const USUAL_CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// Kernel parameters that reach no further than the pod (`pkg/kubelet/sysctl/safe_sysctls.go`).
const SAFE_SYSCTLS: [&str; 12] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
];

/// What the operator lets pods have: nothing, unless said otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a field of its own in pluglet.yaml")]
pub struct Grants {
    /// The engine shares this machine: volumes are directories of the host's, bound into containers.
    pub directories: bool,
    /// Directories for `hostPath`, with all below them.
    pub host_paths: Vec<HostPath>,
    /// `privileged: true`.
    pub privileged: bool,
    /// `hostNetwork: true`.
    pub host_network: bool,
    /// `hostPID: true`.
    pub host_pid: bool,
    /// `hostIPC: true`.
    pub host_ipc: bool,
    /// `hostPort`.
    pub host_ports: bool,
    /// `subPath` of volumes that pods can write to.
    pub sub_paths: bool,
    /// Seccomp and AppArmor `Unconfined`, `procMount: Unmasked`.
    pub unconfined: bool,
    /// Capabilities beyond the usual ones, without `CAP_`; `ALL` for all.
    pub capabilities: Vec<String>,
    /// Kernel parameters beyond the safe ones; one that ends in `*` stands for all that begin so.
    pub sysctls: Vec<String>,
}

/// A granted directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPath {
    /// Absolute.
    pub path: PathBuf,
    /// Pods may not write there.
    pub read_only: bool,
}

impl Grants {
    /// The grant for a path; None: there is none. The most special one counts.
    #[must_use]
    pub fn host_path(&self, path: &Path) -> Option<&HostPath> {
        let fitting = self.host_paths.iter().filter(|grant| path.starts_with(&grant.path));
        fitting.max_by_key(|grant| grant.path.as_os_str().len())
    }

    /// What the pod asks for and may not have, in the order of its fields. Empty: it may run.
    #[must_use]
    pub fn refusals(&self, pod: &Pod) -> Vec<String> {
        let Some(spec) = &pod.spec else { return vec![] };
        let mut refused = vec![];
        let mut refuse = |asked: bool, field: &str, grant: &str| {
            if asked {
                refused.push(not_granted(field, grant));
            }
        };
        refuse(spec.host_network == Some(true) && !self.host_network, "hostNetwork", "hostNetwork");
        refuse(spec.host_pid == Some(true) && !self.host_pid, "hostPID", "hostPID");
        refuse(spec.host_ipc == Some(true) && !self.host_ipc, "hostIPC", "hostIPC");
        for volume in spec.volumes.iter().flatten() {
            self.volume(volume, spec, &mut refuse);
        }
        self.shared(spec, &mut refuse);
        // Not those for debugging: they come later, and must not cost the pod what it has already. See `refusals_of`.
        for container in spec.init_containers.iter().flatten().chain(&spec.containers) {
            self.container(container, spec, &mut refuse);
        }
        refused
    }

    /// The same for one container, of whichever list.
    #[must_use]
    pub fn refusals_of(&self, spec: &PodSpec, container: &Container) -> Vec<String> {
        let mut refused = vec![];
        self.container(container, spec, &mut |asked: bool, field: &str, grant: &str| {
            if asked {
                refused.push(not_granted(field, grant));
            }
        });
        refused
    }

    fn volume(&self, volume: &Volume, spec: &PodSpec, refuse: &mut impl FnMut(bool, &str, &str)) {
        let Some(host) = &volume.host_path else { return };
        let path = Path::new(&host.path);
        let field = format!("volume {}: hostPath {}", volume.name, host.path);
        let plain = path.is_absolute() && path.components().all(|part| !matches!(part, Component::ParentDir));
        let grant = self.host_path(path).filter(|_| plain);
        refuse(grant.is_none(), &field, "hostPath");
        let devices = matches!(host.type_.as_deref(), Some("CharDevice" | "BlockDevice"));
        refuse(
            devices && !self.privileged,
            &format!("{field} of type {}", host.type_.as_deref().unwrap_or_default()),
            "privileged",
        );
        let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
        let mut mounts = containers.flat_map(|container| container.volume_mounts.iter().flatten());
        let written = mounts.any(|mount| mount.name == volume.name && mount.read_only != Some(true));
        // One below it would be written through it.
        let below = |other: &HostPath| other.read_only && other.path.starts_with(path);
        let read_only = grant.is_some_and(|grant| grant.read_only) || self.host_paths.iter().any(below);
        refuse(read_only && written, &format!("{field}: mounting it without readOnly"), "hostPath[].readOnly");
    }

    /// Whether a pod could make a link in it.
    fn is_writable(&self, volume: &Volume) -> bool {
        let host = volume.host_path.as_ref().and_then(|host| self.host_path(Path::new(&host.path)));
        volume.empty_dir.is_some() || host.is_some_and(|grant| !grant.read_only)
    }

    fn forbidden_sysctls(&self, context: &PodSecurityContext) -> Vec<String> {
        let names = context.sysctls.iter().flatten().map(|sysctl| sysctl_name(&sysctl.name));
        let allowed = |name: &str| {
            let granted = self.sysctls.iter().any(|grant| match grant.strip_suffix('*') {
                Some(beginning) => name.starts_with(beginning),
                None => grant == name,
            });
            granted || SAFE_SYSCTLS.contains(&name)
        };
        names.filter(|name| !allowed(name)).collect()
    }

    /// The reason of the pod's status for its refusals: a kubelet's own where it has one.
    #[must_use]
    pub fn reason(&self, pod: &Pod) -> &'static str {
        let context = pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
        let sysctls = context.is_some_and(|context| !self.forbidden_sysctls(context).is_empty());
        if sysctls { "SysctlForbidden" } else { "NotGranted" }
    }

    /// Whether a profile is none, by its type or by its name, and that is not granted.
    fn unconfined_by(&self, profile: Option<&AppArmorProfile>) -> bool {
        let none = profile.is_some_and(|profile| {
            profile.type_ == "Unconfined" || profile.localhost_profile.as_deref() == Some("unconfined")
        });
        none && !self.unconfined
    }

    fn shared(&self, spec: &PodSpec, refuse: &mut impl FnMut(bool, &str, &str)) {
        let Some(context) = &spec.security_context else { return };
        for name in self.forbidden_sysctls(context) {
            refuse(true, &format!("sysctl {name}"), "sysctls");
        }
        let free = |profile: Option<&str>| profile == Some("Unconfined") && !self.unconfined;
        refuse(
            free(context.seccomp_profile.as_ref().map(|it| it.type_.as_str())),
            "seccompProfile Unconfined",
            "unconfined",
        );
        refuse(
            free(context.app_armor_profile.as_ref().map(|it| it.type_.as_str())),
            "appArmorProfile Unconfined",
            "unconfined",
        );
    }

    fn container(&self, container: &Container, spec: &PodSpec, refuse: &mut impl FnMut(bool, &str, &str)) {
        let name = &container.name;
        let ports = container.ports.iter().flatten();
        let host_port =
            ports.into_iter().any(|port| port.host_port.unwrap_or(0) > 0) && spec.host_network != Some(true);
        refuse(host_port && !self.host_ports, &format!("container {name}: hostPort"), "hostPorts");
        for mount in container.volume_mounts.iter().flatten() {
            let sub_path = mount.sub_path.as_deref().is_some_and(|sub_path| !sub_path.is_empty());
            let writable =
                spec.volumes.iter().flatten().any(|volume| volume.name == mount.name && self.is_writable(volume));
            let field = format!("container {name}: subPath of {}, which pods can write to,", mount.name);
            refuse(sub_path && writable && !self.sub_paths, &field, "subPaths");
            let both = mount.mount_propagation.as_deref() == Some("Bidirectional");
            let field = format!("container {name}: mountPropagation Bidirectional of {}", mount.mount_path);
            refuse(both && !self.privileged, &field, "privileged");
        }
        let Some(context) = &container.security_context else { return };
        refuse(
            context.privileged == Some(true) && !self.privileged,
            &format!("container {name}: privileged"),
            "privileged",
        );
        let free = |profile: Option<&str>| profile == Some("Unconfined") && !self.unconfined;
        let seccomp = free(context.seccomp_profile.as_ref().map(|it| it.type_.as_str()));
        refuse(seccomp, &format!("container {name}: seccompProfile Unconfined"), "unconfined");
        let apparmor = self.unconfined_by(context.app_armor_profile.as_ref());
        refuse(apparmor, &format!("container {name}: appArmorProfile Unconfined"), "unconfined");
        let unmasked = context.proc_mount.as_deref() == Some("Unmasked") && !self.unconfined;
        refuse(unmasked, &format!("container {name}: procMount Unmasked"), "unconfined");
        for added in context.capabilities.iter().flat_map(|both| both.add.iter().flatten()) {
            let bare = added.strip_prefix("CAP_").unwrap_or(added);
            let granted = USUAL_CAPABILITIES.contains(&bare)
                || self.capabilities.iter().any(|grant| grant == bare || grant == "ALL");
            refuse(!granted, &format!("container {name}: capability {added}"), "capabilities");
        }
    }
}

fn not_granted(field: &str, grant: &str) -> String {
    format!("{field} is not granted (containers.{grant} in pluglet.yaml)")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::runtime::find;

    fn refused(grants: &Grants, spec: &Value) -> String {
        let mut whole = json!({"containers": [{"name": "c"}]});
        whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let pod: Pod = serde_json::from_value(json!({"metadata": {}, "spec": whole})).unwrap();
        let mut refused = grants.refusals(&pod);
        let spec = pod.spec.unwrap();
        for ephemeral in spec.ephemeral_containers.iter().flatten() {
            refused.extend(grants.refusals_of(&spec, &find(&spec, &ephemeral.name).unwrap().1));
        }
        refused.join("; ")
    }

    fn container(fields: Value) -> Value {
        let mut container = json!({"name": "c"});
        container.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        json!({"containers": [container]})
    }

    fn security(context: Value) -> Value {
        container(json!({"securityContext": context}))
    }

    #[test]
    fn what_reaches_out_of_the_containers_is_refused_until_its_own_grant_is_given() {
        let path = |path: &str| HostPath { path: path.into(), read_only: false };
        let host_path = |at: &str| json!({"volumes": [{"name": "v", "hostPath": {"path": at}}]});
        let rows: [(Value, &str, Grants); 19] = [
            (json!({"hostNetwork": true}), "hostNetwork", Grants { host_network: true, ..Grants::default() }),
            (json!({"hostPID": true}), "hostPID", Grants { host_pid: true, ..Grants::default() }),
            (json!({"hostIPC": true}), "hostIPC", Grants { host_ipc: true, ..Grants::default() }),
            (
                host_path("/var/log"),
                "hostPath /var/log",
                Grants { host_paths: vec![path("/var")], ..Grants::default() },
            ),
            (host_path("/"), "hostPath /", Grants { host_paths: vec![path("/")], ..Grants::default() }),
            (security(json!({"privileged": true})), "privileged", Grants { privileged: true, ..Grants::default() }),
            (
                security(json!({"capabilities": {"add": ["CAP_SYS_ADMIN"]}})),
                "capability CAP_SYS_ADMIN",
                Grants { capabilities: vec!["SYS_ADMIN".into()], ..Grants::default() },
            ),
            (
                security(json!({"capabilities": {"add": ["ALL"]}})),
                "capability ALL",
                Grants { capabilities: vec!["ALL".into()], ..Grants::default() },
            ),
            (security(json!({"procMount": "Unmasked"})), "procMount", Grants { unconfined: true, ..Grants::default() }),
            (
                security(json!({"seccompProfile": {"type": "Unconfined"}})),
                "seccompProfile",
                Grants { unconfined: true, ..Grants::default() },
            ),
            (
                security(json!({"appArmorProfile": {"type": "Unconfined"}})),
                "appArmorProfile",
                Grants { unconfined: true, ..Grants::default() },
            ),
            (
                security(json!({"appArmorProfile": {"type": "Localhost", "localhostProfile": "unconfined"}})),
                "appArmorProfile",
                Grants { unconfined: true, ..Grants::default() },
            ),
            (
                json!({"securityContext": {"seccompProfile": {"type": "Unconfined"}}}),
                "seccompProfile",
                Grants { unconfined: true, ..Grants::default() },
            ),
            (
                json!({"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}}),
                "sysctl kernel.msgmax",
                Grants { sysctls: vec!["kernel.msg*".into()], ..Grants::default() },
            ),
            (
                container(json!({"ports": [{"containerPort": 80, "hostPort": 80}]})),
                "hostPort",
                Grants { host_ports: true, ..Grants::default() },
            ),
            (
                container(
                    json!({"volumeMounts": [{"name": "v", "mountPath": "/m", "mountPropagation": "Bidirectional"}]}),
                ),
                "Bidirectional",
                Grants { privileged: true, ..Grants::default() },
            ),
            (
                json!({
                    "volumes": [{"name": "v", "emptyDir": {}}],
                    "initContainers": [{"name": "i", "volumeMounts": [{"name": "v", "mountPath": "/m", "subPath": "s"}]}],
                }),
                "container i: subPath of v",
                Grants { sub_paths: true, ..Grants::default() },
            ),
            (
                json!({"initContainers": [{"name": "i", "securityContext": {"privileged": true}}]}),
                "container i: privileged",
                Grants { privileged: true, ..Grants::default() },
            ),
            (
                json!({"ephemeralContainers": [{"name": "e", "securityContext": {"privileged": true}}]}),
                "container e: privileged",
                Grants { privileged: true, ..Grants::default() },
            ),
        ];
        for (spec, named, grants) in rows {
            let told = refused(&Grants::default(), &spec);
            assert!(told.contains(named) && told.contains("pluglet.yaml"), "{spec}: {told}");
            assert_eq!(refused(&grants, &spec), "", "{spec}");
        }
    }

    #[test]
    fn what_every_engine_gives_needs_no_grant() {
        for spec in [
            json!({}),
            json!({"shareProcessNamespace": true, "volumes": [{"name": "v", "emptyDir": {}}]}),
            security(json!({"capabilities": {"add": ["CHOWN", "CAP_KILL"], "drop": ["ALL"]}, "runAsUser": 0})),
            json!({"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "1"}]}}),
            json!({"securityContext": {"sysctls": [{"name": "kernel/shm_rmid_forced", "value": "1"}]}}),
            security(json!({"seccompProfile": {"type": "RuntimeDefault"}})),
        ] {
            assert_eq!(refused(&Grants::default(), &spec), "", "{spec}");
        }
    }

    #[test]
    fn a_path_cannot_leave_what_is_granted_and_a_read_only_one_cannot_be_written() {
        let granted =
            |read_only| Grants { host_paths: vec![HostPath { path: "/data".into(), read_only }], ..Grants::default() };
        let at = |path: &str| json!({"volumes": [{"name": "v", "hostPath": {"path": path}}]});
        for path in ["/data/../etc", "/database", "/", "data", "/dat"] {
            assert!(refused(&granted(false), &at(path)).contains("hostPath"), "{path}");
        }
        for path in ["/data", "/data/", "/data/a/b"] {
            assert_eq!(refused(&granted(false), &at(path)), "", "{path}");
        }
        let mounted = |read_only: bool| {
            let mut spec =
                container(json!({"volumeMounts": [{"name": "v", "mountPath": "/m", "readOnly": read_only}]}));
            spec["volumes"] = at("/data")["volumes"].clone();
            spec
        };
        assert!(refused(&granted(true), &mounted(false)).contains("readOnly"));
        assert_eq!(refused(&granted(true), &mounted(true)), "");
        let parent = HostPath { path: "/".into(), read_only: false };
        let nested = Grants {
            host_paths: vec![parent, HostPath { path: "/data".into(), read_only: true }],
            ..Grants::default()
        };
        let mut whole = mounted(false);
        whole["volumes"] = at("/")["volumes"].clone();
        assert!(refused(&nested, &whole).contains("readOnly"), "what may not be written is below it");
        let device = json!({"volumes": [{"name": "v", "hostPath": {"path": "/data/sda", "type": "BlockDevice"}}]});
        assert!(refused(&granted(false), &device).contains("privileged"));
    }
}
