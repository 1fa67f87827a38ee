//! What is known of a pod, in memory and in the host's key-value store alike.
//!
//! In: the pod's JSON at its creation. Out: [`Record`]. Invariant: a pod's whole life follows from its record and the time of day, so a
//! provider that starts again and reads the record tells the same statuses to the byte.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use pluglet_sdk::kubernetes::RestartPolicy;
use pluglet_sdk::{Error, PodRef, Result};
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::life::Run;
use crate::script::{PREFIX, Script};

/// A pod, as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    pub(crate) pod: PodRef,
    pub(crate) created_ns: u64,
    pub(crate) ip: String,
    pub(crate) restart_policy: RestartPolicy,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) init_containers: Vec<Container>,
    pub(crate) containers: Vec<Container>,
    /// Those that script the pod.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
    /// The annotations, read once.
    #[serde(skip)]
    pub(crate) script: Script,
}

/// A container, as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Container {
    pub(crate) name: String,
    pub(crate) image: String,
    /// An init container that runs on beside the others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) sidecar: bool,
    /// The restart that came from outside, from which on its life is counted anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) replaced: Option<Replaced>,
}

/// How a run was ended from outside: by an update of the image, or by the call that restarts a container.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Replaced {
    /// The number of the run that it ended.
    pub(crate) attempt: u32,
    pub(crate) started_ns: u64,
    pub(crate) ended_ns: u64,
    pub(crate) exit_code: i32,
}

impl Container {
    /// End its present run and start the next.
    pub(crate) fn replace(&mut self, run: &Run, ended_ns: u64, exit_code: i32) {
        let Run { attempt, started_ns, .. } = *run;
        self.replaced = Some(Replaced { attempt, started_ns, ended_ns, exit_code });
    }
}

impl Replaced {
    /// The run that was ended.
    pub(crate) fn run(&self) -> Run {
        let Self { attempt, started_ns, ended_ns, exit_code } = *self;
        Run { attempt, started_ns, ends_ns: Some(ended_ns), exit_code }
    }
}

impl Record {
    /// The pod of a create call.
    pub(crate) fn new(pod: PodRef, view: PodView, script: Script, created_ns: u64, ip: String) -> Self {
        Self {
            pod,
            created_ns,
            ip,
            restart_policy: view.spec.restart_policy,
            init_containers: view.spec.init_containers.into_iter().map(Container::from).collect(),
            containers: view.spec.containers.into_iter().map(Container::from).collect(),
            annotations: view.metadata.annotations,
            script,
        }
    }

    /// Under which key it is kept.
    pub(crate) fn key(uid: &str) -> String {
        format!("pod/{uid}")
    }

    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|error| Error::internal(error.to_string()))
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut record: Self = serde_json::from_slice(bytes).map_err(|error| Error::internal(error.to_string()))?;
        record.script = Script::parse(&record.annotations)?;
        Ok(record)
    }

    /// All of its containers, those that run first before the others.
    pub(crate) fn all_containers(&mut self) -> impl Iterator<Item = &mut Container> {
        self.init_containers.iter_mut().chain(&mut self.containers)
    }

    /// When its containers start for the first time.
    pub(crate) fn first_start_ns(&self) -> u64 {
        self.created_ns.saturating_add(self.script.start_delay)
    }
}

/// The few fields of a `v1.Pod` that this provider reads.
#[derive(Debug, Deserialize)]
pub(crate) struct PodView {
    #[serde(default)]
    pub(crate) metadata: MetadataView,
    pub(crate) spec: SpecView,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MetadataView {
    /// Only those with [`PREFIX`].
    #[serde(default, deserialize_with = "own_annotations")]
    pub(crate) annotations: BTreeMap<String, String>,
    /// The Job, ReplicaSet, … that made the pod.
    #[serde(default)]
    pub(crate) owner_references: Vec<OwnerView>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct OwnerView {
    pub(crate) uid: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SpecView {
    #[serde(default)]
    restart_policy: RestartPolicy,
    #[serde(default)]
    init_containers: Vec<ContainerView>,
    pub(crate) containers: Vec<ContainerView>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ContainerView {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) image: String,
    restart_policy: Option<RestartPolicy>,
}

impl From<ContainerView> for Container {
    fn from(view: ContainerView) -> Self {
        let sidecar = view.restart_policy == Some(RestartPolicy::Always);
        Self { name: view.name, image: view.image, sidecar, replaced: None }
    }
}

/// Keeps what this provider understands and skips the rest without copying it: annotations can be long.
fn own_annotations<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    #[derive(Deserialize)]
    struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

    struct Own;
    impl<'de> Visitor<'de> for Own {
        type Value = BTreeMap<String, String>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("annotations")
        }
        fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
            let mut own = BTreeMap::new();
            while let Some(Key(key)) = map.next_key()? {
                if key.starts_with(PREFIX) {
                    own.insert(key.into_owned(), map.next_value()?);
                } else {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            Ok(own)
        }
    }
    deserializer.deserialize_map(Own)
}
