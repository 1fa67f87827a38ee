//! Each pod counts once.

use pluglet_model::provider::{Info, NodeFacts};
use serde_json::{Value, json};

use super::*;

fn admission() -> Admission {
    let capacity =
        [("cpu", "2"), ("memory", "8Gi"), ("pods", "3")].map(|(name, amount)| (name.to_owned(), amount.to_owned()));
    let node = NodeFacts { capacity: capacity.into(), operating_system: "linux".to_owned(), ..NodeFacts::default() };
    let health = Health { info: Some(Info { node, ..Info::default() }), ..Health::default() };
    let node: Node = serde_json::from_value(json!({ "metadata": { "name": "node" } })).unwrap();
    Admission::new(watch::channel(Some(Arc::new(node))).1, watch::channel(health).1)
}

fn pod() -> Pod {
    let container = json!({ "name": "c", "resources": { "requests": { "cpu": "1" } } });
    pod_of(&json!({ "spec": { "containers": [container] } }))
}

fn status(phase: &str) -> PodStatus {
    PodStatus { phase: Some(phase.to_owned()), ..PodStatus::default() }
}

fn pod_of(value: &Value) -> Pod {
    serde_json::from_value(value.clone()).unwrap()
}

fn uid(name: &str) -> Arc<str> {
    name.into()
}

#[test]
fn a_pod_counts_once_from_its_admission_to_its_end() {
    let mut admission = admission();
    assert_eq!(admission.decide(&uid("a"), &pod()), Decision::Take);
    // Seen again, as after a relist.
    admission.count(&uid("a"), &pod(), &status("Running"));
    assert_eq!(admission.decide(&uid("b"), &pod()), Decision::Take);
    let Decision::Reject(rejection) = admission.decide(&uid("c"), &pod()) else { panic!("there is no room") };
    assert_eq!(rejection.reason, "OutOfcpu");
    assert!(!admission.changed(&uid("a"), &status("Running")));
    assert!(admission.changed(&uid("a"), &status("Succeeded")));
    assert!(!admission.changed(&uid("a"), &status("Succeeded")), "room was made once");
    assert_eq!(admission.decide(&uid("c"), &pod()), Decision::Take);
    assert!(admission.release("b") && !admission.release("b"));
}

#[test]
fn a_pod_that_runs_already_is_counted_however_full_the_node_is() {
    let mut admission = admission();
    for name in ["a", "b", "c", "d"] {
        admission.count(&uid(name), &pod(), &status("Running"));
    }
    let small = pod_of(&json!({ "spec": { "containers": [{ "name": "c" }] } }));
    let Decision::Reject(rejection) = admission.decide(&uid("e"), &small) else { panic!("there is no room") };
    assert_eq!(rejection.reason, "OutOfpods");
}

#[test]
fn a_pod_that_was_resized_takes_the_room_that_it_asks_for_now() {
    let mut admission = admission();
    assert_eq!(admission.decide(&uid("a"), &pod()), Decision::Take);
    let container = json!({ "name": "c", "resources": { "requests": { "cpu": "1500m" } } });
    admission.resized("a", &pod_of(&json!({ "spec": { "containers": [container] } })));
    let Decision::Reject(rejection) = admission.decide(&uid("b"), &pod()) else { panic!("there is no room") };
    assert_eq!(rejection.reason, "OutOfcpu");
    assert!(admission.release("a"));
    assert_eq!(admission.decide(&uid("b"), &pod()), Decision::Take);
    admission.resized("unknown", &pod());
    assert_eq!(admission.decide(&uid("c"), &pod()), Decision::Take);
}
