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

use crate::client::Dialect;
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

/// Pages of a tmpfs, in bytes.
const PAGE: u64 = 4096;

/// A volume in memory; the size is in bytes. Files that are made in it belong to the group.
pub(crate) fn volume(dialect: Dialect, name: &str, labels: &Labels, size: Option<u64>, group: Option<u32>) -> Value {
    // As Kubernetes' emptyDir: anybody may write.
    let mode = group.map_or("mode=1777".to_owned(), |group| format!("mode=3777,gid={group}"));
    let options = match (size, dialect) {
        (None, _) => mode,
        // It would take `size` for a quota of the file system that its volumes are on, and passes others on as they are.
        (Some(size), Dialect::Podman) => format!("{mode},nr_blocks={}", size.div_ceil(PAGE)),
        (Some(size), Dialect::Docker) => format!("{mode},size={size}"),
    };
    json!({
        "Name": name,
        "Driver": "local",
        "DriverOpts": {"type": "tmpfs", "device": "tmpfs", "o": options},
        "Labels": labels,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memory_volume_has_its_limit_in_the_words_of_each_engine_and_is_its_groups() {
        let options =
            |dialect, size, group| volume(dialect, "v", &Labels::new(), size, group)["DriverOpts"]["o"].clone();
        assert_eq!(options(Dialect::Podman, Some((1 << 20) + 1), Some(7)), "mode=3777,gid=7,nr_blocks=257");
        assert_eq!(options(Dialect::Docker, Some(1 << 20), None), "mode=1777,size=1048576");
        assert_eq!(options(Dialect::Podman, None, None), "mode=1777");
    }
}
