//! The deletion handshake, and what a pod's life costs.

use std::time::Duration;

use anyhow::{Context, Result};
use cluster::{World, is_running, pod, uid};
use controlplane::audit::tally;
use serde_json::json;

/// Well below the grace period: whoever waits the grace period out misses it.
const BEFORE_GRACE_ENDS: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_stops_at_once_is_gone_at_once_and_its_life_costs_three_calls() -> Result<()> {
    let world = World::new("deletion").await?;
    let node = world.node("node-deletion").await?;
    let mark = world.plane.audit().mark()?;
    let mut quick = pod(&node.name, "quick", &json!({}), "Always");
    quick["spec"]["automountServiceAccountToken"] = json!(false);
    world.apply(&quick).await?;
    world.until_pods("the pod to run", |pods| pods.iter().any(is_running)).await?;
    // kubectl waits until the pod is gone.
    let delete = world.kubectl(&["delete", "pod", "quick", "--grace-period=30"]);
    tokio::time::timeout(BEFORE_GRACE_ENDS, delete).await.context("kubectl delete waited the grace period out")??;

    let user = format!("system:node:{}", node.name);
    let calls: Vec<_> = world.plane.audit().since(&mark)?;
    // The namespace's Services are read once for all of its pods.
    let of_pods =
        |call: &&controlplane::audit::Call| call.namespace == world.namespace.name() && call.resource != "services";
    let ours: Vec<_> = calls.iter().filter(|call| call.user == user).filter(of_pods).collect();
    let kinds: Vec<_> = ours.iter().map(|call| call.kind()).collect();
    assert_eq!(
        kinds,
        ["patch pods/status 200", "patch pods/status 200", "delete pods 200"],
        "{:?}",
        tally(calls.iter())
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_deleted_while_it_waits_for_the_backend_goes_away() -> Result<()> {
    let world = World::new("waiting").await?;
    let node = world.node("node-waiting").await?;
    let script =
        json!({ "mock.pluglet.dev/create-error": "quota", "mock.pluglet.dev/create-error-message": "no room" });
    world.apply(&pod(&node.name, "unlucky", &script, "Never")).await?;
    let pods = world
        .until_pods("the reason in the status", |pods| {
            pods.iter().any(|pod| format!("{:?}", pod.status).contains("ProviderQuotaExceeded"))
        })
        .await?;
    let events = format!("involvedObject.uid={}", uid(&pods[0]));
    controlplane::wait::until("an event that says why", cluster::SOON, async || {
        let text = world.kubectl(&["get", "events", "--field-selector", &events]).await?;
        let told = text.contains("ProviderQuotaExceeded") && text.contains("no room");
        Ok(if told { controlplane::wait::Answer::Yes(()) } else { controlplane::wait::Answer::NotYet(text) })
    })
    .await?;
    world.kubectl(&["delete", "pod", "unlucky", "--wait=false"]).await?;
    world.until_pods_within("the pod to be gone", BEFORE_GRACE_ENDS, <[_]>::is_empty).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_the_provider_refuses_fails_with_the_reason() -> Result<()> {
    let world = World::new("refused").await?;
    let node = world.node("node-refused").await?;
    world.apply(&pod(&node.name, "wrong", &json!({ "mock.pluglet.dev/run-for": "soon" }), "Always")).await?;
    let pods =
        world.until_pods("the pod to fail", |pods| pods.iter().any(|pod| cluster::phase(pod) == "Failed")).await?;
    let status = pods[0].status.clone().unwrap();
    assert_eq!(status.reason.as_deref(), Some("ProviderInvalid"));
    assert!(status.message.unwrap_or_default().contains("mock.pluglet.dev/run-for"));
    Ok(())
}
