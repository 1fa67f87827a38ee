//! Pods for tests.
//!
//! In: JSON with what matters to the test. Out: a pod as the host sends it. Invariant: what the test leaves out is filled in, so that
//! every pod has an identity and a container.

use serde_json::{Value, json};

use crate::{PodRef, ResolvedPod};

/// A pod as the host sends it.
#[derive(Clone, Debug)]
pub struct TestPod {
    /// Which pod.
    pub pod_ref: PodRef,
    /// The pod.
    pub spec: ResolvedPod,
}

/// A pod from JSON such as `json!({"metadata": {"name": "web"}})`. Missing parts are filled in: name `pod`, namespace `default`, UID
/// `uid-` and the name, generation 1, one container `main` with image `image`.
#[must_use]
pub fn pod(mut value: Value) -> TestPod {
    if !value.is_object() {
        value = json!({});
    }
    fill(&mut value, "/metadata", "metadata", json!({}));
    let text = |value: &Value, pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let name = text(&value, "/metadata/name").unwrap_or_else(|| "pod".to_owned());
    fill(&mut value, "/metadata/name", "name", json!(name));
    fill(&mut value, "/metadata/namespace", "namespace", json!("default"));
    fill(&mut value, "/metadata/uid", "uid", json!(format!("uid-{name}")));
    fill(&mut value, "/metadata/generation", "generation", json!(1));
    fill(&mut value, "/spec", "spec", json!({}));
    fill(&mut value, "/spec/containers", "containers", json!([{"name": "main", "image": "image"}]));
    let pod_ref = PodRef {
        uid: text(&value, "/metadata/uid").unwrap_or_default(),
        namespace: text(&value, "/metadata/namespace").unwrap_or_default(),
        name,
        generation: value.pointer("/metadata/generation").and_then(Value::as_u64).unwrap_or_default(),
    };
    TestPod { pod_ref, spec: ResolvedPod { json: value.to_string(), ..ResolvedPod::default() } }
}

/// Set what `pointer` names, unless it is there.
fn fill(value: &mut Value, pointer: &str, key: &str, default: Value) {
    if value.pointer(pointer).is_some() {
        return;
    }
    let parent = pointer.rsplit_once('/').map_or("", |(parent, _)| parent);
    if let Some(Value::Object(object)) = value.pointer_mut(parent) {
        object.insert(key.to_owned(), default);
    }
}
