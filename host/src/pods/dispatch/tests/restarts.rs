//! Containers that fail their probes: restarted, at a pace, and not longer than it is needed.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use serde_json::json;

use super::super::*;
use super::world::*;
use crate::probes::{Check, Outcome, Runner};

/// All containers are sick, until they are all well.
#[derive(Default)]
struct Doctor {
    well: AtomicBool,
}

#[async_trait]
impl Runner for Doctor {
    async fn check(&self, _: &PodKey, _: &str, _: &Check, _: Option<IpAddr>, _: Duration) -> Outcome {
        if self.well.load(Ordering::Relaxed) {
            Outcome::Success
        } else {
            Outcome::Failure { output: "sick".to_owned() }
        }
    }
}

/// Its first failed check has it restarted.
fn probed() -> Pod {
    let probe = json!({ "tcpSocket": { "port": 1 }, "periodSeconds": 1, "failureThreshold": 1 });
    object("u1", 1, json!({ "spec": { "containers": [{ "name": "c", "image": "i", "livenessProbe": probe }] } }))
}

const RESTART: &str = "restart u1 c";

/// A pod whose container was restarted once, has come back and fails again: its second restart has to wait.
async fn failing_again() -> (World, Arc<Doctor>) {
    let doctor = Arc::new(Doctor::default());
    let world = World::probed_by(doctor.clone());
    world.send(ObjectEvent::Relisted(vec![probed()]));
    world.journal.wait_for("create u1").await;
    world.tell(restarted("u1", 0)).await;
    world.journal.wait_for(RESTART).await;
    world.tell(restarted("u1", 1)).await;
    world.journal.wait_for("event u1 BackOff").await;
    (world, doctor)
}

#[tokio::test(start_paused = true)]
async fn the_second_restart_of_a_container_waits_as_on_a_kubelet() {
    let (world, _) = failing_again().await;
    let begin = Instant::now();
    world.journal.wait_for_times(RESTART, 2).await;
    let waited = begin.elapsed().as_secs_f64();
    assert!((9.0..12.0).contains(&waited), "{waited} s");
    let events = world.end().await;
    let events: Vec<_> = events.iter().filter(|entry| entry.starts_with("event")).collect();
    let [unhealthy, killing] = ["event u1 Unhealthy", "event u1 Killing"];
    assert_eq!(events, [unhealthy, killing, unhealthy, "event u1 BackOff", killing], "killed is told when it is");
}

#[tokio::test(start_paused = true)]
async fn a_report_without_the_container_does_not_make_its_restart_forgotten() {
    let (world, _) = failing_again().await;
    world.tell(ProviderEvent::Status(PodKey::new("u1", "n", "p"), Box::new(running()))).await;
    moment().await;
    world.tell(restarted("u1", 1)).await;
    world.journal.wait_for_times(RESTART, 2).await;
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_container_that_came_back_by_itself_is_not_restarted() {
    let (world, doctor) = failing_again().await;
    doctor.well.store(true, Ordering::Relaxed);
    world.tell(restarted("u1", 2)).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(world.journal.count(RESTART), 1);
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_restarted_in_a_pod_that_is_deleted() {
    let (world, _) = failing_again().await;
    world.send(ObjectEvent::Applied(deleted("u1", 1001)));
    world.journal.wait_for("delete u1 30").await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(world.journal.count(RESTART), 1);
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_that_the_provider_could_not_make_is_made_later() {
    let world = World::probed_by(Arc::new(Doctor::default()));
    world.journal.misses_restarts.store(true, Ordering::Relaxed);
    world.send(ObjectEvent::Relisted(vec![probed()]));
    world.journal.wait_for("create u1").await;
    world.tell(restarted("u1", 0)).await;
    world.journal.wait_for_times("event u1 FailedToRestart", 3).await;
    world.journal.misses_restarts.store(false, Ordering::Relaxed);
    world.journal.wait_for_times(RESTART, 4).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(world.journal.count("restart"), 4, "one that was made is not made again");
    world.end().await;
}
