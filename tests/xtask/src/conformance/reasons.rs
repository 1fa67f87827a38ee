//! Why specs fail or are skipped, as people wrote it.
//!
//! In: `tests/conformance/reasons.toml`. Out: for a spec's name, the reason. Invariant: the first entry that matches counts.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

/// All of them.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reasons {
    #[serde(default)]
    pub(super) reason: Vec<Reason>,
}

/// One of them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reason {
    /// A part of the specs' names; `*` is for anything.
    pub(super) spec: String,
    /// The reason.
    pub(super) why: String,
}

impl Reasons {
    /// Reads the file.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("{} is not what it should be", path.display()))
    }

    /// What is known about this spec.
    pub(super) fn of(&self, spec: &str) -> Option<&Reason> {
        self.reason.iter().find(|reason| matches(&reason.spec, spec))
    }
}

/// Whether the parts between stars come one after the other.
fn matches(pattern: &str, name: &str) -> bool {
    let mut rest = name;
    for part in pattern.split('*') {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_match_in_order() {
        let name = "[sig-node] Pods should be updated [NodeConformance]";
        for (pattern, expected) in
            [("should be updated", true), ("Pods*updated*[Node", true), ("updated*Pods", false), ("[Slow]", false)]
        {
            assert_eq!(matches(pattern, name), expected, "{pattern}");
        }
    }

    #[test]
    fn the_file_of_this_repository_can_be_read() {
        let path = controlplane::repository().join("tests/conformance/reasons.toml");
        let reasons = Reasons::read(&path).unwrap();
        assert!(reasons.reason.iter().all(|reason| !reason.why.is_empty() && !reason.spec.is_empty()));
    }
}
