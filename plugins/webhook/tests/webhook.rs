//! The provider against a scripted service.
//!
//! In: calls as the host makes them. Out: the requests that the service would see, and what its answers turn into. Invariant: no socket.

#![expect(clippy::unwrap_used, reason = "a test whose helper cannot go on has failed")]

use std::time::Duration;

use pluglet_sdk::kubernetes::Phase;
use pluglet_sdk::testing::{Harness, check_config, json, pod};
use pluglet_sdk::{Error, HttpError, Response, Retry};
use webhook::Webhook;

/// Whether an error is the right one.
type Check = fn(&Error) -> bool;

fn start() -> Harness<Webhook> {
    Harness::start("{}").unwrap()
}

#[test]
fn a_create_puts_the_pod_as_it_is_and_passes_the_status_on() {
    let (harness, web) = (start(), pod(json!({"metadata": {"name": "web"}})));
    harness.world().reply("backend", 200, r#"{"phase": "Pending", "qosClass": "Burstable"}"#);
    assert_eq!(harness.create(&web).unwrap().phase, Phase::Pending);
    let request = harness.world().requests().remove(0);
    let target = "/pods/uid-web?node=node&cluster=cluster";
    assert_eq!((request.method.as_str(), request.target.as_str()), ("PUT", target));
    assert_eq!(request.headers, [("content-type".to_owned(), "application/json".to_owned())]);
    assert_eq!(request.body, web.spec.json.as_bytes());
}

#[test]
fn a_delete_tells_the_grace_period() {
    let (harness, web) = (start(), pod(json!({"metadata": {"name": "web"}})));
    harness.world().reply("backend", 202, "");
    harness.delete(&web, 30).unwrap();
    let request = harness.world().requests().remove(0);
    assert_eq!((request.method.as_str(), request.target.as_str()), ("DELETE", "/pods/uid-web?grace=30"));
}

#[test]
fn the_list_is_passed_on_with_statuses_as_the_service_wrote_them() {
    let harness = start();
    harness.world().reply(
        "backend",
        200,
        r#"[{"uid": "u", "namespace": "ns", "name": "web", "status": {"phase": "Running", "anything": [1, 2]}},
            {"uid": "v", "namespace": "ns", "name": "web", "status": {}}]"#,
    );
    let listed = harness.list().unwrap();
    assert_eq!(harness.world().requests().remove(0).target, "/pods?node=node&cluster=cluster");
    assert_eq!((listed[0].0.uid.as_str(), listed[0].0.to_string().as_str()), ("u", "ns/web"));
    assert_eq!(listed[0].1.as_json(), r#"{"phase": "Running", "anything": [1, 2]}"#);
    assert_eq!(listed.len(), 2, "whoever does not say whose a pod is answers the question");
}

#[test]
fn a_pod_of_another_node_or_of_another_cluster_is_passed_over_because_it_would_be_deleted() {
    let harness = start();
    let entry = |uid: &str, node: &str, cluster: &str| json!({"uid": uid, "namespace": "ns", "name": "web", "node": node, "cluster": cluster, "status": {}});
    let mut listed = vec![entry("ours", "node", "cluster"), entry("x", "another", "cluster")];
    listed.extend([entry("y", "node", "another"), entry("z", "another", "another")]);
    harness.world().reply("backend", 200, &json!(listed).to_string());
    let uids: Vec<String> = harness.list().unwrap().into_iter().map(|(pod, _)| pod.uid).collect();
    assert_eq!(uids, ["ours"]);
}

#[test]
fn each_http_status_becomes_the_error_that_it_stands_for() {
    let web = pod(json!({}));
    let cases: [(u16, Check); 8] = [
        (404, |error| *error == Error::NotFound),
        (400, |error| matches!(error, Error::Invalid(text) if text.contains("why"))),
        (422, |error| matches!(error, Error::Invalid(_))),
        (401, |error| matches!(error, Error::Denied(_))),
        (403, |error| matches!(error, Error::Denied(_))),
        (
            429,
            |error| matches!(error, Error::Quota(Retry { after: Some(after), .. }) if *after == Duration::from_secs(7)),
        ),
        (500, |error| matches!(error, Error::Unavailable(_))),
        (503, |error| matches!(error, Error::Unavailable(Retry { after: Some(_), .. }))),
    ];
    for (status, check) in cases {
        let harness = start();
        let headers = vec![("Retry-After".to_owned(), "7".to_owned())];
        harness
            .world()
            .serve("backend", move |_| Ok(Response { status, headers: headers.clone(), body: b"why".to_vec() }));
        let error = harness.create(&web).unwrap_err();
        assert!(check(&error), "{status}: {error:?}");
    }
}

#[test]
fn a_service_that_cannot_be_reached_is_tried_again() {
    let harness = start();
    harness.world().serve("backend", |_| Err(HttpError::Connect("refused".to_owned())));
    assert!(matches!(harness.create(&pod(json!({}))), Err(Error::Unavailable(_))));
    assert!(matches!(harness.list(), Err(Error::Unavailable(_))));
}

#[test]
fn an_endpoint_that_is_not_granted_is_denied() {
    assert!(matches!(start().list(), Err(Error::Denied(_))));
}

#[test]
fn a_missing_list_is_not_an_empty_list() {
    let harness = start();
    harness.world().reply("backend", 404, "");
    assert!(matches!(harness.list(), Err(Error::Unavailable(_))));
    harness.world().reply("backend", 200, "{}");
    assert!(matches!(harness.list(), Err(Error::Internal(_))));
}

#[test]
fn the_manifest_asks_for_no_more_than_is_used() {
    let manifest: serde_json::Value = serde_json::from_slice(&webhook::PLUGLET_MANIFEST).unwrap();
    assert_eq!((&manifest["name"], &manifest["features"]), (&json!("webhook"), &json!([])));
    let endpoint = &manifest["endpoints"][0];
    assert_eq!((&endpoint["name"], &endpoint["paths"]), (&json!("backend"), &json!(["/pods", "/pods/*"])));
    assert_eq!((&endpoint["methods"], &endpoint["optional"]), (&json!(["GET", "PUT", "DELETE"]), &json!(false)));
}

#[test]
fn the_example_in_the_readme_is_a_configuration() {
    let readme = include_str!("../README.md");
    let example = readme.split("```yaml").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let example: serde_json::Value = serde_saphyr::from_str(example).unwrap();
    let config = &example["config"];
    assert_eq!(check_config(&webhook::PLUGLET_MANIFEST, config), Ok(()));
    let harness = Harness::<Webhook>::start(&config.to_string()).unwrap();
    let capacity = &harness.info().node.capacity;
    assert_eq!(
        (capacity["cpu"].as_str(), capacity["memory"].as_str(), capacity["pods"].as_str()),
        ("16", "64Gi", "110")
    );
    assert!(check_config(&webhook::PLUGLET_MANIFEST, &json!({"cpus": 1})).is_err());
    assert!(Harness::<Webhook>::start(r#"{"cpus": 1}"#).is_err(), "the schema and the provider agree");
}
