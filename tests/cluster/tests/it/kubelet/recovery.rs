//! Three sides that may disagree: what the API server wants, what the provider has, what this process knew.
//!
//! | API | provider | after a restart | shown by |
//! |---|---|---|---|
//! | runs | has it | adopted, nothing written | `restart.rs`: `after_kill_9_…` |
//! | gone | has it | deleted there | `restart.rs`: `a_pod_force_deleted_…` |
//! | being deleted | has it | stopped, then the usual handshake | here |
//! | being deleted | crashed, and has forgotten that it was told | told again | here |
//! | ended | has it or not | left alone | here |
//! | runs | lost it | created again, or Failed where `restartPolicy` is Never | here |
//! | unknown (no API server) | has it | left alone | `outage.rs` |
//! | none of this node | made up, or another node's | nothing of others is touched | `hostile.rs`: `lies_about_pods_…` |
//!
//! Ownership tags of backends that several nodes share are tested with the providers that have such backends.

use anyhow::{Context, Result};
use cluster::{SOON, World, config_map, file_text, is_running, name, phase, revealing, uid};
use controlplane::wait::{Answer, until};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

fn named<'a>(pods: &'a [Pod], wanted: &str) -> Option<&'a Pod> {
    pods.iter().find(|pod| name(pod) == wanted)
}

fn has_phase(pods: &[Pod], wanted: &str, is: &str) -> bool {
    named(pods, wanted).is_some_and(|pod| phase(pod) == is)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_deleted_or_ended_while_nobody_looked_comes_to_its_end() -> Result<()> {
    let world = World::new("meanwhile").await?;
    let mut node = world.node("node-meanwhile").await?;
    let brief = json!({ "mock.pluglet.dev/run-for": "200ms" });
    let never = json!({ "restartPolicy": "Never" });
    let pods = [
        revealing(&node.name, "kept", &json!({}), &json!({})),
        revealing(&node.name, "deleted", &json!({}), &json!({})),
        revealing(&node.name, "ended", &brief, &never),
    ];
    world.create(&pods).await?;
    let settled = |pods: &[Pod]| {
        has_phase(pods, "kept", "Running")
            && has_phase(pods, "deleted", "Running")
            && has_phase(pods, "ended", "Succeeded")
    };
    let before = world.until_pods("two to run, one to end", settled).await?;
    node.kill()?;
    world.kubectl(&["delete", "pod", "deleted", "--wait=false"]).await?;
    let mark = world.plane.audit().mark()?;
    node.restart()?;
    world.until_pods("the deleted one to be gone", |pods| named(pods, "deleted").is_none()).await?;

    let handshake = ["patch pods/status 200", "delete pods 200"].map(|kind| ("deleted".to_owned(), kind.to_owned()));
    // The watch told of the end before the audit log does.
    until("the usual handshake, and nothing about the others", SOON, async || {
        let calls = world.plane.audit().since(&mark)?;
        let writes = cluster::by(&calls, &node.name).filter(|call| call.resource == "pods" && call.is_write());
        let writes: Vec<(String, String)> = writes.map(|call| (call.name.clone(), call.kind())).collect();
        Ok(if writes == handshake { Answer::Yes(()) } else { Answer::NotYet(format!("{writes:?}")) })
    })
    .await?;
    let now = world.pods().list(&kube::api::ListParams::default()).await?.items;
    for wanted in ["kept", "ended"] {
        let version = |pods: &[Pod]| named(pods, wanted).and_then(|pod| pod.metadata.resource_version.clone());
        assert_eq!(version(&now), version(&before), "{wanted} is as it was");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_provider_lost_is_created_again_unless_it_must_not_be() -> Result<()> {
    let world = World::new("lost").await?;
    let mut node = world.node("node-lost").await?;
    let never = json!({ "restartPolicy": "Never" });
    let pods =
        [revealing(&node.name, "again", &json!({}), &json!({})), revealing(&node.name, "once", &json!({}), &never)];
    world.create(&pods).await?;
    let before = world.until_pods("both to run", |pods| pods.len() == 2 && pods.iter().all(is_running)).await?;
    assert!(node.terminate()?.success());
    node.lose_workloads()?;
    node.restart()?;
    let failed = |pods: &[Pod]| has_phase(pods, "once", "Failed");
    world.until_pods("the one that must not be started twice to have failed", failed).await?;
    let again = named(&before, "again").map(uid).context("the pod")?;
    until("the provider to have the other one again", SOON, async || {
        let has: Vec<String> = node.workloads()?.into_iter().map(|workload| workload.uid).collect();
        Ok(if has == [again] { Answer::Yes(()) } else { Answer::NotYet(format!("{has:?}")) })
    })
    .await?;
    let runs = |pods: &[Pod]| named(pods, "again").is_some_and(is_running);
    let after = world.until_pods("it to run again", runs).await?;
    for wanted in ["again", "once"] {
        assert_eq!(named(&after, wanted).map(uid), named(&before, wanted).map(uid), "nobody made another pod");
    }
    world.until_revealed("again", "one create since", |held| held["calls"]["create"] == json!(1)).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_changed_while_nobody_looked_are_fresh_and_nothing_is_written() -> Result<()> {
    let world = World::new("stale").await?;
    let mut node = world.node("node-stale").await?;
    let main = json!({ "name": "main", "image": "a", "envFrom": [{ "configMapRef": { "name": "live" } }] });
    let volumes = json!([{ "name": "v", "configMap": { "name": "live" } }]);
    let spec = json!({ "containers": [main], "volumes": volumes });
    let live = config_map("live", &json!({ "color": "red" }));
    world.create(&[live, revealing(&node.name, "reader", &json!({}), &spec)]).await?;
    let before = world.until_pods("the pod to run", |pods| pods.iter().any(is_running)).await?;
    node.kill()?;
    let maps = Api::<k8s_openapi::api::core::v1::ConfigMap>::namespaced(world.client.clone(), world.namespace.name());
    let blue = json!({ "data": { "color": "blue" } });
    maps.patch("live", &PatchParams::default(), &Patch::Merge(blue)).await?;
    node.restart()?;
    let fresh = |held: &serde_json::Value| file_text(held, "v", "color") == Some("blue");
    world.until_revealed("reader", "the new file", fresh).await?;
    let after = world.pod("reader").await?;
    assert_eq!(after.metadata.resource_version, before.first().context("the pod")?.metadata.resource_version);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_crashes_during_a_deletion_is_told_again() -> Result<()> {
    let world = World::new("forgotten").await?;
    let node = world.node("node-forgotten").await?;
    let slow = json!({ "mock.pluglet.dev/delete-delay": "3s" });
    world.create(&[revealing(&node.name, "slow", &slow, &json!({}))]).await?;
    let pods = world.until_pods("the pod to run", |pods| pods.iter().any(is_running)).await?;
    // Longer than any test: who waits the grace period out misses it.
    world.kubectl(&["delete", "pod", "slow", "--grace-period=3600", "--wait=false"]).await?;
    node.logged(&[uid(&pods[0]), "to=Stopping"]).await?;
    let trap = json!({ "mock.pluglet.dev/fault": "trap" });
    world.create(&[revealing(&node.name, "bad", &trap, &json!({}))]).await?;
    node.logged(&["the provider is down"]).await?;
    world.until_pods("the deleted pod to be gone", |pods| named(pods, "slow").is_none()).await?;
    Ok(())
}
