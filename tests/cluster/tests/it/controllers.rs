//! Kubernetes' own controllers drive the node.

use anyhow::Result;
use cluster::{World, is_running, phase, template, uid};
use futures::StreamExt;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watcher};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_scales_from_3_to_30_to_0() -> Result<()> {
    let world = World::new("deployment").await?;
    let node = world.node("node-deployment").await?;
    world
        .apply(&json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" },
            "spec": { "replicas": 3, "selector": { "matchLabels": { "app": "web" } },
                      "template": template(&node.name, "web", &json!({}), "Always") },
        }))
        .await?;
    let running = |count: usize| move |pods: &[_]| pods.len() == count && pods.iter().all(is_running);
    world.until_pods("3 pods to run", running(3)).await?;
    world.kubectl(&["scale", "deployment/web", "--replicas=30"]).await?;
    let pods = world.until_pods("30 pods to run", running(30)).await?;
    let addresses: std::collections::BTreeSet<_> =
        pods.iter().filter_map(|pod| pod.status.as_ref()?.pod_ip.clone()).collect();
    assert_eq!(addresses.len(), 30, "every pod has an address of its own");
    world.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]).await?;
    world.kubectl(&["scale", "deployment/web", "--replicas=0"]).await?;
    world.until_pods("all pods to be gone", <[_]>::is_empty).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_completes_although_one_of_its_pods_fails() -> Result<()> {
    let world = World::new("job").await?;
    let node = world.node("node-job").await?;
    let script = json!({ "mock.pluglet.dev/run-for": "500ms", "mock.pluglet.dev/fail-first": "1" });
    world
        .apply(&json!({
            "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": "batch" },
            "spec": { "completions": 5, "parallelism": 5, "backoffLimit": 3,
                      "template": template(&node.name, "batch", &script, "Never") },
        }))
        .await?;
    let pods = world
        .until_pods("5 pods to succeed and one to fail", |pods| {
            let count = |wanted: &str| pods.iter().filter(|pod| phase(pod) == wanted).count();
            count("Succeeded") == 5 && count("Failed") == 1
        })
        .await?;
    let failed = pods.iter().find(|pod| phase(pod) == "Failed").and_then(|pod| pod.status.clone()).unwrap();
    let ended = failed.container_statuses.unwrap()[0].state.clone().unwrap().terminated.unwrap();
    assert_eq!((ended.exit_code, ended.reason.as_deref()), (1, Some("Error")));
    world.kubectl(&["wait", "--for=condition=complete", "job/batch", "--timeout=60s"]).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statefulset_pod_that_comes_back_while_the_first_still_stops_never_gets_its_status() -> Result<()> {
    let world = World::new("statefulset").await?;
    let node = world.node("node-statefulset").await?;
    let script = json!({ "mock.pluglet.dev/delete-delay": "5s", "mock.pluglet.dev/stop-exit-code": "42" });
    world
        .apply(&json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": { "name": "db" },
            "spec": { "replicas": 1, "serviceName": "db", "selector": { "matchLabels": { "app": "db" } },
                      "template": template(&node.name, "db", &script, "Always") },
        }))
        .await?;
    let first = world.until_pods("db-0 to run", |pods| pods.iter().any(is_running)).await?;
    let first = uid(&first[0]).to_owned();

    // Every status that a pod called db-0 ever has, from here on.
    let config = watcher::Config::default().fields("metadata.name=db-0");
    let mut history = watcher(world.pods(), config).default_backoff().applied_objects().boxed();
    world.kubectl(&["delete", "pod", "db-0", "--force", "--grace-period=0"]).await?;
    let second = world
        .until_pods("another db-0 to run", |pods| pods.iter().any(|pod| is_running(pod) && uid(pod) != first))
        .await?;
    let second = uid(&second[0]).to_owned();
    // The force-deleted one is told to stop and is done some seconds later; then the second is deleted in the usual way.
    node.logged(&[&first, "gone"]).await?;
    world.kubectl(&["scale", "statefulset/db", "--replicas=0"]).await?;
    let mut ended = false;
    while let Some(pod) = history.next().await {
        let pod = pod?;
        let status = pod.status.clone().unwrap_or_default();
        for container in status.container_statuses.unwrap_or_default() {
            let id = container.container_id.unwrap_or_default();
            assert!(id.is_empty() || id.contains(uid(&pod)), "{} has the container {id}", uid(&pod));
        }
        let terminal = ["Succeeded", "Failed"].contains(&phase(&pod));
        if uid(&pod) == second && pod.metadata.deletion_timestamp.is_none() {
            assert!(!terminal, "the second pod looks ended before anybody deleted it: {pod:?}");
        }
        ended |= uid(&pod) == second && terminal;
        if ended {
            break;
        }
    }
    world.until_pods("db-0 to be gone", <[_]>::is_empty).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn switching_the_provider_is_one_flag() -> Result<()> {
    let world = World::new("switch").await?;
    let options = cluster::NodeOptions { provider: "hello", ..Default::default() };
    let node = world.node_with("node-hello", options).await?;
    world.apply(&cluster::pod(&node.name, "greeter", &json!({}), "Always")).await?;
    world.until_pods("the pod to run", |pods| pods.iter().any(is_running)).await?;
    let runtime = world
        .kubectl(&["get", "node", &node.name, "-o", "jsonpath={.status.nodeInfo.containerRuntimeVersion}"])
        .await?;
    assert!(runtime.starts_with("pluglet-hello://"), "{runtime}");
    world.kubectl(&["delete", "pod", "greeter"]).await?;
    Ok(())
}
