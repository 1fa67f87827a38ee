//! A provider that misbehaves on one pod.

use anyhow::{Context, Result};
use cluster::{NodeOptions, World, is_running, pod, uid};
use controlplane::wait::{Answer, until};
use serde_json::json;

/// What the provider may use, and what the host may use beside: compiled code, caches, the compiler itself.
const LIMIT: u64 = 64 << 20;
const HOST: u64 = 256 << 20;
const CONFIG: &str = "limits:\n  memory: 64Mi\n  cpuStall: 1s\n";

async fn one_pod_misbehaves(fault: &str, explanation: &str) -> Result<()> {
    let world = World::new(&format!("fault-{fault}")).await?;
    let options = NodeOptions { config: CONFIG, ..NodeOptions::default() };
    let node = world.node_with(&format!("node-fault-{fault}"), options).await?;
    for index in 0..5 {
        world.apply(&pod(&node.name, &format!("good-{index}"), &json!({}), "Always")).await?;
    }
    world.until_pods("the good pods to run", |pods| pods.len() == 5 && pods.iter().all(is_running)).await?;

    world.apply(&pod(&node.name, "bad", &json!({ "mock.pluglet.dev/fault": fault }), "Always")).await?;
    let pods = world
        .until_pods("the bad pod to show why", |pods| {
            pods.iter().any(|pod| {
                let status = format!("{:?}", pod.status);
                status.contains("ProviderCrashed") && status.contains(explanation)
            })
        })
        .await?;
    let bad = pods.iter().find(|pod| pod.metadata.name.as_deref() == Some("bad")).map(uid);
    let bad = bad.context("the bad pod")?;
    let events = format!("involvedObject.uid={bad}");
    until("an event that says why", cluster::SOON, async || {
        let text = world.kubectl(&["get", "events", "--field-selector", &events]).await?;
        Ok(if text.contains("ProviderCrashed") { Answer::Yes(()) } else { Answer::NotYet(text) })
    })
    .await?;

    // The others go on, and new ones still start.
    world.apply(&pod(&node.name, "late", &json!({}), "Always")).await?;
    let pods =
        world.until_pods("six pods to run", |pods| pods.iter().filter(|pod| is_running(pod)).count() == 6).await?;
    for pod in pods.iter().filter(|pod| is_running(pod)) {
        let containers = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
        let restarts: i32 = containers.map(|container| container.restart_count).sum();
        assert_eq!(restarts, 0, "{:?} was restarted", pod.metadata.name);
    }
    let peak = node.peak_memory()?;
    assert!(peak < LIMIT + HOST, "{peak} bytes at peak");
    world.kubectl(&["delete", "pod", "bad", "--wait=false"]).await?;
    world.until_pods("the bad pod to be gone", |pods| pods.len() == 6).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trap_on_one_pod_is_that_pods_problem() -> Result<()> {
    one_pod_misbehaves("trap", "panicked").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endless_loop_on_one_pod_is_that_pods_problem() -> Result<()> {
    one_pod_misbehaves("spin", "CPU").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_allocation_on_one_pod_is_that_pods_problem() -> Result<()> {
    one_pod_misbehaves("allocate", "memory limit").await
}
