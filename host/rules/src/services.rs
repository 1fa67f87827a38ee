//! Service variables (`REDIS_SERVICE_HOST`, `REDIS_PORT_6379_TCP`, …).
//!
//! In: the Services that a pod sees. Out: names and values, sorted. Invariant: only Services with a cluster IP make
//! variables. The rules are those of `pkg/kubelet/envvars` and `getServiceEnvVarMap`.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, Service};

use crate::objects::{Known, Object, Obstacle, look_up};
use crate::references::{ObjectRef, namespace};

/// What the rules read of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceFacts {
    /// `metadata.name`.
    pub name: Box<str>,
    /// `metadata.namespace`.
    pub namespace: Box<str>,
    /// `spec.clusterIP`; an address, never empty and never `None`.
    pub cluster_ip: Box<str>,
    /// `spec.ports`.
    pub ports: Box<[ServicePortFacts]>,
}

/// What the rules read of a Service's port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePortFacts {
    /// `name`; only the only port of a Service may be without.
    pub name: Option<Box<str>>,
    /// `port`.
    pub port: u16,
    /// `protocol`: TCP, UDP or SCTP.
    pub protocol: Box<str>,
}

impl ServiceFacts {
    /// None for a Service without a cluster IP: headless ones and external names make no variables.
    #[must_use]
    pub fn of(service: &Service) -> Option<Self> {
        let spec = service.spec.as_ref()?;
        let cluster_ip = spec.cluster_ip.as_deref().filter(|address| !matches!(*address, "" | "None"))?;
        let ports = spec.ports.iter().flatten().filter_map(|port| {
            Some(ServicePortFacts {
                name: port.name.as_deref().filter(|name| !name.is_empty()).map(Box::from),
                port: u16::try_from(port.port).ok()?,
                protocol: port.protocol.as_deref().filter(|protocol| !protocol.is_empty()).unwrap_or("TCP").into(),
            })
        });
        Some(Self {
            name: service.metadata.name.as_deref()?.into(),
            namespace: service.metadata.namespace.as_deref().unwrap_or("default").into(),
            cluster_ip: cluster_ip.into(),
            ports: ports.collect(),
        })
    }

    /// The API server as pods outside the cluster network reach it.
    fn kubernetes(host: &str, port: u16) -> Self {
        let port = ServicePortFacts { name: Some("https".into()), port, protocol: "TCP".into() };
        Self {
            name: "kubernetes".into(),
            namespace: "default".into(),
            cluster_ip: host.into(),
            ports: Box::new([port]),
        }
    }

    fn is_kubernetes(&self) -> bool {
        &*self.name == "kubernetes" && &*self.namespace == "default"
    }

    fn variables(&self, into: &mut BTreeMap<String, String>) {
        let (name, address) = (variable_name(&self.name), &self.cluster_ip);
        into.insert(format!("{name}_SERVICE_HOST"), address.to_string());
        if let Some(first) = self.ports.first() {
            // The first port has the names of the time when a Service had only one.
            into.insert(format!("{name}_SERVICE_PORT"), first.port.to_string());
            into.insert(format!("{name}_PORT"), first.url(address));
        }
        for port in &self.ports {
            if let Some(port_name) = &port.name {
                into.insert(format!("{name}_SERVICE_PORT_{}", variable_name(port_name)), port.port.to_string());
            }
            let prefix = format!("{name}_PORT_{}_{}", port.port, port.protocol.to_uppercase());
            into.insert(format!("{prefix}_PROTO"), port.protocol.to_lowercase());
            into.insert(format!("{prefix}_PORT"), port.port.to_string());
            into.insert(format!("{prefix}_ADDR"), address.to_string());
            into.insert(prefix, port.url(address));
        }
    }
}

impl ServicePortFacts {
    fn url(&self, address: &str) -> String {
        let protocol = self.protocol.to_lowercase();
        match address.parse::<Ipv6Addr>() {
            Ok(_) => format!("{protocol}://[{address}]:{}", self.port),
            Err(_) => format!("{protocol}://{address}:{}", self.port),
        }
    }
}

fn variable_name(name: &str) -> String {
    name.replace('-', "_").to_uppercase()
}

/// The service variables of a pod: those of its namespace if it wants them, those of `default/kubernetes` always.
///
/// Services that are not known yet or cannot be read hold the pod: without `KUBERNETES_SERVICE_HOST` a client in it
/// cannot start.
pub(crate) fn variables(
    pod: &Pod,
    object: &dyn Fn(&ObjectRef) -> Known,
    override_kubernetes: Option<(&str, u16)>,
) -> Result<BTreeMap<String, String>, Obstacle> {
    let mut variables = BTreeMap::new();
    let links = pod.spec.as_ref().is_none_or(|spec| spec.enable_service_links.unwrap_or(true));
    let own = ObjectRef::Services { namespace: namespace(pod).into() };
    let own = if links { read(object, &own)? } else { None };
    let own = services(own.as_deref()).iter().filter(|service| !service.is_kubernetes());
    // The kubelet prefers a Service of this name in the pod's own namespace.
    if !own.clone().any(|service| &*service.name == "kubernetes") {
        if let Some((host, port)) = override_kubernetes {
            ServiceFacts::kubernetes(host, port).variables(&mut variables);
        } else {
            let found = read(object, &ObjectRef::KubernetesService)?;
            services(found.as_deref()).iter().for_each(|service| service.variables(&mut variables));
        }
    }
    own.for_each(|service| service.variables(&mut variables));
    Ok(variables)
}

fn read(object: &dyn Fn(&ObjectRef) -> Known, reference: &ObjectRef) -> Result<Option<Arc<Object>>, Obstacle> {
    look_up(object, reference).map_err(|obstacle| match obstacle {
        Obstacle::Message(message) => format!("failed to list services when setting up env vars: {message}").into(),
        other => other,
    })
}

fn services(object: Option<&Object>) -> &[ServiceFacts] {
    match object {
        Some(Object::Services(services)) => services,
        _ => &[],
    }
}

#[cfg(test)]
mod tests;
