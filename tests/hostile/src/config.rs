//! The operator's configuration.
//!
//! In: the `config:` section. Out: [`Config`]. Invariant: an empty section makes a provider that behaves until a pod tells it otherwise.

use pluglet_sdk::{PodRef, Status};
use serde::Deserialize;
use serde_json::Value;

use crate::instruction::{About, NodeFacts};

/// How the provider misbehaves by itself.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Config {
    pub(crate) start: Option<Start>,
    pub(crate) list_error: Option<String>,
    pub(crate) list_extra: Vec<Extra>,
    pub(crate) node: NodeFacts,
}

/// What happens in `start` instead of starting.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Start {
    Spin,
    Trap,
    Sleep,
    Bomb,
}

/// A pod that `list` makes up.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Extra {
    uid: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    generation: u64,
    #[serde(default)]
    status: Value,
}

impl Extra {
    pub(crate) fn listed(&self) -> (PodRef, Status) {
        let about = About { uid: self.uid.clone(), namespace: self.namespace.clone(), name: self.name.clone() };
        (PodRef { generation: self.generation, ..about.pod() }, raw_status(&self.status))
    }
}

/// An object is a status; a text is passed on as it is, so that it need not even be JSON.
pub(crate) fn raw_status(status: &Value) -> Status {
    Status::from_json(status.as_str().map_or_else(|| status.to_string(), str::to_owned))
}
