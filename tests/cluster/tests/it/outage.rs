//! The API server goes away. This test has a control plane of its own, since it stops it.

use std::time::Duration;

use anyhow::{Context, Result};
use cluster::{World, is_running, template, uid};
use controlplane::{ControlPlane, Options};
use serde_json::json;

const PODS: usize = 20;
/// Long enough for the lease to run out (40 s).
const OUTAGE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_the_api_server_costs_no_pod_and_needs_no_restart() -> Result<()> {
    let plane: &'static ControlPlane = Box::leak(Box::new(ControlPlane::start(Options::default()).await?));
    let world = World::on(plane, "outage").await?;
    let mut node = world.node("node-outage").await?;
    world
        .apply(&json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" },
            "spec": { "replicas": PODS, "selector": { "matchLabels": { "app": "web" } },
                      "template": template(&node.name, "web", &json!({}), "Always") },
        }))
        .await?;
    let all_run = |pods: &[_]| pods.len() == PODS && pods.iter().all(is_running);
    let before = world.until_pods("20 pods to run", all_run).await?;
    let uids =
        |pods: &[k8s_openapi::api::core::v1::Pod]| pods.iter().map(|pod| uid(pod).to_owned()).collect::<Vec<_>>();

    plane.stop_apiserver()?;
    node.logged(&["cannot watch pods"]).await?;
    // The outage itself: there is no event to wait for.
    tokio::time::sleep(OUTAGE).await;
    plane.start_apiserver().await?;
    node.logged(&["the node's lease is renewed again"]).await?;
    node.ready(&world.client).await?;
    let after = world.until_pods("20 pods to run after the outage", all_run).await?;
    assert_eq!(uids(&after), uids(&before));

    // Down again, and this time pluglet starts while nobody can say which pods exist.
    node.kill()?;
    let dropped = before.first().context("a pod")?;
    let name = dropped.metadata.name.clone().unwrap_or_default();
    world.kubectl(&["delete", "pod", &name, "--force", "--grace-period=0"]).await?;
    plane.stop_apiserver()?;
    node.restart()?;
    node.logged(&["the provider listed its pods", "pods=20"]).await?;
    node.logged(&["cannot watch pods"]).await?;
    // Not even the comparison with the provider's list makes a pod an orphan that nobody has proven dead.
    node.logged(&["compared with the provider's list", "unclaimed=20"]).await?;
    assert!(!node.log()?.contains("to=Stopping"), "nothing that could not be proven dead was stopped");
    plane.start_apiserver().await?;
    node.logged(&["does not have: deleting it there", uid(dropped)]).await?;
    node.ready(&world.client).await?;
    let after = world.until_pods("20 pods to run after the second outage", all_run).await?;
    let survivors = uids(&before).into_iter().filter(|before| before != uid(dropped));
    assert!(survivors.clone().all(|uid| uids(&after).contains(&uid)), "the others run on");
    Ok(())
}
