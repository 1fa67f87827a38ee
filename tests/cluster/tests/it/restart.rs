//! A restart of pluglet is nobody else's business.

use anyhow::Result;
use cluster::{World, is_running, pod, template, uid};
use serde_json::json;

const PODS: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_kill_9_with_200_pods_nothing_is_written_created_or_deleted() -> Result<()> {
    let world = World::new("restart").await?;
    let mut node = world.node("node-restart").await?;
    world
        .apply(&json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "many" },
            "spec": { "replicas": PODS, "selector": { "matchLabels": { "app": "many" } },
                      "template": template(&node.name, "many", &json!({}), "Always") },
        }))
        .await?;
    world.until_pods("200 pods to run", |pods| pods.len() == PODS && pods.iter().all(is_running)).await?;
    node.kill()?;
    let mark = world.plane.audit().mark()?;
    node.restart()?;
    // A pod of today is handled after those of yesterday: when it runs, the others have been looked at.
    node.logged(&["the API server listed its pods", "pods=200"]).await?;
    world.apply(&pod(&node.name, "canary", &json!({}), "Always")).await?;
    let running = |pods: &[_]| pods.len() == PODS + 1 && pods.iter().all(is_running);
    world.until_pods("the canary to run", running).await?;

    let user = format!("system:node:{}", node.name);
    let writes: Vec<_> = world
        .plane
        .audit()
        .since(&mark)?
        .into_iter()
        .filter(|call| call.user == user && call.resource == "pods" && call.is_write())
        .filter(|call| call.name != "canary")
        .map(|call| call.kind())
        .collect();
    assert_eq!(writes, Vec::<String>::new());
    let log = node.log()?;
    let asked = |state: &str| log.lines().filter(|line| line.contains(&format!("to={state}"))).count();
    assert_eq!((asked("Creating"), asked("Stopping")), (1, 0), "only the canary was created");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_force_deleted_while_pluglet_was_down_is_deleted_in_the_provider() -> Result<()> {
    let world = World::new("orphan").await?;
    let mut node = world.node("node-orphan").await?;
    world.apply(&pod(&node.name, "kept", &json!({}), "Always")).await?;
    world.apply(&pod(&node.name, "dropped", &json!({}), "Always")).await?;
    let pods = world.until_pods("both to run", |pods| pods.len() == 2 && pods.iter().all(is_running)).await?;
    let dropped = pods.iter().find(|pod| pod.metadata.name.as_deref() == Some("dropped")).map(uid).unwrap();
    node.kill()?;
    world.kubectl(&["delete", "pod", "dropped", "--force", "--grace-period=0"]).await?;
    node.restart()?;
    node.logged(&["does not have: deleting it there", dropped]).await?;
    node.logged(&["gone", dropped]).await?;

    // The provider has forgotten it: after another restart it lists only the other.
    assert!(node.terminate()?.success());
    node.restart()?;
    node.logged(&["the provider listed its pods", "pods=1"]).await?;
    world.until_pods("the other to run on", |pods| pods.len() == 1 && pods.iter().all(is_running)).await?;
    Ok(())
}
