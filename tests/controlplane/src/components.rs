//! The command line of each component.
//!
//! In: the layout and the ports. Out: a [`Command`] per component, ready to be started. Pure but for reading nothing:
//! whatever a flag names was made before by [`crate::certificates`] and [`crate::supervisor`].

use std::fmt;
use std::path::Path;
use std::process::Command;

use crate::certificates::{CLUSTER_CA, FRONT_PROXY_CA, FRONT_PROXY_CLIENT, KUBELET_CLIENT, SERVICE_ACCOUNTS, SERVING};
use crate::layout::{Layout, Ports};

/// One of the processes that make up a control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Component {
    /// The store.
    Etcd,
    /// kube-apiserver.
    ApiServer,
    /// kube-controller-manager.
    ControllerManager,
    /// kube-scheduler.
    Scheduler,
}

impl Component {
    /// All of them, in the order in which they start.
    pub const ALL: [Self; 4] = [Self::Etcd, Self::ApiServer, Self::ControllerManager, Self::Scheduler];

    /// The name of its program.
    pub fn program(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.program())
    }
}

/// Every request once, when it is answered; watches and other long requests also when they begin.
pub(crate) const AUDIT_POLICY: &str = "apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
";

/// The command that starts `component`.
pub(crate) fn command(
    component: Component,
    binaries: &Path,
    layout: &Layout,
    ports: &Ports,
    extra: impl IntoIterator<Item = String>,
) -> Command {
    let mut command = Command::new(binaries.join(component.program()));
    match component {
        Component::Etcd => etcd(&mut command, layout, ports),
        Component::ApiServer => apiserver(&mut command, layout, ports),
        Component::ControllerManager => controller_manager(&mut command, layout, ports),
        Component::Scheduler => scheduler(&mut command, layout, ports),
    }
    command.args(extra).current_dir(layout.root());
    command
}

fn etcd(command: &mut Command, layout: &Layout, ports: &Ports) {
    let client = format!("http://127.0.0.1:{}", ports.etcd);
    let peer = format!("http://127.0.0.1:{}", ports.etcd_peer);
    path(command, "data-dir", &layout.etcd_data());
    flag(command, "listen-client-urls", &client);
    flag(command, "advertise-client-urls", &client);
    flag(command, "listen-peer-urls", &peer);
    flag(command, "initial-advertise-peer-urls", &peer);
    flag(command, "initial-cluster", &format!("default={peer}"));
    // Nothing here has to survive a power cut, and a disk's fsync would be what every test measures.
    command.arg("--unsafe-no-fsync");
    flag(command, "log-level", "warn");
}

fn apiserver(command: &mut Command, layout: &Layout, ports: &Ports) {
    flag(command, "etcd-servers", &format!("http://127.0.0.1:{}", ports.etcd));
    serving(command, layout, ports.apiserver);
    // The address in the `kubernetes` endpoints may not be loopback, and nothing here routes to it anyway.
    flag(command, "endpoint-reconciler-type", "none");
    flag(command, "service-cluster-ip-range", "10.0.0.0/16");
    flag(command, "allow-privileged", "true");

    flag(command, "authorization-mode", "Node,RBAC");
    // How nodes join that have no identity yet.
    flag(command, "enable-bootstrap-token-auth", "true");
    flag(command, "enable-admission-plugins", "NodeRestriction");
    path(command, "client-ca-file", &layout.certificate(CLUSTER_CA));
    flag(command, "service-account-issuer", "https://kubernetes.default.svc");
    path(command, "service-account-key-file", &layout.public_key(SERVICE_ACCOUNTS));
    path(command, "service-account-signing-key-file", &layout.key(SERVICE_ACCOUNTS));

    // No --kubelet-certificate-authority: nodes under test serve with a self-signed certificate, as kubelets do
    // unless told otherwise.
    path(command, "kubelet-client-certificate", &layout.certificate(KUBELET_CLIENT));
    path(command, "kubelet-client-key", &layout.key(KUBELET_CLIENT));
    flag(command, "kubelet-preferred-address-types", "InternalIP");

    // What an extension API server (metrics-server) needs.
    path(command, "requestheader-client-ca-file", &layout.certificate(FRONT_PROXY_CA));
    flag(command, "requestheader-allowed-names", FRONT_PROXY_CLIENT);
    flag(command, "requestheader-username-headers", "X-Remote-User");
    flag(command, "requestheader-group-headers", "X-Remote-Group");
    flag(command, "requestheader-extra-headers-prefix", "X-Remote-Extra-");
    path(command, "proxy-client-cert-file", &layout.certificate(FRONT_PROXY_CLIENT));
    path(command, "proxy-client-key-file", &layout.key(FRONT_PROXY_CLIENT));

    path(command, "audit-policy-file", &layout.audit_policy());
    path(command, "audit-log-path", &layout.audit_log());
    // No rotation: a mark is an offset into this one file.
    flag(command, "audit-log-maxsize", "0");
}

fn controller_manager(command: &mut Command, layout: &Layout, ports: &Ports) {
    path(command, "kubeconfig", &layout.kubeconfig(Component::ControllerManager.program()));
    serving(command, layout, ports.controller_manager);
    flag(command, "authentication-skip-lookup", "true");
    flag(command, "leader-elect", "false");
    flag(command, "use-service-account-credentials", "true");
    path(command, "root-ca-file", &layout.certificate(CLUSTER_CA));
    path(command, "service-account-private-key-file", &layout.key(SERVICE_ACCOUNTS));
    path(command, "cluster-signing-cert-file", &layout.certificate(CLUSTER_CA));
    path(command, "cluster-signing-key-file", &layout.key(CLUSTER_CA));
    // The stock 20 per second would make the controllers, not the node under test, what a burst waits for.
    flag(command, "kube-api-qps", "200");
    flag(command, "kube-api-burst", "400");
}

fn scheduler(command: &mut Command, layout: &Layout, ports: &Ports) {
    path(command, "kubeconfig", &layout.kubeconfig(Component::Scheduler.program()));
    serving(command, layout, ports.scheduler);
    flag(command, "authentication-skip-lookup", "true");
    flag(command, "leader-elect", "false");
    flag(command, "kube-api-qps", "500");
    flag(command, "kube-api-burst", "1000");
}

fn serving(command: &mut Command, layout: &Layout, port: u16) {
    flag(command, "bind-address", "127.0.0.1");
    flag(command, "secure-port", &port.to_string());
    path(command, "tls-cert-file", &layout.certificate(SERVING));
    path(command, "tls-private-key-file", &layout.key(SERVING));
}

fn flag(command: &mut Command, name: &str, value: &str) {
    command.arg(format!("--{name}={value}"));
}

fn path(command: &mut Command, name: &str, value: &Path) {
    let mut argument = std::ffi::OsString::from(format!("--{name}="));
    argument.push(value);
    command.arg(argument);
}
