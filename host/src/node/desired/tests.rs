//! What comes back and what is left alone.

use k8s_openapi::jiff::Timestamp;
use pluglet_model::provider::Info;

use super::*;

fn settings() -> Settings {
    Settings {
        name: "virtual".to_owned(),
        provider: "mock".to_owned(),
        address: [10, 0, 0, 1].into(),
        port: 10250,
        kubelet_version: kubelet_version(None),
        labels: BTreeMap::from([("zone".to_owned(), "a".to_owned())]),
        taints: None,
        provider_tolerance: Duration::from_secs(300),
    }
}

fn health() -> Health {
    let node = NodeFacts {
        capacity: BTreeMap::from([("cpu".to_owned(), "4".to_owned()), ("pods".to_owned(), "100".to_owned())]),
        architecture: "amd64".to_owned(),
        operating_system: "linux".to_owned(),
        ..NodeFacts::default()
    };
    Health { info: Some(Info { node, ..Info::default() }), ..Health::default() }
}

fn time(second: i64) -> Time {
    Time(Timestamp::from_second(second).unwrap())
}

fn registered() -> Node {
    object(&settings(), &health(), &time(100))
}

#[test]
fn a_fresh_node_needs_no_patch() {
    let node = registered();
    assert_eq!(label_patch(&settings(), &health(), &node, &Added::default()), None);
    assert_eq!(taint_patch(&settings(), &health(), &node, &Added::default()), None);
    assert_eq!(status_patch(&settings(), &health(), &node, &time(200), Due::default(), &Added::default()), None);
}

#[test]
fn a_removed_label_comes_back_and_foreign_ones_are_not_named() {
    let mut node = registered();
    let labels = node.metadata.labels.as_mut().unwrap();
    labels.remove("zone");
    labels.insert("foreign".to_owned(), "kept".to_owned());
    let patch = label_patch(&settings(), &health(), &node, &Added::default()).unwrap();
    assert_eq!(patch, json!({ "metadata": { "labels": { "zone": "a" } } }));
}

#[test]
fn a_removed_taint_comes_back_beside_foreign_ones() {
    let mut node = registered();
    let foreign = Taint { key: "foreign".to_owned(), effect: "NoExecute".to_owned(), ..Taint::default() };
    node.spec.as_mut().unwrap().taints = Some(vec![foreign]);
    let patch = taint_patch(&settings(), &health(), &node, &Added::default()).unwrap();
    let keys: Vec<_> = patch["spec"]["taints"].as_array().unwrap().iter().map(|taint| taint["key"].clone()).collect();
    assert_eq!(keys, ["foreign", "virtual-kubelet.io/provider"]);
}

#[test]
fn no_taint_means_no_taint() {
    let settings = Settings { taints: Some(vec![]), ..settings() };
    assert_eq!(object(&settings, &health(), &time(0)).spec.unwrap().taints, Some(vec![]));
}

#[test]
fn foreign_conditions_are_not_in_the_patch() {
    let mut node = registered();
    let foreign =
        NodeCondition { type_: "NetworkUnavailable".to_owned(), status: "False".to_owned(), ..Default::default() };
    node.status.as_mut().unwrap().conditions.as_mut().unwrap().push(foreign);
    assert_eq!(status_patch(&settings(), &health(), &node, &time(200), Due::default(), &Added::default()), None);
    let beat = status_patch(
        &settings(),
        &health(),
        &node,
        &time(200),
        Due { heartbeat: true, ..Due::default() },
        &Added::default(),
    )
    .unwrap();
    assert!(!beat.to_string().contains("NetworkUnavailable"));
}

#[test]
fn the_kubelet_version_is_never_newer_than_the_api_server() {
    assert!(kubelet_version(Some(34)).starts_with("v1.34.0+pluglet."));
    assert!(kubelet_version(Some(99)).starts_with("v1.37.0+pluglet."));
}

#[test]
fn a_provider_that_is_away_after_a_restart_costs_neither_readiness_nor_facts() {
    let away = Health { failure: Some("away".to_owned()), ..Health::default() };
    let patch = status_patch(&settings(), &away, &registered(), &time(200), Due::default(), &Added::default()).unwrap();
    let conditions = patch["status"]["conditions"].as_array().unwrap();
    let status = |name: &str| conditions.iter().find(|condition| condition["type"] == name).unwrap()["status"].clone();
    assert_eq!((status("Ready"), status("ProviderReady")), (json!("True"), json!("False")));
    assert_eq!(patch["status"]["nodeInfo"]["architecture"], "amd64");
    assert_eq!(patch["status"]["capacity"], json!({ "cpu": "4", "pods": "100" }));
}

#[test]
fn the_heartbeat_moves_and_the_transition_does_not() {
    let patch = status_patch(
        &settings(),
        &health(),
        &registered(),
        &time(200),
        Due { heartbeat: true, ..Due::default() },
        &Added::default(),
    )
    .unwrap();
    let ready = &patch["status"]["conditions"][0];
    assert_eq!(ready["lastTransitionTime"], "1970-01-01T00:01:40Z");
    assert_eq!(ready["lastHeartbeatTime"], "1970-01-01T00:03:20Z");
}

#[test]
fn a_resource_that_the_provider_dropped_is_removed() {
    let mut node = registered();
    let capacity = node.status.as_mut().unwrap().capacity.as_mut().unwrap();
    capacity.insert("example.com/gpu".to_owned(), Quantity("1".to_owned()));
    let patch = status_patch(&settings(), &health(), &node, &time(200), Due::default(), &Added::default()).unwrap();
    assert_eq!(patch["status"]["capacity"], json!({ "cpu": "4", "pods": "100", "example.com/gpu": null }));
}

#[test]
fn quantities_that_the_api_server_spells_differently_are_sent_once() {
    let mut health = health();
    let facts = &mut health.info.as_mut().unwrap().node;
    facts.capacity.insert("cpu".to_owned(), "0.5".to_owned());
    let mut node = object(&settings(), &health, &time(100));
    let status = node.status.as_mut().unwrap();
    for resources in [&mut status.capacity, &mut status.allocatable] {
        resources.as_mut().unwrap().insert("cpu".to_owned(), Quantity("500m".to_owned()));
    }
    let patch = |resources_sent| {
        status_patch(
            &settings(),
            &health,
            &node,
            &time(200),
            Due { resources_sent, ..Due::default() },
            &Added::default(),
        )
    };
    assert!(patch(false).is_some());
    assert_eq!(patch(true), None);
}

#[test]
fn a_provider_that_stays_away_for_too_long_makes_the_node_unready_with_the_reason() {
    let away = Health { failure: Some("wasm trap".to_owned()), ..health() };
    let ready = |provider_lost| {
        let due = Due { provider_lost, ..Due::default() };
        let patch = status_patch(&settings(), &away, &registered(), &time(200), due, &Added::default()).unwrap();
        let conditions = patch["status"]["conditions"].as_array().unwrap().clone();
        let of = |kind: &str| conditions.iter().find(|condition| condition["type"] == kind).unwrap().clone();
        (of("Ready")["status"].clone(), of("Ready")["message"].clone(), of("ProviderReady")["status"].clone())
    };
    assert_eq!(ready(false), (json!("True"), json!("pluglet is posting ready status"), json!("False")));
    assert_eq!(
        ready(true),
        (json!("False"), json!("the provider has been away for too long: wasm trap"), json!("False"))
    );
}

/// Facts with one name of each kind.
fn named(name: &str) -> Health {
    let mut health = health();
    let facts = &mut health.info.as_mut().unwrap().node;
    facts.labels = BTreeMap::from([(name.to_owned(), "v".to_owned())]);
    facts.taints = vec![Taint { key: name.to_owned(), effect: "NoSchedule".to_owned(), ..Taint::default() }];
    facts.conditions =
        vec![NodeCondition { type_: name.to_owned(), status: "True".to_owned(), ..NodeCondition::default() }];
    health
}

/// What was written for these facts on a node that was like this.
fn added(health: &Health, before: Option<&Node>) -> Added {
    let mut added = Added::default();
    let facts = facts(health);
    added.labels_written(&facts, before);
    added.taints_written(&settings(), &facts, before);
    added.conditions_written(&facts, before);
    added
}

#[test]
fn names_that_the_provider_gave_the_node_go_when_it_names_them_no_more() {
    let node = object(&settings(), &named("old"), &time(100));
    let (now, added) = (named("new"), added(&named("old"), None));
    let labels = label_patch(&settings(), &now, &node, &added).unwrap();
    assert_eq!(labels["metadata"]["labels"], json!({ "old": null, "new": "v" }));
    let taints = taint_patch(&settings(), &now, &node, &added).unwrap();
    let keys: Vec<_> = taints["spec"]["taints"].as_array().unwrap().iter().map(|taint| taint["key"].clone()).collect();
    assert_eq!(keys, ["virtual-kubelet.io/provider", "new"]);
    let status = status_patch(&settings(), &now, &node, &time(200), Due::default(), &added).unwrap();
    let conditions = status["status"]["conditions"].as_array().unwrap();
    assert_eq!(conditions.last(), Some(&json!({ "$patch": "delete", "type": "old" })));
    // A name that is only dropped is a difference too.
    assert!(label_patch(&settings(), &health(), &node, &added).is_some());
    assert!(taint_patch(&settings(), &health(), &node, &added).is_some());
    assert!(status_patch(&settings(), &health(), &node, &time(200), Due::default(), &added).is_some());
}

#[test]
fn a_provider_cannot_have_somebody_elses_names_removed_by_naming_and_dropping_them() {
    let node = object(&settings(), &named("theirs"), &time(100));
    let added = added(&named("theirs"), Some(&node));
    assert_eq!(label_patch(&settings(), &health(), &node, &added), None);
    assert_eq!(taint_patch(&settings(), &health(), &node, &added), None);
    assert_eq!(status_patch(&settings(), &health(), &node, &time(200), Due::default(), &added), None);
}

#[test]
fn facts_that_name_something_twice_settle() {
    let mut twice = named("twice");
    let facts = &mut twice.info.as_mut().unwrap().node;
    let mut condition = facts.conditions[0].clone();
    condition.message = Some("another".to_owned());
    facts.conditions.push(condition);
    let mut taint = facts.taints[0].clone();
    taint.value = Some("another".to_owned());
    facts.taints.push(taint);
    // As the API server shows it: without empty texts.
    facts.conditions[0].message = Some(String::new());
    let mut node = object(&settings(), &twice, &time(100));
    node.status.as_mut().unwrap().conditions.as_mut().unwrap().last_mut().unwrap().message = None;
    assert_eq!(node.spec.as_ref().unwrap().taints.as_ref().map(Vec::len), Some(2));
    assert_eq!(taint_patch(&settings(), &twice, &node, &Added::default()), None);
    assert_eq!(status_patch(&settings(), &twice, &node, &time(200), Due::default(), &Added::default()), None);
}

#[test]
fn a_provider_that_cannot_list_its_pods_is_told_on_the_node() {
    let mute = Health { trouble: Some("the backend refused: HTTP 401".to_owned()), ..health() };
    let patch = status_patch(&settings(), &mute, &registered(), &time(200), Due::default(), &Added::default()).unwrap();
    let conditions = patch["status"]["conditions"].as_array().unwrap();
    let of = |kind: &str| conditions.iter().find(|condition| condition["type"] == kind).unwrap();
    assert_eq!((&of("Ready")["status"], &of("ProviderReady")["status"]), (&json!("True"), &json!("False")));
    assert!(of("ProviderReady")["message"].as_str().unwrap().ends_with("HTTP 401"));
}
