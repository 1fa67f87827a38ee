use std::cell::RefCell;

use serde_json::json;

use super::*;
use crate::fixture::{World, pod};
use crate::resolve::{Context, Known, Object, resolve};

fn kinds(names: &[&'static str]) -> VolumeKinds {
    names.iter().copied().collect()
}

fn names(references: &BTreeSet<ObjectRef>) -> Vec<String> {
    references.iter().map(ToString::to_string).collect()
}

const ALL: [&str; 4] = ["configMap", "secret", "projected", "downwardAPI"];

/// A pod that names an object of each kind in each place.
fn manifold() -> Pod {
    pod(json!({
        "imagePullSecrets": [{"name": "pull"}, {"name": ""}],
        "initContainers": [{"name": "i", "envFrom": [{"secretRef": {"name": "init-secret"}}]}],
        "containers": [{"name": "c", "env": [
            {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "key-map", "key": "k"}}},
            {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ]}],
        "ephemeralContainers": [{"name": "e", "env": [
            {"name": "A", "valueFrom": {"secretKeyRef": {"name": "key-secret", "key": "k"}}}]}],
        "volumes": [
            {"name": "a", "configMap": {"name": "volume-map"}},
            {"name": "b", "secret": {"secretName": "volume-secret"}},
            {"name": "c", "projected": {"sources": [
                {"configMap": {"name": "projected-map"}}, {"secret": {"name": "projected-secret"}},
                {"clusterTrustBundle": {"name": "root", "path": "a"}},
                {"clusterTrustBundle": {"signerName": "example.com/ca", "path": "b", "optional": true}},
                {"serviceAccountToken": {"path": "token"}}]}},
        ],
    }))
}

#[test]
fn every_object_that_a_pod_names_is_found() {
    let expected = [
        "ConfigMap shop/key-map",
        "ConfigMap shop/projected-map",
        "ConfigMap shop/volume-map",
        "Secret shop/init-secret",
        "Secret shop/key-secret",
        "Secret shop/projected-secret",
        "Secret shop/pull",
        "Secret shop/volume-secret",
        "Services of namespace shop",
        "Service default/kubernetes",
        "ClusterTrustBundle root",
        "ClusterTrustBundles of signer example.com/ca",
    ];
    assert_eq!(names(&references(&manifold(), &kinds(&ALL))), expected);
}

#[test]
fn resolution_asks_for_these_and_no_others() {
    let (objects, tokens) = (RefCell::new(BTreeSet::new()), RefCell::new(BTreeSet::new()));
    let object = |reference: &ObjectRef| {
        objects.borrow_mut().insert(reference.clone());
        let content = json!({"metadata": {"name": "any"}, "data": {"k": "YQ=="}});
        Known::Found(Arc::new(match reference {
            ObjectRef::ConfigMap { .. } => Object::ConfigMap(serde_json::from_value(content).unwrap()),
            ObjectRef::Secret { .. } => Object::Secret(serde_json::from_value(content).unwrap()),
            ObjectRef::Services { .. } | ObjectRef::KubernetesService => Object::Services(Vec::new()),
            ObjectRef::TrustBundle { .. } | ObjectRef::TrustBundles { .. } => Object::TrustBundles(Vec::new()),
        }))
    };
    let token = |spec: &TokenSpec| {
        tokens.borrow_mut().insert(spec.clone());
        Some(Arc::from("token"))
    };
    let pod = manifold();
    World::new()
        .with_context(None, |context| resolve(&pod, &Context { object: &object, token: &token, ..*context }))
        .unwrap();
    assert_eq!(objects.into_inner(), references(&pod, &kinds(&ALL)));
    assert_eq!(tokens.into_inner(), token_specs(&pod, &kinds(&ALL)));
}

#[test]
fn a_volume_kind_that_the_provider_does_not_take_adds_nothing() {
    let pod = pod(json!({"enableServiceLinks": false, "containers": [], "volumes": [
        {"name": "a", "configMap": {"name": "map"}},
        {"name": "kube-api-access-x", "projected": {"sources": [
            {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
            {"configMap": {"name": "kube-root-ca.crt"}}]}},
    ]}));
    assert_eq!(names(&references(&pod, &kinds(&["emptyDir"]))), ["Service default/kubernetes"]);
    assert!(token_specs(&pod, &kinds(&["configMap"])).is_empty());
}

#[test]
fn a_pod_without_service_links_needs_the_kubernetes_service_only() {
    let without = pod(json!({"enableServiceLinks": false, "containers": []}));
    assert_eq!(names(&references(&without, &kinds(&[]))), ["Service default/kubernetes"]);
    let with = pod(json!({"enableServiceLinks": true, "containers": []}));
    assert_eq!(names(&references(&with, &kinds(&[]))), ["Services of namespace shop", "Service default/kubernetes"]);
}

#[test]
fn an_object_without_a_name_is_never_asked_for() {
    let pod = pod(json!({"enableServiceLinks": false,
        "containers": [{"name": "c", "envFrom": [{"configMapRef": {"name": "", "optional": true}}]}],
        "volumes": [{"name": "a", "configMap": {"name": ""}}, {"name": "b", "secret": {}}]}));
    assert_eq!(names(&references(&pod, &kinds(&ALL))), ["Service default/kubernetes"]);
    let object = |reference: &ObjectRef| {
        assert!(!reference.is_nameless());
        Known::Missing
    };
    let problem =
        World::new().with_context(None, |context| resolve(&pod, &Context { object: &object, ..*context })).unwrap_err();
    assert_eq!(problem.to_string(), "MountVolume.SetUp failed for volume \"a\" : configmap \"\" not found");
}

#[test]
fn a_value_hides_what_a_variable_is_taken_from() {
    let pod = pod(json!({"enableServiceLinks": false, "containers": [{"name": "c", "env": [
        {"name": "A", "value": "set", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}]}));
    assert_eq!(names(&references(&pod, &kinds(&ALL))), ["Service default/kubernetes"]);
}

#[test]
fn equal_tokens_are_asked_for_once_and_live_ten_minutes_at_least() {
    let pod = pod(json!({"containers": [], "volumes": [
        {"name": "a", "projected": {"sources": [
            {"serviceAccountToken": {"path": "a"}},
            {"serviceAccountToken": {"path": "b", "expirationSeconds": 3600, "audience": ""}},
            {"serviceAccountToken": {"path": "c", "audience": "vault", "expirationSeconds": 60}}]}},
        {"name": "b", "projected": {"sources": [{"serviceAccountToken": {"path": "a"}}]}},
    ]}));
    let specs = token_specs(&pod, &kinds(&ALL));
    let expected = [
        TokenSpec { audience: None, expiration_seconds: 3600 },
        TokenSpec { audience: Some("vault".into()), expiration_seconds: 600 },
    ];
    assert_eq!(specs, BTreeSet::from(expected));
}
