//! The smallest strategic merge patch from one pod status to another.
//!
//! In: the status the API server holds and the one it shall hold. Out: a patch body, or None when nothing of ours differs.
//! Invariant: equal statuses give no patch; the patch carries the UID, so that it can never land on a pod recreated under the name.

use k8s_openapi::api::core::v1::{PodCondition, PodStatus};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::resize::PENDING;

/// The patch for `pods/NAME/status`.
pub(crate) fn between(uid: &str, held: &PodStatus, wanted: &PodStatus) -> Option<Value> {
    let mut status = Map::new();
    scalar(&mut status, "phase", held.phase.as_ref(), wanted.phase.as_ref());
    scalar(&mut status, "reason", held.reason.as_ref(), wanted.reason.as_ref());
    scalar(&mut status, "message", held.message.as_ref(), wanted.message.as_ref());
    scalar(&mut status, "startTime", held.start_time.as_ref(), wanted.start_time.as_ref());
    scalar(&mut status, "hostIP", held.host_ip.as_ref(), wanted.host_ip.as_ref());
    scalar(&mut status, "podIP", held.pod_ip.as_ref(), wanted.pod_ip.as_ref());
    scalar(&mut status, "observedGeneration", held.observed_generation.as_ref(), wanted.observed_generation.as_ref());
    merged_list(&mut status, "hostIPs", held.host_ips.as_deref(), wanted.host_ips.as_deref());
    merged_list(&mut status, "podIPs", held.pod_ips.as_deref(), wanted.pod_ips.as_deref());
    list(&mut status, "containerStatuses", held.container_statuses.as_deref(), wanted.container_statuses.as_deref());
    list(
        &mut status,
        "initContainerStatuses",
        held.init_container_statuses.as_deref(),
        wanted.init_container_statuses.as_deref(),
    );
    list(
        &mut status,
        "ephemeralContainerStatuses",
        held.ephemeral_container_statuses.as_deref(),
        wanted.ephemeral_container_statuses.as_deref(),
    );
    conditions(&mut status, held.conditions.as_deref(), wanted.conditions.as_deref());
    (!status.is_empty()).then(|| json!({ "metadata": { "uid": uid }, "status": status }))
}

/// Applies to `held` what [`between`] sends: the status that the API server holds after the patch.
pub(crate) fn apply(held: &mut PodStatus, wanted: &PodStatus) {
    let mut conditions = held.conditions.take().unwrap_or_default();
    if is_over(&conditions, wanted.conditions.as_deref().unwrap_or_default()) {
        conditions.retain(|condition| condition.type_ != PENDING);
    }
    for ours in wanted.conditions.iter().flatten() {
        match conditions.iter_mut().find(|condition| condition.type_ == ours.type_) {
            Some(condition) => condition.clone_from(ours),
            None => conditions.push(ours.clone()),
        }
    }
    let foreign = std::mem::take(held);
    *held = PodStatus {
        conditions: Some(conditions),
        allocated_resources: foreign.allocated_resources,
        extended_resource_claim_status: foreign.extended_resource_claim_status,
        nominated_node_name: foreign.nominated_node_name,
        qos_class: foreign.qos_class,
        resize: foreign.resize,
        resource_claim_statuses: foreign.resource_claim_statuses,
        resources: foreign.resources,
        ..wanted.clone()
    };
}

fn scalar<T: Serialize + PartialEq>(into: &mut Map<String, Value>, name: &str, held: Option<&T>, wanted: Option<&T>) {
    if held != wanted {
        // None becomes null, which removes the field.
        into.insert(name.to_owned(), json!(wanted));
    }
}

/// Lists that the API server replaces whole.
fn list<T: Serialize + PartialEq>(into: &mut Map<String, Value>, name: &str, held: Option<&[T]>, wanted: Option<&[T]>) {
    if held.unwrap_or_default() != wanted.unwrap_or_default() {
        into.insert(name.to_owned(), json!(wanted.unwrap_or_default()));
    }
}

/// Lists that the API server would merge by key: told to replace, or an old address would stay for ever.
fn merged_list<T: Serialize + PartialEq>(
    into: &mut Map<String, Value>,
    name: &str,
    held: Option<&[T]>,
    wanted: Option<&[T]>,
) {
    let (held, wanted) = (held.unwrap_or_default(), wanted.unwrap_or_default());
    if held == wanted {
        return;
    }
    let mut items = Vec::with_capacity(wanted.len() + 1);
    if !held.is_empty() {
        items.push(json!({ "$patch": "replace" }));
    }
    items.extend(wanted.iter().map(|item| json!(item)));
    into.insert(name.to_owned(), Value::Array(items));
}

/// Conditions merge by type: only ours that differ are sent, others stay as they are.
fn conditions(into: &mut Map<String, Value>, held: Option<&[PodCondition]>, wanted: Option<&[PodCondition]>) {
    let held = held.unwrap_or_default();
    let wanted = wanted.unwrap_or_default();
    let mut differing: Vec<_> = wanted
        .iter()
        .filter(|ours| !held.iter().any(|theirs| theirs.type_ == ours.type_ && same(theirs, ours)))
        .map(with_cleared_fields)
        .collect();
    if is_over(held, wanted) {
        differing.push(json!({ "$patch": "delete", "type": PENDING }));
    }
    if !differing.is_empty() {
        into.insert("conditions".to_owned(), Value::Array(differing));
    }
}

/// The one condition of ours that comes and goes.
fn is_over(held: &[PodCondition], wanted: &[PodCondition]) -> bool {
    let has = |conditions: &[PodCondition]| conditions.iter().any(|condition| condition.type_ == PENDING);
    has(held) && !has(wanted)
}

fn same(theirs: &PodCondition, ours: &PodCondition) -> bool {
    theirs.status == ours.status
        && theirs.reason == ours.reason
        && theirs.message == ours.message
        && theirs.observed_generation == ours.observed_generation
}

/// A merge keeps fields that are left out, so an old reason would stay beside a new status.
fn with_cleared_fields(condition: &PodCondition) -> Value {
    let mut value = json!(condition);
    if let Value::Object(fields) = &mut value {
        for name in ["reason", "message"] {
            fields.entry(name).or_insert(Value::Null);
        }
    }
    value
}
