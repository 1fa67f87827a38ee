//! What the Node object shall be, and the patches that lead there.
//!
//! In: [`Settings`], the provider's [`Health`], the object as it is. Out: a new object or patches. Invariant: pure; a patch names only
//! what is ours and differs.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1::{
    DaemonEndpoint, Node, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeSpec, NodeStatus, NodeSystemInfo, Taint,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use pluglet_model::provider::{Health, NodeFacts};
use serde_json::{Value, json};

use super::facts::Added;

/// The newest Kubernetes minor version whose kubelet this node behaves like.
const NEWEST_MINOR: u32 = 37;

/// `nodeInfo.kubeletVersion`: a kubelet may not be newer than its API server, whose minor version is given where it is known.
pub(crate) fn kubelet_version(server_minor: Option<u32>) -> String {
    let minor = server_minor.unwrap_or(NEWEST_MINOR).min(NEWEST_MINOR);
    format!("v1.{minor}.0+pluglet.{}", env!("CARGO_PKG_VERSION"))
}

/// What the operator decided.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub name: String,
    /// The provider's name, for labels and `containerRuntimeVersion`.
    pub provider: String,
    /// Where the API server reaches the kubelet server.
    pub address: IpAddr,
    pub port: u16,
    /// See [`kubelet_version`].
    pub kubelet_version: String,
    pub labels: BTreeMap<String, String>,
    /// None: the usual taint of virtual nodes.
    pub taints: Option<Vec<Taint>>,
    /// How long the provider may be away before the node stops being ready.
    pub provider_tolerance: Duration,
}

/// Label keys under which every virtual node can be found, or excluded by a DaemonSet's affinity.
fn labels(settings: &Settings, facts: &NodeFacts) -> BTreeMap<String, String> {
    let mut labels = facts.labels.clone();
    let own = [
        ("kubernetes.io/hostname", settings.name.as_str()),
        ("kubernetes.io/os", facts.operating_system.as_str()),
        ("kubernetes.io/arch", facts.architecture.as_str()),
        ("type", "virtual-kubelet"),
        ("pluglet.dev/provider", settings.provider.as_str()),
        // The node's address is no load balancer target: pods run elsewhere.
        ("node.kubernetes.io/exclude-from-external-load-balancers", "true"),
    ];
    labels.extend(own.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())));
    labels.extend(settings.labels.clone());
    labels
}

fn taints(settings: &Settings, facts: &NodeFacts) -> Vec<Taint> {
    if let Some(chosen) = &settings.taints {
        return chosen.clone();
    }
    let mut taints = vec![Taint {
        key: "virtual-kubelet.io/provider".to_owned(),
        value: Some(settings.provider.clone()),
        effect: "NoSchedule".to_owned(),
        time_added: None,
    }];
    for taint in &facts.taints {
        // The API server refuses a list that names a key and effect twice, and with it the taints that are right.
        if !taints.iter().any(|other| same(other, taint)) {
            taints.push(taint.clone());
        }
    }
    taints
}

fn same(a: &Taint, b: &Taint) -> bool {
    a.key == b.key && a.effect == b.effect
}

/// The object for a node that does not exist yet.
pub(crate) fn object(settings: &Settings, health: &Health, now: &Time) -> Node {
    let facts = facts(health);
    Node {
        metadata: ObjectMeta {
            name: Some(settings.name.clone()),
            labels: Some(labels(settings, &facts)),
            ..ObjectMeta::default()
        },
        spec: Some(NodeSpec { taints: Some(taints(settings, &facts)), ..NodeSpec::default() }),
        status: Some(status(settings, health, &NodeStatus::default(), now, false)),
    }
}

fn facts(health: &Health) -> NodeFacts {
    health.info.as_ref().map(|info| info.node.clone()).unwrap_or_default()
}

/// Labels of ours that are missing or changed, as a merge patch; null for those that the provider had us add and names no more.
pub(super) fn label_patch(settings: &Settings, health: &Health, node: &Node, added: &Added) -> Option<Value> {
    // Without facts the provider's labels are unknown, not absent.
    health.info.as_ref()?;
    let held = node.metadata.labels.clone().unwrap_or_default();
    let ours = labels(settings, &facts(health));
    let stale = held.keys().filter(|key| added.label(key) && !ours.contains_key(*key));
    let mut changes: BTreeMap<&String, Option<&String>> = stale.map(|key| (key, None)).collect();
    changes.extend(
        ours.iter().filter(|(key, value)| held.get(*key) != Some(*value)).map(|(key, value)| (key, Some(value))),
    );
    (!changes.is_empty()).then(|| json!({ "metadata": { "labels": changes } }))
}

/// Taints of ours that are missing or no more ours, as a merge patch that keeps those of others. The list is replaced whole by the API server, so
/// the resource version guards against a taint that was added meanwhile.
pub(super) fn taint_patch(settings: &Settings, health: &Health, node: &Node, added: &Added) -> Option<Value> {
    health.info.as_ref()?;
    let held = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
    let ours = taints(settings, &facts(health));
    let is_ours = |other: &Taint| ours.iter().any(|taint| same(taint, other));
    let stale = |other: &Taint| added.taint(other) && !is_ours(other);
    let complete = ours.iter().all(|taint| held.iter().any(|other| same(other, taint) && other.value == taint.value));
    if complete && !held.iter().any(stale) {
        return None;
    }
    let mut all: Vec<Taint> = held.iter().filter(|other| !is_ours(other) && !stale(other)).cloned().collect();
    all.extend(ours);
    Some(json!({ "metadata": { "resourceVersion": node.metadata.resource_version }, "spec": { "taints": all } }))
}

/// The status patch, or None when nothing of ours differs and no heartbeat is due.
pub(super) fn status_patch(
    settings: &Settings,
    health: &Health,
    node: &Node,
    now: &Time,
    due: Due,
    added: &Added,
) -> Option<Value> {
    let held = node.status.clone().unwrap_or_default();
    let wanted = status(settings, health, &held, now, due.provider_lost);
    let gone = stale_conditions(health, &held, &wanted, added);
    if !due.heartbeat && gone.is_empty() && !differs(&held, &wanted, due.resources_sent) {
        return None;
    }
    let conditions = wanted.conditions.iter().flatten().map(|condition| json!(condition));
    let conditions: Vec<Value> = conditions.chain(gone).collect();
    let mut addresses = vec![json!({ "$patch": "replace" })];
    addresses.extend(wanted.addresses.iter().flatten().map(|address| json!(address)));
    Some(json!({ "status": {
        "addresses": addresses,
        "capacity": replaced(held.capacity.as_ref(), wanted.capacity.as_ref()),
        "allocatable": replaced(held.allocatable.as_ref(), wanted.allocatable.as_ref()),
        "conditions": conditions,
        "daemonEndpoints": wanted.daemon_endpoints,
        "declaredFeatures": wanted.declared_features,
        "nodeInfo": wanted.node_info,
    }}))
}

/// Deletions of the conditions that the provider had us add and names no more: a merge by type keeps what is left out.
fn stale_conditions(health: &Health, held: &NodeStatus, wanted: &NodeStatus, added: &Added) -> Vec<Value> {
    if health.info.is_none() {
        return vec![];
    }
    let is_wanted = |name: &str| wanted.conditions.iter().flatten().any(|condition| condition.type_ == name);
    let held = held.conditions.iter().flatten().map(|condition| &condition.type_);
    let stale = held.filter(|name| added.condition(name) && !is_wanted(name));
    stale.map(|name| json!({ "$patch": "delete", "type": name })).collect()
}

/// Why a status may be due although nothing differs, or not due although something seems to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Due {
    /// The status is written now and then even if nothing has changed.
    pub heartbeat: bool,
    /// These very quantities were sent before. The API server keeps them in a form of its own (`0.5` becomes `500m`), which is no
    /// difference to mend.
    pub resources_sent: bool,
    /// The provider has been away for longer than is tolerated.
    pub provider_lost: bool,
}

type Resources = BTreeMap<String, Quantity>;

/// What the API server and the scheduler may count on (KEP-5328). With the first the API server passes WebSockets of any version on to the node
/// instead of translating them (KEP-4006): exec, attach and port-forward alike.
const DECLARED_FEATURES: [&str; 1] = ["ExtendWebSocketsToKubelet"];

/// A map for a merge patch: what is not wanted any more is null.
fn replaced(held: Option<&Resources>, wanted: Option<&Resources>) -> Value {
    let mut map = serde_json::Map::new();
    for key in held.into_iter().flat_map(Resources::keys) {
        map.insert(key.clone(), Value::Null);
    }
    for (key, quantity) in wanted.into_iter().flatten() {
        map.insert(key.clone(), json!(quantity));
    }
    Value::Object(map)
}

fn differs(held: &NodeStatus, wanted: &NodeStatus, resources_sent: bool) -> bool {
    // The API server drops empty texts: a difference that no write would ever mend, and each write wakes us to look again.
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let meaning = |condition: &NodeCondition| {
        (condition.type_.clone(), condition.status.clone(), text(&condition.reason), text(&condition.message))
    };
    let held_conditions: Vec<_> = held.conditions.iter().flatten().map(meaning).collect();
    wanted.conditions.iter().flatten().any(|condition| !held_conditions.contains(&meaning(condition)))
        || (!resources_sent && (held.capacity != wanted.capacity || held.allocatable != wanted.allocatable))
        // Likewise: an API server before 1.35 keeps none.
        || (!resources_sent && held.declared_features != wanted.declared_features)
        || held.addresses != wanted.addresses
        || held.daemon_endpoints != wanted.daemon_endpoints
        || held.node_info != wanted.node_info
}

fn status(settings: &Settings, health: &Health, held: &NodeStatus, now: &Time, provider_lost: bool) -> NodeStatus {
    let facts = facts(health);
    let resources = |map: &BTreeMap<String, String>| -> Resources {
        map.iter().map(|(name, quantity)| (name.clone(), Quantity(quantity.clone()))).collect()
    };
    let capacity = resources(&facts.capacity);
    let allocatable = if facts.allocatable.is_empty() { capacity.clone() } else { resources(&facts.allocatable) };
    let known = health.info.is_some();
    NodeStatus {
        addresses: Some(vec![
            NodeAddress { type_: "InternalIP".to_owned(), address: settings.address.to_string() },
            NodeAddress { type_: "Hostname".to_owned(), address: settings.name.clone() },
        ]),
        // Before the first start of the provider the old figures stand.
        capacity: if known { Some(capacity) } else { held.capacity.clone() },
        allocatable: if known { Some(allocatable) } else { held.allocatable.clone() },
        conditions: Some(conditions(&facts, health, held, now, provider_lost)),
        daemon_endpoints: Some(NodeDaemonEndpoints {
            kubelet_endpoint: Some(DaemonEndpoint { port: i32::from(settings.port) }),
        }),
        node_info: if known { Some(node_info(settings, facts)) } else { held.node_info.clone() },
        declared_features: Some(DECLARED_FEATURES.map(str::to_owned).to_vec()),
        ..NodeStatus::default()
    }
}

fn node_info(settings: &Settings, facts: NodeFacts) -> NodeSystemInfo {
    NodeSystemInfo {
        architecture: facts.architecture,
        operating_system: facts.operating_system,
        kubelet_version: settings.kubelet_version.clone(),
        container_runtime_version: format!("pluglet-{}://{}", settings.provider, env!("CARGO_PKG_VERSION")),
        os_image: "pluglet".to_owned(),
        ..NodeSystemInfo::default()
    }
}

fn conditions(
    facts: &NodeFacts,
    health: &Health,
    held: &NodeStatus,
    now: &Time,
    provider_lost: bool,
) -> Vec<NodeCondition> {
    // A provider that is away does not make the node unready at once: its pods run on, and an unready node loses them to eviction. One that
    // stays away can run no new pods either, and the scheduler should know.
    let ready = match health.failure.as_ref().or(health.trouble.as_ref()) {
        Some(failure) if provider_lost => {
            ("False", "ProviderFailed", format!("the provider has been away for too long: {failure}"))
        }
        _ => ("True", "KubeletReady", "pluglet is posting ready status".to_owned()),
    };
    let provider = match (&health.failure, &health.trouble) {
        (Some(failure), _) => ("False", "ProviderFailed", failure.clone()),
        (None, Some(trouble)) => {
            ("False", "ProviderCannotList", format!("the provider cannot list its pods, so none is touched: {trouble}"))
        }
        (None, None) => ("True", "ProviderAnswers", "the provider answers".to_owned()),
    };
    let calm = |reason: &'static str, message: &str| ("False", reason, message.to_owned());
    let own = [
        ("Ready", ready),
        ("ProviderReady", provider),
        ("MemoryPressure", calm("KubeletHasSufficientMemory", "the provider reports no memory pressure")),
        ("DiskPressure", calm("KubeletHasNoDiskPressure", "the provider reports no disk pressure")),
        ("PIDPressure", calm("KubeletHasSufficientPID", "the provider reports no PID pressure")),
    ];
    let mut conditions: Vec<NodeCondition> = own
        .into_iter()
        .map(|(type_, (status, reason, message))| NodeCondition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message),
            ..NodeCondition::default()
        })
        .collect();
    for condition in &facts.conditions {
        // Two of one type would differ for ever from the one that the API server merges them into. The host's come first and stay.
        if !conditions.iter().any(|other| other.type_ == condition.type_) {
            conditions.push(condition.clone());
        }
    }
    for condition in &mut conditions {
        let before = held.conditions.iter().flatten().find(|other| other.type_ == condition.type_);
        let since = before
            .filter(|other| other.status == condition.status)
            .and_then(|other| other.last_transition_time.clone());
        condition.last_transition_time = since.or_else(|| Some(now.clone()));
        condition.last_heartbeat_time = Some(now.clone());
    }
    conditions
}

#[cfg(test)]
mod tests;
