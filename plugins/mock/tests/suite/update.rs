//! Changes of a pod that exists.

use pluglet_sdk::Error;
use pluglet_sdk::testing::TestPod;

use super::{reported, scripted, seconds, shown, start};

fn with_image(mut pod: TestPod, image: &str) -> TestPod {
    pod.pod_ref.generation += 1;
    pod.spec.json = pod.spec.json.replace("image:1", image);
    pod
}

#[test]
fn a_new_image_restarts_its_container() {
    let (harness, pod) = (start(), scripted("Always", &[("log", "hello")]));
    harness.create(&pod).unwrap();
    harness.advance(seconds(5));
    let status = harness.update(&with_image(pod.clone(), "image:2")).unwrap();
    assert_eq!(shown(&status), "Running: running, 1 restarts");
    let container = &status.container_statuses[0];
    assert_eq!(container.image, "image:2");
    assert_eq!(container.last_state.terminated.as_ref().unwrap().reason.as_deref(), Some("Completed"));

    let listed = harness.list().unwrap();
    assert_eq!(listed[0].0.generation, 2);
    assert_eq!(harness.restart("{}").unwrap().list().unwrap(), listed);
}

#[test]
fn an_update_without_a_new_image_leaves_the_run_alone() {
    let (harness, pod) = (start(), scripted("Always", &[("run-for", "10s")]));
    let before = harness.create(&pod).unwrap();
    assert_eq!(harness.update(&with_image(pod, "image:1")).unwrap(), before);
}

#[test]
fn a_restart_by_update_counts_run_for_anew() {
    let (harness, pod) = (start(), scripted("Never", &[("run-for", "10s")]));
    harness.create(&pod).unwrap();
    harness.advance(seconds(8));
    harness.update(&with_image(pod, "image:2")).unwrap();
    harness.advance(seconds(9));
    assert_eq!(reported(&harness), (vec![], false));
    harness.advance(seconds(1));
    assert_eq!(shown(&reported(&harness).0[0]), "Succeeded: Completed 0, 1 restarts");
}

#[test]
fn how_a_pod_stops_can_be_changed_while_it_runs() {
    let (harness, pod) = (start(), scripted("Always", &[]));
    harness.create(&pod).unwrap();
    let slow = scripted("Always", &[("delete-delay", "5s"), ("stop-exit-code", "7"), ("run-for", "1s")]);
    harness.update(&slow).unwrap();
    let harness = harness.restart("{}").unwrap();
    harness.advance(seconds(5));
    harness.delete(&pod, 30).unwrap();
    assert_eq!(reported(&harness), (vec![], false));
    harness.advance(seconds(5));
    assert_eq!(shown(&reported(&harness).0[0]), "Failed: Error 7, 0 restarts");
}

#[test]
fn an_update_of_a_pod_that_is_not_there_is_not_found() {
    assert_eq!(start().update(&scripted("Always", &[])), Err(Error::NotFound));
}

#[test]
fn an_update_with_a_script_that_cannot_be_read_is_invalid() {
    let (harness, pod) = (start(), scripted("Always", &[]));
    harness.create(&pod).unwrap();
    let error = harness.update(&scripted("Always", &[("delete-delay", "soon")])).unwrap_err();
    assert!(matches!(error, Error::Invalid(_)));
}
