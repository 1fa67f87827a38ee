//! What there may be without end is done at a pace: orphans, comparisons, statuses.

use std::sync::atomic::Ordering;

use serde_json::json;

use super::super::*;
use super::world::*;

#[tokio::test(start_paused = true)]
async fn an_orphan_is_deleted_only_when_a_complete_list_proves_it_dead() {
    let world = World::start(&["u1"]);
    world.send(ObjectEvent::Applied(object("u2", 1, json!({}))));
    world.journal.wait_for("patch u2 Running").await;
    world.tell(ProviderEvent::Resync).await;
    world.settle().await;
    assert!(!world.journal.read().iter().any(|entry| entry.starts_with("delete")), "{:?}", world.journal.read());
    world.send(ObjectEvent::Relisted(vec![object("u2", 1, json!({}))]));
    world.journal.wait_for("delete u1 0").await;
    let journal = world.end().await;
    assert!(!journal.iter().any(|entry| entry.contains("remove")), "{journal:?}");
}

#[tokio::test(start_paused = true)]
async fn a_status_that_the_api_server_never_takes_does_not_hold_up_a_deletion() {
    let world = World::start(&[]);
    world.send(ObjectEvent::Relisted(vec![object("u1", 1, json!({}))]));
    world.journal.wait_for("patch u1 Running").await;
    world.journal.refuse.store(true, Ordering::Relaxed);
    world.send(ObjectEvent::Applied(deleted("u1", 1001)));
    world.journal.wait_for("delete u1 30").await;
    world.tell(stopped("u1")).await;
    world.journal.wait_for("remove u1").await;
    let journal = world.end().await;
    // First with the report, then without it, then not at all.
    assert_eq!(journal.iter().filter(|entry| entry.starts_with("refused")).count(), 2, "{journal:?}");
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_nobody_drives_but_the_api_server_has_is_no_orphan() {
    let world = World::start(&[]);
    world.send(ObjectEvent::Relisted(vec![object("u1", 1, json!({}))]));
    world.journal.wait_for("patch u1 Running").await;
    // Its actor ends, as a panic would end it, and the API server has the pod again.
    world.send(ObjectEvent::Deleted(object("u1", 1, json!({}))));
    world.journal.wait_for("delete u1 0").await;
    world.tell(ProviderEvent::Gone(PodKey::new("u1", "n", "p"))).await;
    world.settle().await;
    world.send(ObjectEvent::Applied(object("u1", 1001, json!({ "status": { "phase": "Running" } }))));
    // The two sources are heard in no order: a comparison before the object would rightly find an orphan.
    world.settle().await;
    world.tell(ProviderEvent::Resync).await;
    let journal = world.end().await;
    assert_eq!(journal.iter().filter(|entry| entry.starts_with("delete")).count(), 1, "{journal:?}");
}

#[tokio::test(start_paused = true)]
async fn a_list_full_of_orphans_is_taken_on_in_portions() {
    let names: Vec<String> = (0..1000).map(|number| format!("u{number}")).collect();
    let world = World::start(&names.iter().map(String::as_str).collect::<Vec<_>>());
    world.send(ObjectEvent::Relisted(vec![]));
    for _ in 0..5 {
        world.tell(ProviderEvent::Resync).await;
        tokio::time::sleep(RESYNC_PACE).await;
    }
    let deletes = world.journal.count("delete");
    assert_eq!(deletes, orphans::MAX_ORPHANS, "a provider that keeps listing them gets no more of them at once");
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn all_orphans_of_a_provider_that_obeys_are_gone_in_the_end() {
    let names: Vec<String> = (0..1000).map(|number| format!("u{number}")).collect();
    let world = World::start(&names.iter().map(String::as_str).collect::<Vec<_>>());
    world.journal.obeys.store(true, Ordering::Relaxed);
    world.send(ObjectEvent::Relisted(vec![]));
    // Short of the periodic comparison: those that are left over have lists of their own.
    tokio::time::sleep(COMPARE_EVERY / 2).await;
    let journal = world.end().await;
    let deleted: HashSet<&String> = journal.iter().filter(|entry| entry.starts_with("delete")).collect();
    assert_eq!(deleted.len(), 1000, "each of them once");
}

#[tokio::test(start_paused = true)]
async fn an_orphan_that_the_provider_does_not_delete_costs_no_event() {
    let world = World::start(&["made-up"]);
    world.journal.defies.store(true, Ordering::Relaxed);
    world.send(ObjectEvent::Relisted(vec![]));
    world.journal.wait_for("delete made-up 0").await;
    assert_eq!(world.end().await, ["delete made-up 0"]);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_asks_for_comparisons_all_the_time_gets_one_a_second() {
    let world = World::start(&[]);
    world.send(ObjectEvent::Relisted(vec![]));
    for _ in 0..100 {
        world.tell(ProviderEvent::Resync).await;
        moment().await;
    }
    assert_eq!(
        world.journal.lists.load(Ordering::Relaxed),
        2,
        "the one at the start, and the first that was asked for"
    );
    tokio::time::sleep(RESYNC_PACE).await;
    assert_eq!(world.journal.lists.load(Ordering::Relaxed), 3, "the last that was asked for is not forgotten");
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn statuses_without_end_are_written_at_a_pace_and_the_newest_is_written_in_the_end() {
    let world = World::start(&[]);
    world.send(ObjectEvent::Relisted(vec![object("u1", 1, json!({}))]));
    world.journal.wait_for("patch u1 Running").await;
    for times in 1..=100 {
        world.tell(restarted("u1", times)).await;
        moment().await;
    }
    let burst = world.journal.count("patch u1");
    assert!((2..=11).contains(&burst), "{burst} writes");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(world.journal.count("patch u1") <= burst + 1, "one write for all that was told meanwhile");
    let restarts = world.journal.last_status()["containerStatuses"][0]["restartCount"].clone();
    assert_eq!(restarts, 100);
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn the_first_end_of_a_pod_that_has_written_too_much_is_not_late_and_the_others_are_paced() {
    let world = World::start(&[]);
    world.send(ObjectEvent::Relisted(vec![object("u1", 1, json!({ "spec": { "restartPolicy": "Never" } }))]));
    world.journal.wait_for("patch u1 Running").await;
    for times in 1..=100 {
        world.tell(restarted("u1", times)).await;
        moment().await;
    }
    let before = world.journal.count("patch u1");
    for times in 101..=200 {
        world.tell(ended("u1", times)).await;
        moment().await;
        assert_eq!(world.journal.count("patch u1 Succeeded"), 1, "at once");
    }
    let after = world.journal.count("patch u1");
    assert!(after <= before + 2, "{before} writes, then {after}");
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_never_stops_telling_ends_does_not_hold_up_a_deletion() {
    // By the rules of a pod that restarts, no report but the first would be an end.
    let never = json!({ "spec": { "restartPolicy": "Never" } });
    let world = World::start(&[]);
    world.send(ObjectEvent::Relisted(vec![object("u1", 1, never.clone())]));
    world.journal.wait_for("patch u1 Running").await;
    for times in 1..=20 {
        world.tell(restarted("u1", times)).await;
        moment().await;
    }
    world.journal.slow.store(true, Ordering::Relaxed);
    world.send(ObjectEvent::Applied(object(
        "u1",
        1095,
        json!({ "spec": never["spec"], "metadata": deleted("u1", 1095).metadata }),
    )));
    world.journal.wait_for("delete u1 30").await;
    for times in 21..=200 {
        world.tell(ended("u1", times)).await;
        moment().await;
    }
    let journal = world.journal.read();
    world.end().await;
    let at = |entry: &str| journal.iter().position(|have| have == entry);
    assert!(at("patch u1 Succeeded").is_some() && at("patch u1 Succeeded") < at("remove u1"), "{journal:?}");
}
