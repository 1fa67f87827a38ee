//! A small cluster for tests: objects by reference, one token, one node.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use pluglet_model::pod::Volume;
use serde_json::{Value, json};

use crate::environment::Environment;
use crate::objects::{Known, Object};
use crate::references::{ObjectRef, TokenSpec, VolumeKinds};
use crate::resolve::{Context, Problem, Resolved, resolve};

/// What there is. Objects that are not in it are missing; Services are known to be none.
pub(crate) struct World {
    pub objects: BTreeMap<ObjectRef, Known>,
    pub allocatable: BTreeMap<String, String>,
    pub host_ips: Vec<IpAddr>,
    pub kinds: VolumeKinds,
    pub token: Option<&'static str>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            objects: BTreeMap::new(),
            allocatable: [("cpu", "8"), ("memory", "16Gi")].map(|(a, b)| (a.to_owned(), b.to_owned())).into(),
            host_ips: vec!["10.0.0.5".parse().unwrap()],
            kinds: ["configMap", "secret", "downwardAPI", "projected"].into_iter().collect(),
            token: Some("a-token"),
        }
    }

    pub(crate) fn with(mut self, reference: ObjectRef, known: Known) -> Self {
        self.objects.insert(reference, known);
        self
    }

    /// Adds a ConfigMap of namespace `shop`.
    pub(crate) fn config_map(self, name: &str, content: Value) -> Self {
        let mut map = content;
        map["metadata"] = json!({"name": name, "namespace": "shop"});
        let object = Object::ConfigMap(serde_json::from_value(map).unwrap());
        self.with(ObjectRef::config_map("shop", name), Known::Found(Arc::new(object)))
    }

    /// Adds a Secret of namespace `shop`; values are base64, as in the API.
    pub(crate) fn secret(self, name: &str, content: Value) -> Self {
        let mut secret = content;
        secret["metadata"] = json!({"name": name, "namespace": "shop"});
        let object = Object::Secret(serde_json::from_value(secret).unwrap());
        self.with(ObjectRef::secret("shop", name), Known::Found(Arc::new(object)))
    }

    pub(crate) fn object(&self, reference: &ObjectRef) -> Known {
        match self.objects.get(reference) {
            Some(known) => known.clone(),
            None => Known::Missing,
        }
    }

    pub(crate) fn with_context<T>(&self, frozen: Option<&Environment>, run: impl FnOnce(&Context<'_>) -> T) -> T {
        let object = |reference: &ObjectRef| self.object(reference);
        let token = |_: &TokenSpec| self.token.map(Arc::from);
        run(&Context {
            node_name: "virtual-1",
            host_ips: &self.host_ips,
            allocatable: &self.allocatable,
            kubernetes_service: None,
            kinds: &self.kinds,
            object: &object,
            token: &token,
            frozen,
            running: false,
        })
    }

    pub(crate) fn resolve(&self, spec: Value) -> Result<Resolved, Problem> {
        self.with_context(None, |context| resolve(&pod(spec), context))
    }

    pub(crate) fn volumes(&self, spec: Value) -> Result<Vec<Volume>, Problem> {
        self.with_context(None, |context| crate::volumes::volumes(&pod(spec), context).into_iter().collect())
    }
}

/// The pod `shop/till` with this spec.
pub(crate) fn pod(spec: Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "till", "namespace": "shop", "uid": "uid-1", "labels": {"app": "till", "tier": "front"}},
        "spec": spec,
    }))
    .unwrap()
}
