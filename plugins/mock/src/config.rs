//! The operator's configuration.
//!
//! In: the `config:` section. Out: [`Config`]. Invariant: an empty section makes a node that never runs full in a test.

use std::collections::BTreeMap;

use pluglet_sdk::NodeFacts;
use pluglet_sdk::kubernetes::Quantity;
use serde::Deserialize;

/// What the node looks like.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    cpu: Quantity,
    memory: Quantity,
    pods: Quantity,
    labels: BTreeMap<String, String>,
    architecture: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cpu: "1000".into(),
            memory: "4Ti".into(),
            pods: "10000".into(),
            labels: BTreeMap::new(),
            architecture: "amd64".to_owned(),
        }
    }
}

impl Config {
    pub(crate) fn node(&self) -> NodeFacts {
        let node = NodeFacts::default()
            .cpu(&self.cpu)
            .memory(&self.memory)
            .pods(&self.pods)
            .architecture(&self.architecture)
            .resource("ephemeral-storage", "100Ti");
        NodeFacts { labels: self.labels.clone(), ..node }
    }
}
