use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ObjectFieldSelector, Pod, ResourceFieldSelector};
use serde_json::{Value, json};

use super::*;
use crate::containers;

fn pod() -> Pod {
    serde_json::from_value(json!({
        "metadata": {
            "name": "dapi-test-pod", "namespace": "shop", "uid": "0f4c-11",
            "labels": {"zone": "us-est-coast", "cluster": "test-cluster1", "rack": "rack-22"},
            "annotations": {"build": "two", "builder": "john-doe", "note": "line\nbreak \"quoted\""},
        },
        "spec": {
            "nodeName": "virtual-1", "serviceAccountName": "clerk",
            "initContainers": [{"name": "prepare"}],
            "containers": [
                {"name": "main", "resources": {
                    "requests": {"cpu": "125m", "memory": "32Mi", "hugepages-2Mi": "64Mi"},
                    "limits": {"cpu": "250m", "memory": "64Mi", "ephemeral-storage": "1Gi"}}},
                {"name": "bare"},
            ],
        },
    }))
    .unwrap()
}

fn environment(path: &str) -> Result<Field, String> {
    let field = ObjectFieldSelector { api_version: Some("v1".into()), field_path: path.into() };
    environment_field(&pod(), &field, "virtual-1", &["10.0.0.5".parse().unwrap(), "fd00::5".parse().unwrap()])
}

fn value(text: &str) -> Result<Field, String> {
    Ok(Field::Value(text.to_owned()))
}

#[test]
fn the_fields_of_the_documentation_have_values_in_an_environment() {
    assert_eq!(environment("metadata.name"), value("dapi-test-pod"));
    assert_eq!(environment("metadata.namespace"), value("shop"));
    assert_eq!(environment("metadata.uid"), value("0f4c-11"));
    assert_eq!(environment("metadata.labels['zone']"), value("us-est-coast"));
    assert_eq!(environment("metadata.annotations['build']"), value("two"));
    assert_eq!(environment("metadata.annotations['missing']"), value(""));
    assert_eq!(environment("spec.nodeName"), value("virtual-1"));
    assert_eq!(environment("spec.serviceAccountName"), value("clerk"));
    assert_eq!(environment("status.hostIP"), value("10.0.0.5"));
    assert_eq!(environment("status.hostIPs"), value("10.0.0.5,fd00::5"));
}

#[test]
fn the_addresses_of_the_pod_are_left_to_the_provider() {
    assert_eq!(environment("status.podIP"), Ok(Field::Provider(PodAddress::PodIp)));
    assert_eq!(environment("status.podIPs"), Ok(Field::Provider(PodAddress::PodIps)));
}

#[test]
fn other_fields_are_refused_in_the_kubelets_words() {
    let error = |path| environment(path).unwrap_err();
    assert_eq!(error("spec.containers"), "field label not supported: spec.containers");
    assert_eq!(error("metadata.finalizers"), "field label not supported: metadata.finalizers");
    assert_eq!(error("status.phase"), "unsupported fieldPath: status.phase");
    assert_eq!(error("spec.x['y']"), "field label does not support subscript: spec.x['y']");
    let field = ObjectFieldSelector { api_version: Some("v2".into()), field_path: "metadata.name".into() };
    assert_eq!(environment_field(&pod(), &field, "n", &[]).unwrap_err(), "unsupported pod version: v2");
}

#[test]
fn a_volume_knows_metadata_only() {
    assert_eq!(metadata_field(&pod(), "metadata.uid").unwrap(), "0f4c-11");
    assert_eq!(metadata_field(&pod(), "spec.nodeName").unwrap_err(), "unsupported fieldPath: spec.nodeName");
    let subscript = metadata_field(&pod(), "metadata.name['x']").unwrap_err();
    assert_eq!(subscript, "fieldPath \"metadata.name['x']\" does not support subscript");
}

/// The files that kubernetes.io shows under "Expose Pod Information to Containers Through Files".
#[test]
fn labels_and_annotations_are_sorted_quoted_lines_without_a_last_newline() {
    let labels = "cluster=\"test-cluster1\"\nrack=\"rack-22\"\nzone=\"us-est-coast\"";
    assert_eq!(metadata_field(&pod(), "metadata.labels").unwrap(), labels);
    let annotations = "build=\"two\"\nbuilder=\"john-doe\"\nnote=\"line\\nbreak \\\"quoted\\\"\"";
    assert_eq!(metadata_field(&pod(), "metadata.annotations").unwrap(), annotations);
    assert_eq!(metadata_field(&Pod::default(), "metadata.labels").unwrap(), "");
}

/// The cases of `TestSplitMaybeSubscriptedPath`.
#[test]
fn subscripts_may_hold_brackets() {
    assert_eq!(split_subscript("metadata.annotations['a[b]c']"), Some(("metadata.annotations", "a[b]c")));
    assert_eq!(split_subscript("metadata.annotations['']"), Some(("metadata.annotations", "")));
    assert_eq!(split_subscript("metadata.labels['']"), Some(("metadata.labels", "")));
    assert_eq!(split_subscript("metadata.labels['"), None);
    assert_eq!(split_subscript("metadata.labels[]"), None);
    assert_eq!(split_subscript("['a']"), None);
}

fn resource(field: Value) -> Result<String, String> {
    let field: ResourceFieldSelector = serde_json::from_value(field).unwrap();
    let pod = pod();
    let spec = pod.spec.unwrap();
    let main = containers::find(&spec, "main").unwrap();
    resource::in_environment(&spec, &main, &field, &allocatable())
}

fn allocatable() -> BTreeMap<String, String> {
    [("cpu", "8"), ("memory", "16Gi"), ("ephemeral-storage", "100Gi")].map(|(a, b)| (a.into(), b.into())).into()
}

#[test]
fn resources_are_counted_in_divisors_and_rounded_up() {
    assert_eq!(resource(json!({"resource": "limits.cpu"})).unwrap(), "1");
    assert_eq!(resource(json!({"resource": "limits.cpu", "divisor": "0"})).unwrap(), "1");
    assert_eq!(resource(json!({"resource": "limits.cpu", "divisor": "1m"})).unwrap(), "250");
    assert_eq!(resource(json!({"resource": "requests.cpu", "divisor": "1m"})).unwrap(), "125");
    assert_eq!(resource(json!({"resource": "limits.memory"})).unwrap(), "67108864");
    assert_eq!(resource(json!({"resource": "requests.memory", "divisor": "1Mi"})).unwrap(), "32");
    assert_eq!(resource(json!({"resource": "limits.memory", "divisor": "1G"})).unwrap(), "1");
    assert_eq!(resource(json!({"resource": "limits.ephemeral-storage", "divisor": "1Mi"})).unwrap(), "1024");
    assert_eq!(resource(json!({"resource": "requests.hugepages-2Mi", "divisor": "1Mi"})).unwrap(), "64");
}

#[test]
fn an_unset_limit_is_the_nodes_allocatable_and_an_unset_request_is_nothing() {
    let of = |field: Value| resource(field).unwrap();
    assert_eq!(of(json!({"containerName": "bare", "resource": "limits.cpu"})), "8");
    assert_eq!(of(json!({"containerName": "bare", "resource": "limits.memory", "divisor": "1Gi"})), "16");
    assert_eq!(
        of(json!({"containerName": "prepare", "resource": "limits.ephemeral-storage", "divisor": "1Gi"})),
        "100"
    );
    assert_eq!(of(json!({"containerName": "bare", "resource": "limits.hugepages-2Mi"})), "0");
    assert_eq!(of(json!({"containerName": "bare", "resource": "requests.cpu"})), "0");
}

#[test]
fn a_limit_of_the_pod_comes_before_the_nodes_allocatable() {
    let mut pod = pod();
    let spec = pod.spec.as_mut().unwrap();
    spec.resources = Some(serde_json::from_value(json!({"limits": {"cpu": "2", "ephemeral-storage": "1"}})).unwrap());
    let limit = |resource: &str, container: &str| {
        let field = json!({"containerName": container, "resource": resource});
        resource::in_volume(spec, &serde_json::from_value(field).unwrap(), &allocatable()).unwrap()
    };
    assert_eq!(limit("limits.cpu", "bare"), "2");
    assert_eq!(limit("limits.cpu", "main"), "1");
    assert_eq!(limit("limits.ephemeral-storage", "bare"), "107374182400");
}

#[test]
fn resources_that_are_not_there_are_refused_in_the_kubelets_words() {
    let error = |field: Value| resource(field).unwrap_err();
    assert_eq!(error(json!({"resource": "limits.gpu"})), "unsupported container resource : limits.gpu");
    assert_eq!(error(json!({"resource": "usage.cpu"})), "unsupported container resource : usage.cpu");
    assert_eq!(error(json!({"resource": "cpu"})), "unsupported container resource : cpu");
    assert_eq!(error(json!({"containerName": "other", "resource": "limits.cpu"})), "container other not found");
    assert!(error(json!({"resource": "limits.cpu", "divisor": "x"})).starts_with("invalid quantity \"x\""));
}
