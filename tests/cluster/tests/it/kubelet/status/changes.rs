//! Statuses that change because somebody else changed the pod.

use anyhow::{Context, Result};
use cluster::{World, condition, container, is_running, pod};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_is_ready_when_the_owners_of_its_readiness_gates_say_so() -> Result<()> {
    let world = World::new("gates").await?;
    let node = world.node("node-gates").await?;
    let mut gated = pod(&node.name, "gated", &json!({}), "Always");
    gated["spec"]["readinessGates"] = json!([{ "conditionType": "example.com/ready" }]);
    world.apply(&gated).await?;
    let waits = |pod: &Pod| {
        // pkg/kubelet/status/generate.go
        let told = "corresponding condition of pod readiness gate \"example.com/ready\" does not exist.";
        let ready = condition(pod, "Ready");
        ready.is_some_and(|ready| ready.status == "False" && ready.message.as_deref() == Some(told))
    };
    world.until_pods("the pod to wait for its gate", |pods| pods.iter().any(waits)).await?;
    let set = async |status: &str| {
        let opened = json!({ "status": { "conditions": [{ "type": "example.com/ready", "status": status }] } });
        world.pods().patch_status("gated", &PatchParams::default(), &Patch::Strategic(opened)).await
    };
    set("True").await?;
    let ready = |pod: &Pod| condition(pod, "Ready").is_some_and(|ready| ready.status == "True");
    world.until_pods("the pod to be ready", |pods| pods.iter().any(ready)).await?;
    set("False").await?;
    let closed = |pod: &Pod| condition(pod, "Ready").is_some_and(|ready| ready.status == "False");
    let pods = world.until_pods("the pod not to be ready", |pods| pods.iter().any(closed)).await?;
    let gate = condition(&pods[0], "example.com/ready").context("the condition of the other writer")?;
    assert_eq!(gate.status, "False", "the other writer's condition is its own");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_image_restarts_the_container_of_a_pod_that_stays() -> Result<()> {
    let world = World::new("image").await?;
    let node = world.node("node-image").await?;
    world.apply(&pod(&node.name, "web", &json!({}), "Always")).await?;
    let before = world.until_pods("the pod to run", |pods| pods.iter().any(is_running)).await?;
    world.kubectl(&["set", "image", "pod/web", "main=example.com/main:2"]).await?;
    let restarted = |pod: &Pod| {
        container(pod, "main").is_some_and(|main| main.image == "example.com/main:2" && main.restart_count == 1)
    };
    let after = world.until_pods("the container to be restarted", |pods| pods.iter().any(restarted)).await?;
    assert_eq!(cluster::uid(&after[0]), cluster::uid(&before[0]));
    let status = after[0].status.clone().context("a status")?;
    assert_eq!((after[0].metadata.generation, status.observed_generation), (Some(2), Some(2)));
    let last = container(&after[0], "main").and_then(|main| main.last_state.clone()).and_then(|last| last.terminated);
    assert_eq!(last.map(|last| last.exit_code), Some(0), "how the run before ended");
    Ok(())
}
