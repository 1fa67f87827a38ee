//! Instructions that are no requests.
//!
//! In: JSON objects. Out: [`Simple`]. Invariant: as for all instructions, a field that is not known is an error.

use std::collections::BTreeMap;

use pluglet_sdk::{Condition, PodRef, Taint};
use serde::Deserialize;
use serde_json::Value;

/// Which pod a lie is about.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct About {
    pub(crate) uid: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl About {
    pub(crate) fn pod(&self) -> PodRef {
        let Self { uid, namespace, name } = self.clone();
        PodRef { uid, namespace, name, generation: 0 }
    }
}

/// All that is told about the node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct NodeFacts {
    pub(crate) capacity: Option<BTreeMap<String, String>>,
    pub(crate) allocatable: BTreeMap<String, String>,
    pub(crate) architecture: Option<String>,
    pub(crate) operating_system: Option<String>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) taints: Vec<[String; 3]>,
    pub(crate) conditions: Vec<[String; 4]>,
}

impl NodeFacts {
    pub(crate) fn facts(&self) -> pluglet_sdk::NodeFacts {
        let default = pluglet_sdk::NodeFacts::default();
        let taint = |[key, value, effect]: [String; 3]| Taint { key, value, effect };
        let condition = |[kind, status, reason, message]: [String; 4]| Condition { kind, status, reason, message };
        let told = self.clone();
        pluglet_sdk::NodeFacts {
            capacity: told.capacity.unwrap_or(default.capacity),
            allocatable: told.allocatable,
            architecture: told.architecture.unwrap_or(default.architecture),
            operating_system: told.operating_system.unwrap_or(default.operating_system),
            labels: told.labels,
            taints: told.taints.into_iter().map(taint).collect(),
            conditions: told.conditions.into_iter().map(condition).collect(),
        }
    }
}

/// Where lines go.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum To {
    #[default]
    Log,
    Stdout,
    Stderr,
}

fn once() -> u64 {
    1
}

/// Everything that is no request. The README describes each.
#[derive(Debug, Deserialize)]
#[serde(tag = "op", deny_unknown_fields, rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(crate) enum Simple {
    Log {
        level: Option<String>,
        message: String,
        #[serde(default)]
        fields: Vec<(String, String)>,
    },
    LogFlood {
        bytes: u64,
        line_bytes: usize,
        #[serde(default)]
        to: To,
    },
    KvFill {
        key_bytes: usize,
        value_bytes: usize,
        count: u64,
    },
    KvPut {
        key: String,
        value: String,
    },
    KvGet {
        key: String,
    },
    KvEntries {
        #[serde(default)]
        prefix: String,
    },
    MemoryBomb {
        bytes: Option<u64>,
    },
    Spin,
    Busy {
        ms: u64,
    },
    Recursion,
    Unreachable,
    Panic {
        text: String,
    },
    Exit {
        code: i32,
    },
    LeakStreams {
        n: u64,
    },
    LeakTasks {
        n: u64,
    },
    Random {
        bytes: u32,
    },
    Env,
    /// Where in its memory a text stands that is given backwards, so that it does not stand there already.
    ScanMemory {
        backwards: String,
    },
    Sleep {
        ms: u64,
    },
    Remaining {
        every: u64,
        times: u64,
    },
    Counters {
        n: u64,
        #[serde(default)]
        name: Option<String>,
    },
    Gauge {
        name: String,
        value: f64,
    },
    Status {
        #[serde(default)]
        uid: String,
        #[serde(default)]
        namespace: String,
        #[serde(default)]
        name: String,
        #[serde(default)]
        phase: String,
        #[serde(default)]
        message: String,
        #[serde(default)]
        json: Option<Value>,
        #[serde(default = "once")]
        n: u64,
    },
    Gone {
        #[serde(default)]
        uid: String,
        #[serde(default)]
        namespace: String,
        #[serde(default)]
        name: String,
        #[serde(default = "once")]
        n: u64,
    },
    PodEvent {
        #[serde(default)]
        uid: String,
        #[serde(default)]
        namespace: String,
        #[serde(default)]
        name: String,
        #[serde(default)]
        warning: bool,
        #[serde(default)]
        reason: String,
        #[serde(default)]
        message: String,
        #[serde(default = "once")]
        n: u64,
    },
    Resync {
        #[serde(default = "once")]
        n: u64,
    },
    NodeFacts {
        facts: NodeFacts,
    },
    HugeStatus {
        bytes: usize,
        #[serde(default)]
        answer: bool,
    },
    Answer {
        json: Value,
    },
    Fail {
        case: String,
        #[serde(default)]
        text: String,
    },
}
