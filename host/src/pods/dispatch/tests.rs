//! The three sides compared, with a scripted provider and a scripted API server; no sockets, paused time.

mod naming;
mod pace;
mod restarts;
mod world;

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::*;
use crate::status::Facts;
use world::*;

#[tokio::test(start_paused = true)]
async fn a_pod_costs_one_patch_to_run_one_to_end_and_one_delete() {
    let world = World::start(&[]);
    world.send(ObjectEvent::Relisted(vec![object("u1", 1, json!({}))]));
    world.journal.wait_for("patch u1 Running").await;
    world.send(ObjectEvent::Applied(deleted("u1", 1001)));
    world.journal.wait_for("delete u1 30").await;
    world.tell(stopped("u1")).await;
    world.journal.wait_for("remove u1").await;
    world.send(ObjectEvent::Deleted(deleted("u1", 1002)));
    let journal = world.end().await;
    assert_eq!(journal, ["create u1", "patch u1 Running", "delete u1 30", "patch u1 Succeeded", "remove u1"]);
}

#[tokio::test(start_paused = true)]
async fn a_pod_recreated_under_the_name_of_one_that_stops_is_another_pod() {
    let world = World::start(&[]);
    world.send(ObjectEvent::Relisted(vec![object("u1", 1, json!({}))]));
    world.journal.wait_for("patch u1 Running").await;
    // The first one's DELETED was never seen.
    world.send(ObjectEvent::Applied(object("u2", 1005, json!({}))));
    world.journal.wait_for("patch u2 Running").await;
    world.tell(stopped("u1")).await;
    let journal = world.end().await;
    assert!(journal.contains(&"delete u1 0".to_owned()), "{journal:?}");
    assert!(!journal.iter().any(|entry| entry.starts_with("patch u1") && entry != "patch u1 Running"), "{journal:?}");
    assert_eq!(journal.iter().filter(|entry| entry.starts_with("patch u2")).count(), 1, "{journal:?}");
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_a_pod_that_both_sides_know_is_left_alone() {
    let first = World::start(&[]);
    first.send(ObjectEvent::Relisted(vec![object("u1", 1, json!({}))]));
    first.journal.wait_for("patch u1 Running").await;
    first.end().await;
    let status = {
        let pod = object("u1", 1, json!({}));
        let (baseline, report) = (PodStatus::default(), running());
        let now = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(k8s_openapi::jiff::Timestamp::UNIX_EPOCH);
        let facts = Facts {
            report: Some(&report),
            host_ip: "10.0.0.1",
            generation: Some(1),
            ..Facts::of(&pod, &baseline, &now)
        };
        crate::status::translate(&facts)
    };
    let second = World::start(&["u1"]);
    second.send(ObjectEvent::Relisted(vec![object("u1", 1001, json!({ "status": status }))]));
    assert_eq!(second.end().await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_was_running_and_is_unknown_after_a_restart_is_created_again_with_an_event() {
    let world = World::start(&[]);
    let status = json!({ "status": { "phase": "Running" } });
    world.send(ObjectEvent::Relisted(vec![object("u1", 1, status)]));
    // The API server holds Running already; only the rest of the status is written.
    world.journal.wait_for("patch u1 -").await;
    assert_eq!(world.end().await, ["event u1 ProviderLostPod", "create u1", "patch u1 -"]);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_may_not_restart_and_is_unknown_after_a_restart_fails() {
    let world = World::start(&[]);
    let extra = json!({ "spec": { "restartPolicy": "Never" }, "status": { "phase": "Running" } });
    world.send(ObjectEvent::Relisted(vec![object("u1", 1, extra)]));
    world.journal.wait_for("patch u1 Failed").await;
    assert_eq!(world.end().await, ["event u1 ProviderLostPod", "patch u1 Failed"]);
}

#[tokio::test(start_paused = true)]
async fn a_provider_records_events_on_its_own_pods_only_and_under_their_real_names() {
    let world = World::start(&[]);
    world.send(ObjectEvent::Relisted(vec![object("u1", 1, json!({}))]));
    world.journal.wait_for("patch u1 Running").await;
    for (uid, reason) in [("elsewhere", "Forged"), ("u1", "Pulled"), ("u1", "not a reason")] {
        let key = PodKey::new(uid, "kube-system", "forged");
        world
            .tell(ProviderEvent::PodEvent {
                key,
                container: None,
                warning: false,
                reason: reason.to_owned(),
                message: String::new(),
            })
            .await;
    }
    let journal = world.end().await;
    let events: Vec<_> = journal.iter().filter(|entry| entry.starts_with("event")).collect();
    assert_eq!(events, ["event u1 Pulled", "event u1 ProviderEvent"]);
}

#[tokio::test(start_paused = true)]
async fn a_pod_missing_from_a_relist_is_stopped_and_its_object_is_not_touched() {
    let world = World::start(&[]);
    world.send(ObjectEvent::Relisted(vec![object("u1", 1, json!({}))]));
    world.journal.wait_for("patch u1 Running").await;
    world.send(ObjectEvent::Relisted(vec![]));
    world.journal.wait_for("delete u1 0").await;
    let journal = world.end().await;
    assert_eq!(journal, ["create u1", "patch u1 Running", "delete u1 0"]);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_asks_for_more_than_there_is_fails_as_on_a_kubelet() {
    let world = World::start(&[]);
    let wants = |cpu: &str| {
        let container = json!({ "name": "c", "image": "i", "resources": { "requests": { "cpu": cpu } } });
        json!({ "spec": { "containers": [container] } })
    };
    world.send(ObjectEvent::Relisted(vec![object("u1", 1, wants("3"))]));
    world.journal.wait_for("patch u1 Running").await;
    let mut second = object("u2", 1, wants("2"));
    second.metadata.name = Some("q".to_owned());
    world.send(ObjectEvent::Applied(second.clone()));
    world.journal.wait_for("patch u2 Failed").await;
    let status = world.journal.last_status();
    assert_eq!(status["reason"], "OutOfcpu");
    let message =
        "Pod was rejected: Node didn't have enough resource: cpu, requested: 2000, used: 3000, capacity: 4000";
    assert_eq!(status["message"], message);
    // A DaemonSet's pod waits instead, and starts when there is room.
    let owner = json!([{ "apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "d", "controller": true }]);
    let mut third = object("u3", 1, wants("2"));
    third.metadata.name = Some("r".to_owned());
    third.metadata.owner_references = serde_json::from_value(owner).unwrap();
    world.send(ObjectEvent::Applied(third));
    world.journal.wait_for("event u3 OutOfcpu").await;
    world.settle().await;
    assert_eq!(world.journal.count("create u3"), 0);
    world.send(ObjectEvent::Deleted(object("u1", 1, wants("3"))));
    world.journal.wait_for("delete u1 0").await;
    world.tell(ProviderEvent::Gone(PodKey::new("u1", "n", "p"))).await;
    world.journal.wait_for("patch u3 Running").await;
    let journal = world.end().await;
    assert_eq!(journal.iter().filter(|entry| entry.starts_with("event u3")).count(), 1, "{journal:?}");
    assert!(!journal.contains(&"patch u3 Failed".to_owned()), "{journal:?}");
}

#[tokio::test(start_paused = true)]
async fn a_pod_past_its_active_deadline_is_stopped_then_failed_and_its_object_stays() {
    let world = World::start(&[]);
    let now = k8s_openapi::jiff::Timestamp::now().to_string();
    let extra = json!({ "spec": { "activeDeadlineSeconds": 60 }, "status": { "startTime": now } });
    world.send(ObjectEvent::Relisted(vec![object("u1", 1, extra)]));
    world.journal.wait_for("delete u1 30").await;
    world.tell(stopped("u1")).await;
    world.journal.wait_for("patch u1 Failed").await;
    let status = world.journal.last_status();
    assert_eq!(status["reason"], "DeadlineExceeded");
    let journal = world.end().await;
    assert_eq!(
        journal,
        ["create u1", "patch u1 Running", "event u1 DeadlineExceeded", "delete u1 30", "patch u1 Failed"]
    );
}

/// What differs in a pod that asks for so much CPU.
fn wants(cpu: &str, generation: i64) -> Value {
    let container = json!({ "name": "c", "image": "i", "resources": { "requests": { "cpu": cpu } } });
    json!({ "spec": { "containers": [container] }, "metadata": { "generation": generation } })
}

#[tokio::test(start_paused = true)]
async fn a_resize_that_the_provider_refuses_is_answered_and_the_answer_goes_away_with_it() {
    let world = World::start(&[]);
    world.journal.refuses_updates.store(true, Ordering::Relaxed);
    world.send(ObjectEvent::Relisted(vec![object("u1", 1, wants("1", 1))]));
    world.journal.wait_for("patch u1 Running").await;
    world.send(ObjectEvent::Applied(object("u1", 2, wants("2", 2))));
    world.journal.wait_for("event u1 ProviderUnsupported").await;
    world.settle().await;
    let status = world.journal.last_status();
    let pending: Vec<_> =
        status["conditions"].as_array().unwrap().iter().filter(|c| c["type"] == "PodResizePending").collect();
    assert_eq!((&pending[0]["status"], &pending[0]["reason"]), (&json!("True"), &json!("Infeasible")), "{status}");
    assert_eq!(pending[0]["observedGeneration"], 2);
    world.send(ObjectEvent::Applied(object("u1", 3, wants("1", 3))));
    world.settle().await;
    let patches = world.journal.patches.lock().unwrap().clone();
    let withdrawn = json!({ "$patch": "delete", "type": "PodResizePending" });
    let withdraws = |patch: &&Value| patch["status"]["conditions"].as_array().unwrap().contains(&withdrawn);
    assert_eq!(patches.iter().filter(withdraws).count(), 1, "{patches:?}");
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_failed_before_a_restart_is_left_as_it_is() {
    let world = World::start(&[]);
    let status = json!({ "phase": "Failed", "reason": "OutOfcpu", "message": "Pod was rejected: full" });
    world.send(ObjectEvent::Relisted(vec![object("u1", 1, json!({ "status": status }))]));
    assert_eq!(world.end().await, Vec::<String>::new());
}

/// The pod with another image.
fn changed(status: &Value) -> Pod {
    let containers = json!([{ "name": "c", "image": "other" }]);
    let metadata = json!({ "generation": 2 });
    object("u1", 2000, json!({ "metadata": metadata, "spec": { "containers": containers }, "status": status }))
}

#[tokio::test(start_paused = true)]
async fn a_change_that_the_provider_has_not_taken_is_not_called_observed_and_the_next_process_hands_it_over() {
    let first = World::start(&[]);
    first.journal.misses_updates.store(true, Ordering::Relaxed);
    first.send(ObjectEvent::Relisted(vec![object("u1", 1, json!({}))]));
    first.journal.wait_for("patch u1 Running").await;
    let status = first.journal.last_status();
    assert_eq!(status["observedGeneration"], 1);
    first.send(ObjectEvent::Applied(changed(&status)));
    first.journal.wait_for("update u1").await;
    // Something else about the pod is written meanwhile.
    first.tell(restarted("u1", 1)).await;
    first.settle().await;
    let told = first.journal.last_status();
    assert_eq!(told["containerStatuses"][0]["restartCount"], 1);
    assert!(!told.as_object().unwrap().contains_key("observedGeneration"), "{told}");
    first.end().await;

    let second = World::start(&["u1"]);
    second.send(ObjectEvent::Relisted(vec![changed(&status)]));
    second.journal.wait_for("update u1").await;
    second.settle().await;
    assert_eq!(second.journal.last_status()["observedGeneration"], 2);
    second.end().await;
}

/// Defect 11 of the most used virtual kubelet: it ends the process.
#[tokio::test(start_paused = true)]
async fn vk_defect_11_a_change_of_a_pod_that_nobody_knows_takes_it_up() {
    let world = World::start(&["u1"]);
    world.send(ObjectEvent::Relisted(vec![]));
    world.journal.wait_for("delete u1 0").await;
    // Its creation was never told.
    let change = json!({ "metadata": { "name": "q", "generation": 7, "labels": { "a": "b" } } });
    world.send(ObjectEvent::Applied(object("u2", 5, change)));
    world.journal.wait_for("create u2").await;
    world.journal.wait_for("patch u2 Running").await;
    world.send(ObjectEvent::Deleted(object("u3", 6, json!({}))));
    let journal = world.end().await;
    assert!(!journal.iter().any(|entry| entry.contains("u3")), "{journal:?}");
}

#[tokio::test(start_paused = true)]
async fn a_pod_whose_status_was_never_written_is_handed_over_as_it_is_now() {
    let world = World::start(&["u1"]);
    world.send(ObjectEvent::Relisted(vec![changed(&json!({}))]));
    world.journal.wait_for("update u1").await;
    world.settle().await;
    assert_eq!(world.journal.last_status()["observedGeneration"], 2);
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_list_that_says_what_is_known_wakes_nobody() {
    let world = World::start(&[]);
    world.send(ObjectEvent::Relisted(vec![object("u1", 1, json!({}))]));
    world.journal.wait_for("patch u1 Running").await;
    tokio::time::sleep(COMPARE_EVERY * 3).await;
    let lists = world.journal.lists.load(Ordering::Relaxed);
    assert!(lists >= 3, "{lists}");
    assert_eq!(world.end().await, ["create u1", "patch u1 Running"]);
}

#[tokio::test(start_paused = true)]
async fn a_resize_that_the_provider_cannot_make_now_is_deferred_and_made_later() {
    let world = World::start(&[]);
    world.journal.misses_updates.store(true, Ordering::Relaxed);
    world.send(ObjectEvent::Relisted(vec![object("u1", 1, wants("1", 1))]));
    world.journal.wait_for("patch u1 Running").await;
    world.send(ObjectEvent::Applied(object("u1", 2, wants("2", 2))));
    world.journal.wait_for("update u1").await;
    world.settle().await;
    let conditions = world.journal.last_status()["conditions"].clone();
    let pending = conditions.as_array().unwrap().iter().find(|condition| condition["type"] == "PodResizePending");
    assert_eq!(pending.unwrap()["reason"], "Deferred", "{conditions}");
    world.journal.misses_updates.store(false, Ordering::Relaxed);
    world.journal.wait_for_times("update u1", 2).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let withdrawn = json!({ "$patch": "delete", "type": "PodResizePending" });
    let conditions = world.journal.last_status()["conditions"].clone();
    assert!(conditions.as_array().unwrap().contains(&withdrawn), "{conditions}");
    world.end().await;
}

/// The resources of the container, and the condition of a resize, as last written.
fn resize_told(world: &World) -> (Value, Value) {
    let status = world.journal.last_status();
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    let pending = conditions.into_iter().find(|condition| condition["type"] == "PodResizePending");
    (
        status["containerStatuses"][0]["resources"]["requests"]["cpu"].clone(),
        pending.unwrap_or_default()["reason"].clone(),
    )
}

#[tokio::test(start_paused = true)]
async fn a_resize_while_nobody_looked_is_refused_by_a_provider_without_updates_with_what_there_really_is() {
    let world = World::without_updates(&["u1"]);
    let has = json!({ "requests": { "cpu": "1" } });
    let container = json!({ "name": "c", "image": "i", "imageID": "", "ready": true, "restartCount": 0, "resources": has,
        "state": { "running": { "startedAt": "2026-01-01T00:00:00Z" } } });
    let mut pod = object("u1", 1, wants("2", 2));
    let status = json!({ "phase": "Running", "observedGeneration": 1, "containerStatuses": [container] });
    pod.status = serde_json::from_value(status).unwrap();
    world.send(ObjectEvent::Relisted(vec![pod]));
    world.journal.wait_for("event u1 ProviderUnsupported").await;
    world.settle().await;
    let patches = world.journal.patches.lock().unwrap().clone();
    let (_, reason) = resize_told(&world);
    assert_eq!(reason, "Infeasible", "{patches:?}");
    assert!(patches.iter().all(|patch| patch["status"]["containerStatuses"][0]["resources"]["requests"]["cpu"] != "2"));
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_resized_while_it_waits_is_created_as_it_is_then() {
    for world in [World::start(&[]), World::without_updates(&[])] {
        let mut pod = object("u1", 1, wants("1", 1));
        let volume = json!({ "name": "v", "configMap": { "name": "settings" } });
        let waiting = |pod: &mut Pod| {
            pod.spec.as_mut().unwrap().volumes = Some(vec![serde_json::from_value(volume.clone()).unwrap()]);
        };
        waiting(&mut pod);
        world.send(ObjectEvent::Relisted(vec![pod]));
        world.journal.wait_for("event u1 FailedMount").await;
        let mut resized = object("u1", 2, wants("2", 2));
        waiting(&mut resized);
        world.send(ObjectEvent::Applied(resized));
        world.settle().await;
        world.cluster.put("settings", json!({ "k": "1" }));
        world.journal.wait_for("patch u1 Running").await;
        let (cpu, reason) = resize_told(&world);
        assert_eq!((cpu, reason), (json!("2"), Value::Null));
        world.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_that_the_provider_will_not_take_is_an_event_and_is_told_once() {
    let world = World::without_updates(&[]);
    world.send(ObjectEvent::Relisted(vec![object("u1", 1, json!({}))]));
    world.journal.wait_for("patch u1 Running").await;
    world.send(ObjectEvent::Applied(changed(&json!({ "phase": "Running" }))));
    world.journal.wait_for("event u1 ProviderUnsupported").await;
    world.tell(restarted("u1", 1)).await;
    world.tell(restarted("u1", 2)).await;
    let journal = world.end().await;
    assert_eq!(journal.iter().filter(|entry| entry.starts_with("event")).count(), 1, "{journal:?}");
    assert!(!journal.contains(&"update u1".to_owned()), "{journal:?}");
}
