//! How far a pull is.
//!
//! In: the lines of a pull. Out: a few words for people. Invariant: pure; only what the engine says is counted, and Podman says hardly any bytes.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

const MIB: f64 = 1_048_576.0;

/// What a line says.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Step {
    /// The layer, where it is about one.
    id: Option<String>,
    status: Option<String>,
    #[serde(rename = "progressDetail")]
    detail: Option<Detail>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Detail {
    current: u64,
    total: u64,
}

#[derive(Default)]
struct Layer {
    current: u64,
    total: u64,
    done: bool,
}

/// All layers that were named so far.
#[derive(Default)]
pub(super) struct Progress(BTreeMap<String, Layer>);

impl Progress {
    pub(super) fn add(&mut self, step: Step) {
        let (Some(id), Some(status)) = (step.id, step.status) else { return };
        // The first line of Docker's names the tag.
        if status.starts_with("Pulling from") {
            return;
        }
        let layer = self.0.entry(id).or_default();
        match status.as_str() {
            "Downloading" => {
                let Detail { current, total } = step.detail.unwrap_or_default();
                (layer.current, layer.total) = (current, total.max(layer.total));
            }
            "Download complete" | "Pull complete" | "Already exists" => {
                layer.done = true;
                layer.current = layer.total;
            }
            _ => {}
        }
    }
}

impl fmt::Display for Progress {
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done = self.0.values().filter(|layer| layer.done).count();
        let (current, total) =
            self.0.values().fold((0, 0), |(current, total), layer| (current + layer.current, total + layer.total));
        if total > 0 {
            write!(f, "{:.1} of {:.1} MiB, ", current as f64 / MIB, total as f64 / MIB)?;
        }
        write!(f, "{done} of {} layers", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(lines: &[&str]) -> String {
        let mut progress = Progress::default();
        lines.iter().for_each(|line| progress.add(serde_json::from_str(line).unwrap()));
        progress.to_string()
    }

    #[test]
    fn dockers_bytes_are_added_up() {
        let told = after(&[
            r#"{"status":"Pulling from t/bb","id":"1"}"#,
            r#"{"status":"Pulling fs layer","progressDetail":{},"id":"a"}"#,
            r#"{"status":"Already exists","progressDetail":{},"id":"b"}"#,
            r#"{"status":"Downloading","progressDetail":{"current":1048576,"total":2097152},"progress":"[=>]","id":"a"}"#,
            r#"{"status":"Digest: sha256:f5"}"#,
        ]);
        assert_eq!(told, "1.0 of 2.0 MiB, 1 of 2 layers");
    }

    #[test]
    fn podman_tells_only_layers() {
        let told = after(&[
            r#"{"status":"Pulling fs layer","progressDetail":{},"id":"a"}"#,
            r#"{"status":"Download complete","progressDetail":{},"id":"b"}"#,
        ]);
        assert_eq!(told, "1 of 2 layers");
    }
}
