//! The command line.
//!
//! In: arguments. Out: typed values. Invariant: parsing touches nothing; what the values mean in this world is `config`'s and `app`'s business.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use k8s_openapi::api::core::v1::Taint;

/// Labels that a node has of itself: what they say is true, or is what others find it by.
const OWN_LABELS: [&str; 8] = [
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
    "node.kubernetes.io/exclude-from-external-load-balancers",
    "pluglet.dev/provider",
    "type",
];

/// Where providers are looked for when no --plugin-dir is given and the directory exists.
pub(crate) const DEFAULT_PLUGIN_DIR: &str = "/usr/local/lib/pluglet/plugins";

/// A virtual kubelet whose providers are WebAssembly components.
#[derive(Debug, Parser)]
#[command(name = "pluglet", version, about, propagate_version = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Be a node: register, run the pods bound to it, answer the API server.
    Run(Box<Run>),
    /// Look at provider components without running them.
    #[command(subcommand)]
    Provider(ProviderCommand),
}

/// Be a node.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  A node that runs pods in memory, with the current kubeconfig:
    pluglet run --node-name virtual-1 --provider mock --plugin-dir ./plugins --kubeconfig ~/.kube/config

  One endpoint and nothing else to configure:
    pluglet run --node-name remote-1 --provider webhook --endpoint backend=https://backend.example.com/v1

  Inside a cluster, from a pod with a service account:
    pluglet run --node-name $(NODE_NAME) --provider webhook --config /etc/pluglet/pluglet.yaml --address $(POD_IP)

  Pods in a cloud, which reach the API server by another address than the cluster's own, and cannot be reached by probes:
    pluglet run --node-name aci-1 --provider aci --config aci.yaml --kubernetes-service api.example.com:6443 --probes off

  A node that joins with a bootstrap token, and gets its own kubeconfig and certificates:
    pluglet run --node-name edge-1 --provider mock --bootstrap-kubeconfig bootstrap.yaml --kubeconfig /etc/pluglet/kubeconfig

  A component file, a node without taints and with a label:
    pluglet run --node-name edge --provider ./hello.wasm --taint none --node-label example.com/zone=edge")]
pub(crate) struct Run {
    /// The name of the Node object.
    #[arg(long, value_name = "NAME", value_parser = parse_node_name)]
    pub node_name: String,
    /// NAME for NAME.wasm in one of the plugin directories, or the path of a component.
    #[arg(long, value_name = "NAME|PATH")]
    pub provider: String,
    /// Directory with provider components; can be given more than once, the first hit counts.
    /// [default: /usr/local/lib/pluglet/plugins, if it exists]
    #[arg(long, value_name = "DIR")]
    pub plugin_dir: Vec<PathBuf>,
    /// pluglet.yaml: the provider's configuration, endpoints and limits.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// An endpoint that the provider may reach, with default limits and without a credential; can be given more than once. More can be
    /// said in pluglet.yaml. The URL is that of an API (https, http) or a socket (unix:///path).
    #[arg(long = "endpoint", value_name = "NAME=URL")]
    pub endpoints: Vec<String>,
    /// How to reach the API server. Without it: the service account of the pod that pluglet runs in.
    #[arg(long, value_name = "FILE", env = "KUBECONFIG")]
    pub kubeconfig: Option<PathBuf>,
    /// A kubeconfig with the right to ask for a client certificate, such as one with a bootstrap token. With it --kubeconfig (or KUBECONFIG) is
    /// written when it is not there, or its certificate is over; the certificate is kept in the state directory, and renewed.
    #[arg(long, value_name = "FILE", requires = "kubeconfig")]
    pub bootstrap_kubeconfig: Option<PathBuf>,
    /// Address that the API server reaches this node at, and that it listens on.
    /// [default: the one this machine reaches the API server from; listens on all]
    #[arg(long, value_name = "IP", value_parser = parse_address)]
    pub address: Option<IpAddr>,
    /// Port of the kubelet server; 0 takes a free one.
    #[arg(long, default_value_t = 10250)]
    pub port: u16,
    /// Taint of the node, KEY[=VALUE]:EFFECT; can be given more than once; "none" for no taint.
    /// [default: virtual-kubelet.io/provider=NAME:NoSchedule]
    #[arg(long = "taint", value_name = "KEY=VALUE:EFFECT|none", value_parser = parse_taint)]
    pub taints: Vec<TaintFlag>,
    /// Label of the node; can be given more than once.
    #[arg(long = "node-label", value_name = "KEY=VALUE", value_parser = parse_label)]
    pub node_labels: Vec<(String, String)>,
    /// How pods reach the API server, for KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT: for pods that run where the cluster's own
    /// Service addresses lead nowhere. [default: the address of the Service `kubernetes`]
    #[arg(long, value_name = "HOST[:PORT]", value_parser = parse_kubernetes_service)]
    pub kubernetes_service: Option<(String, u16)>,
    /// Address of the cluster's DNS, for pods with dnsPolicy ClusterFirst; can be given more than once. Only for providers of containers. Without it such
    /// pods resolve names as this machine does.
    #[arg(long, value_name = "IP")]
    pub cluster_dns: Vec<IpAddr>,
    /// The domain of the cluster, for the search domains and full host names of such pods.
    #[arg(long, value_name = "DOMAIN", default_value = "cluster.local")]
    pub cluster_domain: String,
    /// Who runs the startup, readiness and liveness probes of pods whose provider does not: this process, which must reach the pods'
    /// addresses, or nobody; then a container is ready as soon as it runs.
    #[arg(long, value_enum, default_value_t = ProbeMode::Host)]
    pub probes: ProbeMode,
    /// Let probes go to loopback addresses, for a provider whose pods run in this machine's own network. Refused otherwise, or a pod could
    /// have this machine's own services probed.
    #[arg(long)]
    pub probe_loopback: bool,
    /// What tells this cluster from others in the same backend. Providers mark what they start with it: another value later makes them
    /// strangers to their own pods. 1 to 63 letters, digits and '-'. [default: the UID of the Service `kubernetes`]
    #[arg(long, value_name = "ID", value_parser = parse_cluster_id)]
    pub cluster_id: Option<String>,
    /// Authority of client certificates that may call the kubelet server, PEM.
    /// [default: what the cluster publishes, else the authority of the kubeconfig]
    #[arg(long, value_name = "FILE")]
    pub client_ca_file: Option<PathBuf>,
    /// The kubelet server's own certificate, PEM, the intermediate ones behind it; read again when it changes.
    /// [default: a self-signed one, until the cluster has signed another]
    #[arg(long, value_name = "FILE", requires = "tls_private_key_file")]
    pub tls_cert_file: Option<PathBuf>,
    /// Its key, PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert_file")]
    pub tls_private_key_file: Option<PathBuf>,
    /// Ask the cluster for the kubelet server's certificate (signer kubernetes.io/kubelet-serving), and renew it. Somebody has to approve the
    /// request. [default: true for who is the node to the API server by its client certificate, else false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        conflicts_with = "tls_cert_file")]
    pub rotate_server_certificates: Option<bool>,
    /// Where compiled components and the providers' small memories are kept.
    /// [default: $XDG_STATE_HOME/pluglet, ~/.local/state/pluglet, or /var/lib/pluglet for root]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Delete the Node object at exit. Kubernetes then deletes its pods too. Needs the right to delete nodes, which a node's own
    /// identity does not have.
    #[arg(long)]
    pub remove_node_on_exit: bool,
    /// How long calls under way may take to end after SIGTERM, such as 10s.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_duration, allow_hyphen_values = true)]
    pub drain_timeout: Duration,
    /// How long the provider may be away before the node is NotReady, such as 5m: its pods run on meanwhile, and Kubernetes evicts the
    /// pods of a node that is NotReady for long.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = parse_duration, allow_hyphen_values = true)]
    pub provider_tolerance: Duration,
    /// Form of the log on standard error. What is logged is chosen by RUST_LOG (default: info).
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProviderCommand {
    /// List the providers in the plugin directories.
    #[command(after_help = "Example:\n  pluglet provider list --plugin-dir ./plugins")]
    List {
        /// Directory with provider components; can be given more than once.
        #[arg(long, value_name = "DIR")]
        plugin_dir: Vec<PathBuf>,
    },
    /// Show what a provider says about itself: name, version, features, endpoints, contract.
    #[command(after_help = "Examples:
  pluglet provider inspect ./target/wasm32-wasip2/release/hello.wasm
  pluglet provider inspect mock --plugin-dir ./plugins")]
    Inspect {
        /// The path of a component, or a NAME in one of the plugin directories.
        #[arg(value_name = "FILE|NAME")]
        provider: String,
        /// Directory with provider components; can be given more than once.
        #[arg(long, value_name = "DIR")]
        plugin_dir: Vec<PathBuf>,
    },
    /// Show what a provider could do with this configuration, without starting anything: endpoints, credentials, limits. Exit code 2
    /// when it could not be started.
    #[command(after_help = "Examples:
  pluglet provider check webhook --config pluglet.yaml --plugin-dir ./plugins
  pluglet provider check ./webhook.wasm --endpoint backend=https://backend.example.com/v1")]
    Check(Check),
}

/// What is to be checked.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The path of a component, or a NAME in one of the plugin directories.
    #[arg(value_name = "FILE|NAME")]
    pub provider: String,
    /// pluglet.yaml, as for `run`.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// An endpoint, as for `run`; can be given more than once.
    #[arg(long = "endpoint", value_name = "NAME=URL")]
    pub endpoints: Vec<String>,
    /// Directory with provider components; can be given more than once.
    #[arg(long, value_name = "DIR")]
    pub plugin_dir: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// `--probes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProbeMode {
    /// This process.
    Host,
    /// Nobody.
    Off,
}

/// One `--taint`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum TaintFlag {
    None,
    Taint(Taint),
}

impl Cli {
    /// The command line of this process. Ends it with a message and exit code 2 when something is wrong, and with 0 for `--help`.
    pub(crate) fn read() -> Self {
        Self::of(std::env::args_os()).unwrap_or_else(|error| error.exit())
    }

    fn of<T: Into<std::ffi::OsString> + Clone>(arguments: impl IntoIterator<Item = T>) -> Result<Self, clap::Error> {
        let cli = Self::try_parse_from(arguments)?;
        if let Command::Run(run) = &cli.command {
            run.check().map_err(|text| Self::command().error(ErrorKind::ArgumentConflict, text))?;
        }
        Ok(cli)
    }
}

impl Run {
    /// What no flag can see by itself. Which of two would count is nothing to guess at.
    fn check(&self) -> Result<(), String> {
        let taints = self.chosen_taints().unwrap_or_default();
        if self.probe_loopback && self.probes == ProbeMode::Off {
            return Err("--probe-loopback says where probes may go, and --probes off that there are none".to_owned());
        }
        if self.bootstrap_kubeconfig.is_some() && self.bootstrap_kubeconfig == self.kubeconfig {
            return Err("--bootstrap-kubeconfig and --kubeconfig (or KUBECONFIG) are one file: the second is written"
                .to_owned());
        }
        if !taints.is_empty() && self.taints.contains(&TaintFlag::None) {
            return Err("--taint none means no taint at all: it cannot be given with other taints".to_owned());
        }
        for (index, taint) in taints.iter().enumerate() {
            if taints.iter().take(index).any(|other| other.key == taint.key && other.effect == taint.effect) {
                return Err(format!(
                    "--taint {}:{} is given twice: a node has one taint for each key and effect",
                    taint.key, taint.effect
                ));
            }
        }
        for (index, (key, _)) in self.node_labels.iter().enumerate() {
            if self.node_labels.iter().take(index).any(|(other, _)| other == key) {
                return Err(format!("--node-label {key} is given twice"));
            }
        }
        Ok(())
    }

    /// None: the flag was not given. Empty: `none`.
    pub(crate) fn chosen_taints(&self) -> Option<Vec<Taint>> {
        let taints = || {
            self.taints.iter().filter_map(|flag| match flag {
                TaintFlag::None => None,
                TaintFlag::Taint(taint) => Some(taint.clone()),
            })
        };
        (!self.taints.is_empty()).then(|| taints().collect())
    }

    pub(crate) fn labels(&self) -> BTreeMap<String, String> {
        self.node_labels.iter().cloned().collect()
    }
}

fn parse_taint(text: &str) -> Result<TaintFlag, String> {
    if text == "none" {
        return Ok(TaintFlag::None);
    }
    let shape = "expected KEY[=VALUE]:EFFECT or none";
    let (key_value, effect) = text.rsplit_once(':').ok_or(shape)?;
    if !["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&effect) {
        return Err(format!("unknown effect {effect:?}: it is NoSchedule, PreferNoSchedule or NoExecute"));
    }
    let (key, value) = match key_value.split_once('=') {
        Some((key, value)) => (key, Some(value.to_owned())),
        None => (key_value, None),
    };
    qualified_name(key)?;
    label_value(value.as_deref().unwrap_or_default())?;
    Ok(TaintFlag::Taint(Taint { key: key.to_owned(), value, effect: effect.to_owned(), time_added: None }))
}

fn parse_label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    qualified_name(key)?;
    label_value(value)?;
    if OWN_LABELS.contains(&key) {
        return Err(format!("{key} is a label that the node sets itself, from its name, its provider and what it is"));
    }
    Ok((key.to_owned(), value.to_owned()))
}

/// An address that others can reach. "All interfaces" is what is listened on when nothing is given, not what others can be told.
fn parse_address(text: &str) -> Result<IpAddr, String> {
    let address: IpAddr = text.parse().map_err(|_| format!("{text:?} is no IP address"))?;
    let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    if address.is_unspecified() || address.is_multicast() || broadcast {
        return Err(format!(
            "{address} is no address of one machine: give the one that the API server reaches this node at, or leave the flag out to listen on all and have it found"
        ));
    }
    Ok(address)
}

/// A name or an address, and a port where it is not 443. IPv6 addresses with a port are in brackets.
fn parse_kubernetes_service(text: &str) -> Result<(String, u16), String> {
    let wrong =
        || format!("{text:?} is no HOST or HOST:PORT, such as api.example.com, 10.0.0.1:6443 or [fd00::1]:6443");
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok((address.to_string(), 443));
    }
    if let Ok(address) = text.parse::<std::net::SocketAddr>() {
        return Ok((address.ip().to_string(), address.port()));
    }
    let (host, port) = text.rsplit_once(':').unwrap_or((text, "443"));
    let port: u16 = port.parse().map_err(|_| wrong())?;
    if port == 0 || !is_subdomain(&host.to_ascii_lowercase()) { Err(wrong()) } else { Ok((host.to_owned(), port)) }
}

/// It becomes a tag in backends, which take different characters: these are in all of them.
fn parse_cluster_id(text: &str) -> Result<String, String> {
    let fits = !text.is_empty() && text.len() <= 63 && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if fits { Ok(text.to_owned()) } else { Err(format!("{text:?} must be 1 to 63 letters, digits and '-'")) }
}

/// A DNS subdomain (RFC 1123), as the API server wants names of nodes.
fn parse_node_name(text: &str) -> Result<String, String> {
    if is_subdomain(text) && text.len() <= 63 {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "{text:?} must be lower-case letters, digits, '-' and '.', starting and ending with a letter or digit, at most 63: it is also the value of the label kubernetes.io/hostname"
        ))
    }
}

fn is_subdomain(text: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(part)
}

/// The key of a label or taint: [prefix/]name.
fn qualified_name(key: &str) -> Result<(), String> {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    if prefix.is_none_or(is_subdomain) && !name.is_empty() && label_value(name).is_ok() {
        return Ok(());
    }
    Err(format!("{key:?} is no key such as example.com/zone"))
}

/// At most 63 letters, digits, '-', '_' and '.', starting and ending with a letter or digit; or nothing.
fn label_value(value: &str) -> Result<(), String> {
    let alphanumeric = |c: char| c.is_ascii_alphanumeric();
    let fits = value.len() <= 63
        && value.chars().all(|c| alphanumeric(c) || "-_.".contains(c))
        && (value.is_empty() || value.starts_with(alphanumeric) && value.ends_with(alphanumeric));
    if fits { Ok(()) } else { Err(format!("{value:?} is no value for a label or taint")) }
}

/// Durations as Go writes them: 500ms, 30s, 2m, 1h30m.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let duration: k8s_openapi::jiff::SignedDuration =
        text.parse().map_err(|_| format!("{text:?} is no duration such as 500ms, 30s or 5m"))?;
    Duration::try_from(duration).map_err(|_| format!("{text:?} is negative"))
}

#[cfg(test)]
mod tests;
