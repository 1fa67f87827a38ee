//! Objects that pods name.
//!
//! In: names and contents. Out: manifests for [`World::create`](crate::World::create). Invariant: what the API server would default is left to it.

use serde_json::{Value, json};

/// An object with more fields; those that it has already are replaced.
#[must_use]
pub fn with(mut object: Value, more: &Value) -> Value {
    extend(&mut object, more);
    object
}

pub(crate) fn extend(object: &mut Value, more: &Value) {
    if let (Some(object), Some(more)) = (object.as_object_mut(), more.as_object()) {
        object.extend(more.clone());
    }
}

/// A ConfigMap with text.
#[must_use]
pub fn config_map(name: &str, data: &Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": data })
}

/// A Secret of the usual kind, from plain text.
#[must_use]
pub fn secret(name: &str, data: &Value) -> Value {
    typed_secret(name, "Opaque", data)
}

/// A Secret of another type, from plain text.
#[must_use]
pub fn typed_secret(name: &str, type_: &str, data: &Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name }, "type": type_, "stringData": data })
}

/// A Service with that address; `None` as a string for a headless one.
#[must_use]
pub fn service(name: &str, cluster_ip: &str, ports: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": name },
        "spec": { "clusterIP": cluster_ip, "ports": ports, "selector": { "app": name } },
    })
}
