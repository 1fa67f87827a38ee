//! The downward API: fields of the pod and resources of its containers, as text.
//!
//! In: a pod, facts about the node. Out: values of `fieldRef` and `resourceFieldRef`. Invariant: only the paths that
//! the API allows have a value; the texts for all others are the kubelet's (`pkg/fieldpath`,
//! `ConvertDownwardAPIFieldLabel`).

pub(crate) mod quote;
pub(crate) mod resource;

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{ObjectFieldSelector, Pod};

use crate::references::namespace;

/// An address that only the provider knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PodAddress {
    /// `status.podIP`.
    PodIp,
    /// `status.podIPs`, joined by commas.
    PodIps,
}

impl PodAddress {
    /// The field path.
    pub(crate) fn field_path(self) -> &'static str {
        match self {
            Self::PodIp => "status.podIP",
            Self::PodIps => "status.podIPs",
        }
    }
}

/// The value of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Value(String),
    /// The provider fills it in.
    Provider(PodAddress),
}

/// The value of a `fieldRef` in an environment (`podFieldSelectorRuntimeValue`).
pub(crate) fn environment_field(
    pod: &Pod,
    field: &ObjectFieldSelector,
    node_name: &str,
    host_ips: &[IpAddr],
) -> Result<Field, String> {
    let path = field.field_path.as_str();
    let version = field.api_version.as_deref().unwrap_or("v1");
    if version != "v1" {
        return Err(format!("unsupported pod version: {version}"));
    }
    match path {
        // `spec.host` is what clients older than v1 sent.
        "spec.nodeName" | "spec.host" => Ok(Field::Value(node_name.to_owned())),
        "spec.serviceAccountName" => {
            let name = pod.spec.as_ref().and_then(|spec| spec.service_account_name.clone());
            Ok(Field::Value(name.unwrap_or_default()))
        }
        "status.hostIP" => match host_ips.first() {
            Some(address) => Ok(Field::Value(address.to_string())),
            None => Err("the node has no address yet".to_owned()),
        },
        "status.hostIPs" if host_ips.is_empty() => Err("the node has no address yet".to_owned()),
        "status.hostIPs" => {
            let addresses: Vec<_> = host_ips.iter().map(ToString::to_string).collect();
            Ok(Field::Value(addresses.join(",")))
        }
        "status.podIP" => Ok(Field::Provider(PodAddress::PodIp)),
        "status.podIPs" => Ok(Field::Provider(PodAddress::PodIps)),
        // Known to the API as selectors of pods, but not to the downward API.
        "spec.restartPolicy" | "spec.schedulerName" | "status.phase" => Err(format!("unsupported fieldPath: {path}")),
        _ => match split_subscript(path) {
            Some(("metadata.annotations" | "metadata.labels", _)) => metadata_field(pod, path).map(Field::Value),
            Some(_) => Err(format!("field label does not support subscript: {path}")),
            None if path.starts_with("metadata.") => metadata_field(pod, path)
                .map(Field::Value)
                .map_err(|_unsupported| format!("field label not supported: {path}")),
            None => Err(format!("field label not supported: {path}")),
        },
    }
}

/// The value of a `fieldRef` in a volume, or of a path of the metadata in an environment (`ExtractFieldPathAsString`).
/// Labels and annotations change while a pod runs.
pub(crate) fn metadata_field(pod: &Pod, path: &str) -> Result<String, String> {
    let metadata = &pod.metadata;
    if let Some((path, key)) = split_subscript(path) {
        let map = match path {
            "metadata.annotations" => &metadata.annotations,
            "metadata.labels" => &metadata.labels,
            _ => {
                return Err(format!(
                    "fieldPath {} does not support subscript",
                    quote::quote(&format!("{path}['{key}']"))
                ));
            }
        };
        return Ok(map.as_ref().and_then(|map| map.get(key)).cloned().unwrap_or_default());
    }
    match path {
        "metadata.annotations" => Ok(format_map(metadata.annotations.as_ref())),
        "metadata.labels" => Ok(format_map(metadata.labels.as_ref())),
        "metadata.name" => Ok(metadata.name.clone().unwrap_or_default()),
        "metadata.namespace" => Ok(namespace(pod).to_owned()),
        "metadata.uid" => Ok(metadata.uid.clone().unwrap_or_default()),
        _ => Err(format!("unsupported fieldPath: {path}")),
    }
}

/// `metadata.labels['key']` in two (`SplitMaybeSubscriptedPath`).
fn split_subscript(path: &str) -> Option<(&str, &str)> {
    let (path, key) = path.strip_suffix("']")?.split_once("['")?;
    (!path.is_empty()).then_some((path, key))
}

/// One `key="value"` in a line, sorted by key, without a newline at the end (`FormatMap`).
fn format_map(map: Option<&BTreeMap<String, String>>) -> String {
    let lines: Vec<_> =
        map.into_iter().flatten().map(|(key, value)| format!("{key}={}", quote::quote(value))).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests;
