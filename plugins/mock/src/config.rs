//! The operator's configuration.
//!
//! In: the `config:` section. Out: [`Config`]. Invariant: an empty section makes a node that never runs full in a test.

use std::collections::BTreeMap;

use pluglet_sdk::kubernetes::Quantity;
use pluglet_sdk::{Feature, Info, NodeFacts};
use serde::Deserialize;

/// The kinds of volumes of `v1.Volume` in Kubernetes 1.37.
const VOLUME_KINDS: [&str; 30] = [
    "awsElasticBlockStore",
    "azureDisk",
    "azureFile",
    "cephfs",
    "cinder",
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "fc",
    "flexVolume",
    "flocker",
    "gcePersistentDisk",
    "gitRepo",
    "glusterfs",
    "hostPath",
    "image",
    "iscsi",
    "nfs",
    "persistentVolumeClaim",
    "photonPersistentDisk",
    "portworxVolume",
    "projected",
    "quobyte",
    "rbd",
    "scaleIO",
    "secret",
    "storageos",
    "vsphereVolume",
];

/// What the node looks like, and what the provider can do.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Config {
    cpu: Quantity,
    memory: Quantity,
    pods: Quantity,
    labels: BTreeMap<String, String>,
    architecture: String,
    volume_kinds: Vec<String>,
    probes: Probes,
    features: Switches,
}

/// Who runs the probes.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
enum Probes {
    /// This provider: whatever runs is started and ready.
    Provider,
    Host,
}

/// Powers that can be taken away.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Switches {
    update: bool,
    logs: bool,
    exec: bool,
    refresh: bool,
    restart: bool,
    attach: bool,
    #[serde(rename = "portForward")]
    port_forward: bool,
    stats: bool,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            update: true,
            logs: true,
            exec: true,
            refresh: true,
            restart: true,
            attach: true,
            port_forward: true,
            stats: true,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cpu: "1000".into(),
            memory: "4Ti".into(),
            pods: "10000".into(),
            labels: BTreeMap::new(),
            architecture: "amd64".to_owned(),
            volume_kinds: VOLUME_KINDS.map(str::to_owned).to_vec(),
            probes: Probes::Provider,
            features: Switches::default(),
        }
    }
}

impl Config {
    /// What the provider tells about itself.
    pub(crate) fn info(&self) -> Info {
        let Switches { update, logs, exec, refresh, restart, attach, port_forward, stats } = self.features;
        let features = [
            (true, Feature::Watch),
            (update, Feature::Update),
            (logs, Feature::Logs),
            (exec, Feature::Exec),
            (refresh, Feature::Refresh),
            (restart, Feature::Restart),
            (attach, Feature::Attach),
            (port_forward, Feature::PortForward),
            (stats, Feature::Stats),
            (!self.host_probes(), Feature::Probes),
        ];
        let features = features.into_iter().filter_map(|(set, feature)| set.then_some(feature));
        Info::new(features).volume_kinds(&self.volume_kinds).node(self.node())
    }

    /// Whether the host runs the probes.
    pub(crate) fn host_probes(&self) -> bool {
        self.probes == Probes::Host
    }

    fn node(&self) -> NodeFacts {
        let node = NodeFacts::default()
            .cpu(&self.cpu)
            .memory(&self.memory)
            .pods(&self.pods)
            .architecture(&self.architecture)
            .resource("ephemeral-storage", "100Ti");
        NodeFacts { labels: self.labels.clone(), ..node }
    }
}
