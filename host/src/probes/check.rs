//! What a probe asks, read once.
//!
//! In: a `v1.Probe` and its container. Out: a [`Check`]. Invariant: ports are numbers, headers can be sent as they are; what is wrong with
//! a probe is found here and told by [`Check::Impossible`]. Pure.

use std::borrow::Cow;

use http::header::{
    ACCEPT, CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE, USER_AGENT,
};
use k8s_openapi::api::core::v1::{Container, HTTPGetAction, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use pluglet_rules::expand::expand;

/// Servers let probes of kubelets pass by this name; 1.37 is the version that the node reports.
pub(super) const AGENT: &str = "kube-probe/1.37";

/// Headers of one request. The API server takes as many as fit into an object of 1.5 MB, and each would be built and sent at each tick.
const MAX_HEADERS: usize = 64;

/// One check, ready to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// `httpGet`.
    Http(HttpGet),
    /// `tcpSocket`.
    Tcp {
        /// None: the pod's address.
        host: Option<String>,
        port: u16,
    },
    /// `grpc`: always at the pod's address.
    Grpc {
        port: u16,
        /// Empty for the server as a whole.
        service: String,
    },
    /// `exec`, not through a shell.
    Command(Vec<String>),
    /// It can never be made; why.
    Impossible(String),
}

/// A GET request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HttpGet {
    pub(super) tls: bool,
    /// None: the pod's address.
    pub(super) host: Option<String>,
    pub(super) port: u16,
    /// As written: path, query and fragment.
    pub(super) path: String,
    /// As sent, but for [`HttpGet::virtual_host`].
    pub(super) headers: HeaderMap,
    /// The `Host` header that is asked for.
    pub(super) virtual_host: Option<String>,
}

impl Check {
    /// What `probe` asks of `container`.
    pub(crate) fn of(probe: &Probe, container: &Container) -> Self {
        Self::read(probe, container).unwrap_or_else(Self::Impossible)
    }

    fn read(probe: &Probe, container: &Container) -> Result<Self, String> {
        if let Some(exec) = &probe.exec {
            let command = exec.command.iter().flatten();
            return Ok(Self::Command(command.map(|word| expand(word, |name| literal(container, name))).collect()));
        }
        if let Some(get) = &probe.http_get {
            return Ok(Self::Http(HttpGet {
                tls: get.scheme.as_deref().is_some_and(|scheme| scheme.eq_ignore_ascii_case("https")),
                host: get.host.clone().filter(|host| !host.is_empty()),
                port: port(&get.port, container)?,
                path: get.path.clone().unwrap_or_default(),
                headers: headers(get)?,
                virtual_host: virtual_host(get),
            }));
        }
        if let Some(tcp) = &probe.tcp_socket {
            let host = tcp.host.clone().filter(|host| !host.is_empty());
            return Ok(Self::Tcp { host, port: port(&tcp.port, container)? });
        }
        let grpc = probe.grpc.as_ref().ok_or_else(|| "the probe has no handler".to_owned())?;
        let service = grpc.service.clone().unwrap_or_default();
        Ok(Self::Grpc { port: number(grpc.port)?, service })
    }
}

/// The value that the container's own spec gives a variable: a kubelet expands commands of probes with nothing else
/// (`ExpandContainerCommandOnlyStatic`).
fn literal<'a>(container: &'a Container, name: &str) -> Option<Cow<'a, str>> {
    let variable = container.env.iter().flatten().find(|variable| variable.name == name)?;
    variable.value_from.is_none().then(|| variable.value.as_deref().unwrap_or_default().into())
}

/// `ResolveContainerPort` in `pkg/probe/util.go`: a name is looked up in the container's ports, else it may be a number in quotes.
fn port(port: &IntOrString, container: &Container) -> Result<u16, String> {
    match port {
        IntOrString::Int(port) => number(*port),
        IntOrString::String(name) => {
            let named = container.ports.iter().flatten().find(|port| port.name.as_ref() == Some(name));
            let port = named.map(|port| port.container_port).or_else(|| name.parse().ok());
            number(port.ok_or_else(|| format!("the container has no port named {name:?}"))?)
        }
    }
}

fn number(port: i32) -> Result<u16, String> {
    u16::try_from(port).ok().filter(|port| *port > 0).ok_or_else(|| format!("invalid port number: {port}"))
}

/// `newProbeRequest` in `pkg/probe/http/request.go`.
fn headers(get: &HTTPGetAction) -> Result<HeaderMap, String> {
    let wanted = get.http_headers.as_deref().unwrap_or_default();
    if wanted.len() > MAX_HEADERS {
        return Err(format!("{} headers are too many: at most {MAX_HEADERS} are sent", wanted.len()));
    }
    let mut headers = HeaderMap::new();
    for header in wanted {
        let name = HeaderName::from_bytes(header.name.as_bytes());
        let name = name.map_err(|_| format!("{:?} is not the name of a header", header.name))?;
        let value = HeaderValue::from_str(&header.value);
        let value = value.map_err(|_| format!("the value of the header {name} cannot be sent"))?;
        if !is_ours(&name) {
            headers.append(name, value);
        }
    }
    headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(AGENT));
    headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
    // Written empty, these two mean that none is sent.
    for name in [USER_AGENT, ACCEPT] {
        if headers.get(&name).is_some_and(HeaderValue::is_empty) {
            headers.remove(name);
        }
    }
    Ok(headers)
}

/// What frames a request is the client's to say: two opinions about where a request ends are how one is smuggled into another.
fn is_ours(name: &HeaderName) -> bool {
    [HOST, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, TE, TRAILER, UPGRADE].contains(name)
}

fn virtual_host(get: &HTTPGetAction) -> Option<String> {
    let headers = get.http_headers.iter().flatten();
    let mut hosts = headers.filter(|header| header.name.eq_ignore_ascii_case("host")).map(|header| &header.value);
    hosts.next().filter(|host| !host.is_empty()).cloned()
}

#[cfg(test)]
mod tests;
