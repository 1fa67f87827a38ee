//! Manifests, and looking at pods.
//!
//! In: names, annotations of the mock provider. Out: objects. Invariant: a pod made here can only be scheduled to the test's own node.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition};
use serde_json::{Value, json};

use crate::manifests::extend;

/// A pod template for `node`, for Deployments and the like.
#[must_use]
pub fn template(node: &str, app: &str, annotations: &Value, restart_policy: &str) -> Value {
    json!({
        "metadata": { "labels": { "app": app }, "annotations": annotations },
        "spec": {
            "restartPolicy": restart_policy,
            "nodeSelector": { "kubernetes.io/hostname": node },
            "tolerations": [{ "key": "virtual-kubelet.io/provider", "operator": "Exists" }],
            "containers": [{ "name": "main", "image": "example.com/main:1" }],
        },
    })
}

/// A bare pod.
#[must_use]
pub fn pod(node: &str, name: &str, annotations: &Value, restart_policy: &str) -> Value {
    let mut pod = template(node, name, annotations, restart_policy);
    if let Some(metadata) = pod.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("name".to_owned(), json!(name));
    }
    if let Some(object) = pod.as_object_mut() {
        object.insert("apiVersion".to_owned(), json!("v1"));
        object.insert("kind".to_owned(), json!("Pod"));
    }
    pod
}

/// A bare pod with more in its spec, without a token unless `spec` asks for one, whose log begins with what the provider holds.
#[must_use]
pub fn revealing(node: &str, name: &str, annotations: &Value, spec: &Value) -> Value {
    let mut all = json!({ "mock.pluglet.dev/reveal": "true" });
    extend(&mut all, annotations);
    let mut pod = pod(node, name, &all, "Always");
    if let Some(own) = pod.get_mut("spec") {
        extend(own, &json!({ "automountServiceAccountToken": false }));
        extend(own, spec);
    }
    pod
}

/// `status.phase`.
#[must_use]
pub fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// Running, and not being deleted.
#[must_use]
pub fn is_running(pod: &Pod) -> bool {
    phase(pod) == "Running" && pod.metadata.deletion_timestamp.is_none()
}

/// `metadata.name`.
#[must_use]
pub fn name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}

/// `metadata.uid`.
#[must_use]
pub fn uid(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}

/// The condition of that type.
#[must_use]
pub fn condition<'a>(pod: &'a Pod, type_: &str) -> Option<&'a PodCondition> {
    pod.status.as_ref()?.conditions.as_ref()?.iter().find(|condition| condition.type_ == type_)
}

/// The status of the regular container of that name.
#[must_use]
pub fn container<'a>(pod: &'a Pod, name: &str) -> Option<&'a ContainerStatus> {
    pod.status.as_ref()?.container_statuses.as_ref()?.iter().find(|status| status.name == name)
}
