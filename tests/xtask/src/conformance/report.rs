//! What ginkgo wrote about a run.
//!
//! In: its report as JSON. Out: the specs that were to run, with what became of them. Invariant: specs that were not
//! selected are left out; they are skipped too, but for no reason of their own.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

/// A run.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) specs: Vec<Spec>,
}

/// One spec of it.
#[derive(Debug)]
pub(super) struct Spec {
    /// All of its name.
    pub(super) name: String,
    /// The outermost part of it.
    pub(super) area: String,
    /// What became of it.
    pub(super) end: End,
    /// How long it took.
    pub(super) seconds: u64,
}

/// What became of a spec.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    Passed,
    /// Only when it ran again.
    PassedLater,
    /// With what it said.
    Failed(String),
    /// With its reason.
    Skipped(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Suite {
    #[serde(default)]
    spec_reports: Option<Vec<SpecReport>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SpecReport {
    #[serde(default)]
    container_hierarchy_texts: Option<Vec<String>>,
    leaf_node_type: String,
    leaf_node_text: String,
    state: String,
    #[serde(default)]
    run_time: u64,
    #[serde(default)]
    num_attempts: u32,
    #[serde(default)]
    failure: Option<Failure>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Failure {
    #[serde(default)]
    message: String,
}

impl Report {
    /// Reads the file.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("the suite wrote no {}", path.display()))?;
        let suites: Vec<Suite> = serde_json::from_reader(BufReader::new(file)).context("ginkgo's report is not one")?;
        let reports = suites.into_iter().flat_map(|suite| suite.spec_reports.unwrap_or_default());
        let mut specs: Vec<Spec> = reports.filter_map(Spec::of).collect();
        specs.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(Self { specs })
    }
}

impl Spec {
    fn of(report: SpecReport) -> Option<Self> {
        let message = report.failure.map(|failure| failure.message).unwrap_or_default();
        let end = match report.state.as_str() {
            "passed" if report.num_attempts > 1 => End::PassedLater,
            "passed" => End::Passed,
            "skipped" | "pending" if message.is_empty() => return None,
            "skipped" => End::Skipped(message),
            state => End::Failed(if message.is_empty() { state.to_owned() } else { message }),
        };
        // What runs before and after all specs is of interest only when it fails.
        if report.leaf_node_type != "It" && !matches!(end, End::Failed(_)) {
            return None;
        }
        let mut parts = report.container_hierarchy_texts.unwrap_or_default();
        let area = parts.first().cloned().unwrap_or_else(|| report.leaf_node_type.clone());
        let leaf = if report.leaf_node_text.is_empty() { report.leaf_node_type } else { report.leaf_node_text };
        parts.push(leaf);
        Some(Self { name: parts.join(" "), area, end, seconds: report.run_time / 1_000_000_000 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_selected_is_left_out() {
        let attempted = |state: &str, message: &str, attempts: u32| {
            let text = format!(
                r#"[{{"SpecReports": [{{"ContainerHierarchyTexts": ["[sig-node] Pods"], "LeafNodeType": "It", "RunTime": 2000000000,
                "LeafNodeText": "run", "State": "{state}", "NumAttempts": {attempts}, "Failure": {{"Message": "{message}"}}}}]}}]"#
            );
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("report.json");
            std::fs::write(&path, text).unwrap();
            Report::read(&path).unwrap().specs.pop()
        };
        let spec = |state: &str, message: &str| attempted(state, message, 1);
        assert!(spec("skipped", "").is_none());
        assert_eq!(spec("skipped", "no IPv6").unwrap().end, End::Skipped("no IPv6".to_owned()));
        let passed = spec("passed", "").unwrap();
        assert_eq!((passed.name.as_str(), passed.area.as_str()), ("[sig-node] Pods run", "[sig-node] Pods"));
        assert_eq!(attempted("passed", "", 2).unwrap().end, End::PassedLater);
        assert_eq!(spec("timedout", "").unwrap().end, End::Failed("timedout".to_owned()));
    }
}
