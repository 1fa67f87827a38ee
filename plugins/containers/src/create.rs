//! What is asked of the engine when something is made.
//!
//! In: sandboxes, containers and volumes as the host describes them. Out: the JSON that makes them. Invariant: pure; what an engine cannot do is an
//! error here, and nothing is left out in silence.

pub(crate) mod container;
pub(crate) mod mounts;
pub(crate) mod resources;
pub(crate) mod sandbox;
pub(crate) mod security;

use serde_json::{Map, Value, json};

use crate::labels::Labels;

/// The engine's own checks cost processes and are told to nobody: the host has probes.
fn no_healthcheck() -> Value {
    json!({"Test": ["NONE"]})
}

/// An object without its empty fields, each of which would mean "not given".
fn filled(fields: Vec<(&str, Value)>) -> Map<String, Value> {
    let empty = |value: &Value| match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(set) => !set,
        Value::Number(_) => false,
    };
    fields.into_iter().filter(|(_, value)| !empty(value)).map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A volume in memory; the size is in bytes.
pub(crate) fn volume(name: &str, labels: &Labels, size: Option<u64>) -> Value {
    // As Kubernetes' emptyDir: anybody may write.
    let options = size.map_or("mode=1777".to_owned(), |size| format!("mode=1777,size={size}"));
    json!({
        "Name": name,
        "Driver": "local",
        "DriverOpts": {"type": "tmpfs", "device": "tmpfs", "o": options},
        "Labels": labels,
    })
}
