//! Pods that name ConfigMaps: they wait, go on, and are kept fresh.

use pluglet_rules::resolve::Known;
use serde_json::json;

use super::super::*;
use super::world::*;

/// A pod with the ConfigMap `settings` as files.
fn with_files(uid: &str) -> Pod {
    object(uid, 1, json!({ "spec": { "volumes": [{ "name": "v", "configMap": { "name": "settings" } }] } }))
}

#[tokio::test(start_paused = true)]
async fn a_pod_whose_config_map_is_missing_waits_with_an_event_and_goes_on_by_itself() {
    let world = World::start(&[]);
    world.send(ObjectEvent::Relisted(vec![with_files("u1")]));
    world.journal.wait_for("event u1 FailedMount").await;
    world.settle().await;
    let message = world.journal.messages.lock().unwrap().join("");
    assert_eq!(message, "MountVolume.SetUp failed for volume \"v\" : configmap \"settings\" not found");
    assert_eq!(world.journal.count("create"), 0);
    world.cluster.put("settings", json!({ "k": "1" }));
    world.journal.wait_for("patch u1 Running").await;
    let journal = world.end().await;
    assert_eq!(journal.iter().filter(|entry| entry.starts_with("event")).count(), 1, "{journal:?}");
}

#[tokio::test(start_paused = true)]
async fn a_changed_config_map_reaches_the_provider_once_and_writes_nothing() {
    let world = World::start(&[]);
    world.cluster.put("settings", json!({ "k": "1" }));
    world.send(ObjectEvent::Relisted(vec![with_files("u1")]));
    world.journal.wait_for("patch u1 Running").await;
    world.cluster.put("settings", json!({ "k": "2" }));
    world.journal.wait_for("file u1 k=2").await;
    // The same again, and then gone: a running pod keeps what it has.
    world.cluster.put("settings", json!({ "k": "2" }));
    world.settle().await;
    world.cluster.config_map("settings").send_replace(Known::Missing);
    let journal = world.end().await;
    assert_eq!(journal, ["create u1", "patch u1 Running", "file u1 k=2", "event u1 FailedMount"]);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_waits_for_a_config_map_is_deleted_without_the_provider() {
    let world = World::start(&[]);
    world.send(ObjectEvent::Relisted(vec![with_files("u1")]));
    world.journal.wait_for("event u1 FailedMount").await;
    let mut pod = with_files("u1");
    pod.metadata = deleted("u1", 1001).metadata;
    world.send(ObjectEvent::Applied(pod));
    world.journal.wait_for("remove u1").await;
    let journal = world.end().await;
    assert!(!journal.iter().any(|entry| entry.starts_with("delete") || entry.starts_with("create")), "{journal:?}");
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_the_provider_gets_the_files_again_and_the_api_server_hears_nothing() {
    let world = World::start(&["u1"]);
    world.cluster.put("settings", json!({ "k": "2" }));
    let mut pod = with_files("u1");
    pod.status = Some(PodStatus { observed_generation: Some(1), ..running() });
    world.send(ObjectEvent::Relisted(vec![pod]));
    world.journal.wait_for("file u1 k=2").await;
    assert_eq!(world.journal.count("create"), 0);
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_object_that_appears_while_its_absence_is_being_told_is_not_missed() {
    for _ in 0..50 {
        let world = World::start(&[]);
        let mut pod = with_files("u1");
        let named = json!([{ "configMapRef": { "name": "more", "optional": true } }]);
        pod.spec.as_mut().unwrap().containers[0].env_from = serde_json::from_value(named).unwrap();
        world.send(ObjectEvent::Relisted(vec![pod]));
        // In the same breath: whichever of watch and call is polled first, the pod must end up running.
        tokio::task::yield_now().await;
        world.cluster.put("more", json!({ "a": "1" }));
        tokio::task::yield_now().await;
        world.cluster.put("settings", json!({ "k": "1" }));
        world.journal.wait_for("patch u1 Running").await;
        world.end().await;
    }
}
