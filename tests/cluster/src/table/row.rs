//! One row of a table.
//!
//! In: a sentence, objects, a pod's spec, expectations. Out: the manifest, the checks. Invariant: whatever a row does not say about its pod is the
//! same for all rows: one container `main`, no token, and a log that begins with what the provider holds.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::check::Check;
use crate::manifests::extend;

/// One row: a pod, what it needs, and what must come of it.
pub struct Row {
    /// The pod's name.
    pub(super) name: &'static str,
    pub(super) sentence: &'static str,
    pub(super) objects: Vec<Value>,
    pub(super) checks: Vec<Check>,
    /// None: the pod is there already.
    spec: Option<Value>,
    annotations: Value,
    labels: Value,
    bound: bool,
}

impl Row {
    /// A row with a pod of that name.
    #[must_use]
    pub fn new(name: &'static str, sentence: &'static str) -> Self {
        Self { spec: Some(json!({})), ..Self::again(name, sentence) }
    }

    /// A row about a pod that an earlier row has made.
    #[must_use]
    pub fn again(name: &'static str, sentence: &'static str) -> Self {
        let annotations = json!({ "mock.pluglet.dev/reveal": "true" });
        let (objects, checks, labels) = (vec![], vec![], json!({}));
        Self { name, sentence, objects, checks, spec: None, annotations, labels, bound: false }
    }

    /// An object that is created before the pods.
    #[must_use]
    pub fn with(mut self, object: Value) -> Self {
        self.objects.push(object);
        self
    }

    /// More of the pod's spec.
    #[must_use]
    pub fn spec(mut self, spec: &Value) -> Self {
        if let Some(own) = &mut self.spec {
            extend(own, spec);
        }
        self
    }

    /// What the container `main` has besides its name and image.
    #[must_use]
    pub fn main(self, container: &Value) -> Self {
        self.spec(&json!({ "containers": [container] }))
    }

    /// More annotations.
    #[must_use]
    pub fn annotations(mut self, annotations: &Value) -> Self {
        extend(&mut self.annotations, annotations);
        self
    }

    /// Labels.
    #[must_use]
    pub fn labels(mut self, labels: &Value) -> Self {
        extend(&mut self.labels, labels);
        self
    }

    /// The pod is given to the node by `spec.nodeName`, past the scheduler, and tolerates nothing.
    #[must_use]
    pub fn bound(mut self) -> Self {
        self.bound = true;
        self
    }

    /// The API shows this value there (a JSON pointer, RFC 6901).
    #[must_use]
    pub fn api(self, at: &'static str, is: Value) -> Self {
        self.check(Check::Api { at, is })
    }

    /// The API shows a text there that has `part` in it.
    #[must_use]
    pub fn api_says(self, at: &'static str, part: &'static str) -> Self {
        self.check(Check::ApiSays { at, part })
    }

    /// The condition has that status and that reason; an empty reason means none.
    #[must_use]
    pub fn condition(self, type_: &'static str, status: &'static str, reason: &'static str) -> Self {
        self.check(Check::Condition { type_, status, reason })
    }

    /// The pod runs and is ready.
    #[must_use]
    pub fn runs(self) -> Self {
        self.api("/status/phase", json!("Running")).condition("Ready", "True", "")
    }

    /// The container `main` waits; the pod is Pending.
    #[must_use]
    pub fn waits(self, reason: &'static str) -> Self {
        self.api("/status/phase", json!("Pending"))
            .api("/status/containerStatuses/0/state/waiting/reason", json!(reason))
    }

    /// The container `main` waits with exactly this message.
    #[must_use]
    pub fn waits_with(self, reason: &'static str, message: &str) -> Self {
        self.waits(reason).api("/status/containerStatuses/0/state/waiting/message", json!(message))
    }

    /// The node has rejected the pod, with this reason and this whole message.
    #[must_use]
    pub fn rejected(self, reason: &'static str, message: &str) -> Self {
        self.api("/status/phase", json!("Failed"))
            .api("/status/reason", json!(reason))
            .api("/status/message", json!(message))
    }

    /// The provider holds this of the container `main`.
    #[must_use]
    pub fn held(self, at: &'static str, is: Value) -> Self {
        self.held_of("main", at, is)
    }

    /// The provider holds this of a container.
    #[must_use]
    pub fn held_of(self, container: &'static str, at: &'static str, is: Value) -> Self {
        self.check(Check::Held { container, at, is })
    }

    /// The whole environment of the container `main` but for what the Service `kubernetes` adds, in any order.
    #[must_use]
    pub fn env(self, variables: &[(&'static str, &'static str)]) -> Self {
        self.check(Check::Env { container: "main", is: variables.to_vec() })
    }

    /// The container `main` has these variables, whatever else it has.
    #[must_use]
    pub fn env_has(self, variables: &[(&'static str, &'static str)]) -> Self {
        self.check(Check::EnvHas { container: "main", has: variables.to_vec() })
    }

    /// The container `main` has no variable whose name begins so.
    #[must_use]
    pub fn env_lacks(self, prefix: &'static str) -> Self {
        self.check(Check::EnvLacks { container: "main", prefix })
    }

    /// All files of a volume, in any order. A name that ends in `*` means the volume whose name begins so.
    #[must_use]
    pub fn files(self, volume: &'static str, is: Value) -> Self {
        self.check(Check::Files { volume, is })
    }

    /// One file of a volume, whatever else is in there.
    #[must_use]
    pub fn file(self, volume: &'static str, path: &'static str, mode: &'static str, text: &'static str) -> Self {
        self.check(Check::File { volume, path, mode, text, whole: true })
    }

    /// One file of a volume, with `part` in its text.
    #[must_use]
    pub fn file_says(self, volume: &'static str, path: &'static str, mode: &'static str, part: &'static str) -> Self {
        self.check(Check::File { volume, path, mode, text: part, whole: false })
    }

    /// The provider was given no files for this volume.
    #[must_use]
    pub fn no_files(self, volume: &'static str) -> Self {
        self.check(Check::NoFiles { volume })
    }

    /// What a service account token in a file says: `aud`, `lifetime` in seconds, `namespace`, `serviceAccount`, `pod`, `podUid`, and
    /// `warnAfter` in seconds after its issue where it has that claim.
    #[must_use]
    pub fn token(self, volume: &'static str, path: &'static str, is: Value) -> Self {
        self.check(Check::Token { volume, path, is })
    }

    /// An event on the pod has this reason and `part` in its message.
    #[must_use]
    pub fn event(self, reason: &'static str, part: &str) -> Self {
        self.check(Check::Event { reason, part: part.to_owned() })
    }

    /// The containers whose logs are needed.
    pub(super) fn containers(&self) -> BTreeSet<&'static str> {
        self.checks.iter().filter_map(Check::container).collect()
    }

    /// The pod's manifest for `node`.
    pub(super) fn manifest(&self, node: &str) -> Option<Value> {
        let mut spec = json!({ "automountServiceAccountToken": false, "containers": [{}] });
        if self.bound {
            extend(&mut spec, &json!({ "nodeName": node }));
        } else {
            let toleration = json!({ "key": "virtual-kubelet.io/provider", "operator": "Exists" });
            extend(
                &mut spec,
                &json!({ "tolerations": [toleration], "nodeSelector": { "kubernetes.io/hostname": node } }),
            );
        }
        extend(&mut spec, self.spec.as_ref()?);
        for list in ["containers", "initContainers"] {
            for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                complete(container);
            }
        }
        let metadata = json!({ "name": self.name, "labels": self.labels, "annotations": self.annotations });
        Some(json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec }))
    }

    fn check(mut self, check: Check) -> Self {
        self.checks.push(check);
        self
    }
}

fn complete(container: &mut Value) {
    let Some(container) = container.as_object_mut() else { return };
    container.entry("name").or_insert_with(|| json!("main"));
    container.entry("image").or_insert_with(|| json!("example.com/main:1"));
}
