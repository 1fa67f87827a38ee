//! What a provider tells about itself and about its node.
//!
//! In: builder calls. Out: [`Info`]. Invariant: the defaults make a node on which pods can be scheduled.

use std::collections::BTreeMap;

/// An optional power. What is not told here the host does not call; users get HTTP 501 with a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Feature {
    /// [`crate::Provider::update`] is implemented.
    Update,
    /// The provider reports changes by [`crate::Host::report`] and [`crate::Host::gone`]. Without it the host polls
    /// [`crate::Provider::list`].
    Watch,
    /// [`crate::Provider::logs`] is implemented.
    Logs,
    /// [`crate::Provider::exec`] is implemented.
    Exec,
    /// [`crate::Provider::attach`] is implemented.
    Attach,
    /// [`crate::Provider::port_forward`] is implemented.
    PortForward,
    /// [`crate::Provider::stats`] is implemented.
    Stats,
    /// [`crate::Provider::volumes_changed`] is implemented. Without it the files of a pod stay as they were when it was created.
    Refresh,
    /// [`crate::Provider::restart_container`] is implemented. Without it a container that fails its liveness probe goes on, and an event
    /// says so.
    Restart,
    /// The provider runs startup, readiness and liveness probes itself, restarts what fails them, and reports `ready` and `started` of each
    /// container accordingly. Without it the host runs the probes and decides both.
    Probes,
    /// The provider is a [`crate::Runtime`]: the host does for its pods what a kubelet does above a container runtime. Must be among the features that
    /// `export!` names, too.
    Containers,
}

impl Feature {
    /// The name in the contract and in the manifest.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Update => "update",
            Self::Watch => "watch",
            Self::Logs => "logs",
            Self::Exec => "exec",
            Self::Attach => "attach",
            Self::PortForward => "port-forward",
            Self::Stats => "stats",
            Self::Refresh => "refresh",
            Self::Restart => "restart",
            Self::Probes => "probes",
            Self::Containers => "containers",
        }
    }
}

/// What a provider can do, and its node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// Optional powers.
    pub features: Vec<Feature>,
    /// Volume kinds that the provider can give to a container, by the field name in `v1.Volume` (`configMap`, `emptyDir`, …).
    /// A kind that is not listed costs nothing: no Secret is read for a provider that takes no files. A pod with a volume of such a kind
    /// never arrives; it waits with an event that names the kind.
    pub volume_kinds: Vec<String>,
    /// The node.
    pub node: NodeFacts,
}

impl Info {
    /// A provider with these powers, no volumes and the default node.
    #[must_use]
    pub fn new(features: impl IntoIterator<Item = Feature>) -> Self {
        Self { features: features.into_iter().collect(), ..Self::default() }
    }

    /// Set the volume kinds.
    #[must_use]
    pub fn volume_kinds<S: Into<String>>(mut self, kinds: impl IntoIterator<Item = S>) -> Self {
        self.volume_kinds = kinds.into_iter().map(Into::into).collect();
        self
    }

    /// Set the node.
    #[must_use]
    pub fn node(mut self, node: NodeFacts) -> Self {
        self.node = node;
        self
    }
}

/// The node as the backend knows it. Everything here ends up in the `v1.Node`; what the operator sets wins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeFacts {
    /// Resource name → quantity, such as `cpu` → `16`. Without `pods` nothing can be scheduled.
    pub capacity: BTreeMap<String, String>,
    /// Empty: the same as `capacity`.
    pub allocatable: BTreeMap<String, String>,
    /// As in GOARCH: `amd64`, `arm64`, …
    pub architecture: String,
    /// `linux` or `windows`.
    pub operating_system: String,
    /// Labels of the node.
    pub labels: BTreeMap<String, String>,
    /// Taints of the node.
    pub taints: Vec<Taint>,
    /// Conditions of the backend. `Ready` and the pressure conditions belong to the host and are ignored.
    pub conditions: Vec<Condition>,
}

/// 16 CPUs, 64Gi of memory, 100Gi of ephemeral storage, 110 pods, linux/amd64.
impl Default for NodeFacts {
    fn default() -> Self {
        let capacity = [("cpu", "16"), ("memory", "64Gi"), ("ephemeral-storage", "100Gi"), ("pods", "110")];
        Self {
            capacity: capacity.iter().map(|(name, quantity)| ((*name).into(), (*quantity).into())).collect(),
            allocatable: BTreeMap::new(),
            architecture: "amd64".into(),
            operating_system: "linux".into(),
            labels: BTreeMap::new(),
            taints: Vec::new(),
            conditions: Vec::new(),
        }
    }
}

impl NodeFacts {
    /// The capacity of one resource, such as `("nvidia.com/gpu", "8")`. Replaces the default.
    #[must_use]
    pub fn resource(mut self, name: impl Into<String>, quantity: impl Into<String>) -> Self {
        self.capacity.insert(name.into(), quantity.into());
        self
    }

    /// CPUs, as a Kubernetes quantity.
    #[must_use]
    pub fn cpu(self, quantity: impl Into<String>) -> Self {
        self.resource("cpu", quantity)
    }

    /// Memory, as a Kubernetes quantity.
    #[must_use]
    pub fn memory(self, quantity: impl Into<String>) -> Self {
        self.resource("memory", quantity)
    }

    /// How many pods fit.
    #[must_use]
    pub fn pods(self, quantity: impl Into<String>) -> Self {
        self.resource("pods", quantity)
    }

    /// As in GOARCH.
    #[must_use]
    pub fn architecture(mut self, architecture: impl Into<String>) -> Self {
        self.architecture = architecture.into();
        self
    }

    /// One label of the node.
    #[must_use]
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }

    /// One taint of the node.
    #[must_use]
    pub fn taint(mut self, taint: Taint) -> Self {
        self.taints.push(taint);
        self
    }

    /// One condition of the node.
    #[must_use]
    pub fn condition(mut self, condition: Condition) -> Self {
        self.conditions.push(condition);
        self
    }
}

/// A taint of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taint {
    /// Its key.
    pub key: String,
    /// Its value; may be empty.
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

/// A condition of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Its type, in UpperCamelCase.
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// One word, in UpperCamelCase.
    pub reason: String,
    /// For people.
    pub message: String,
}
