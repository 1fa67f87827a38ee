//! The Node object, its reconciliation and its end.

use std::collections::BTreeMap;

use anyhow::Result;
use cluster::{Identity, NodeOptions, World};
use controlplane::wait::{Answer, until};
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_ours_comes_back_and_what_is_foreign_stays() -> Result<()> {
    let world = World::new("node").await?;
    let flags = ["--node-label", "example.com/zone=a", "--taint", "example.com/only=us:NoSchedule"];
    let options = NodeOptions { flags: flags.map(str::to_owned).to_vec(), ..NodeOptions::default() };
    let node = world.node_with("node-labels", options).await?;
    let nodes = Api::<Node>::all(world.client.clone());
    let object = nodes.get(&node.name).await?;
    let taints = |node: &Node| node.spec.clone().unwrap_or_default().taints.unwrap_or_default();
    assert!(taints(&object).iter().any(|taint| taint.key == "example.com/only"));
    assert!(!taints(&object).iter().any(|taint| taint.key.starts_with("virtual-kubelet.io")));

    let meddling = json!({
        "metadata": { "labels": { "example.com/zone": null, "kubernetes.io/arch": "sparc", "foreign": "label" } },
        "spec": { "taints": [{ "key": "foreign", "effect": "PreferNoSchedule" },
                             { "key": "example.com/only", "value": "us", "effect": "NoSchedule" }] },
    });
    nodes.patch(&node.name, &PatchParams::default(), &Patch::Merge(meddling)).await?;
    let condition = json!({ "status": { "conditions": [{ "type": "Foreign", "status": "True", "reason": "Test" }] } });
    nodes.patch_status(&node.name, &PatchParams::default(), &Patch::Strategic(condition)).await?;
    let object = until("the labels to come back", cluster::SOON, async || {
        let object = nodes.get(&node.name).await?;
        let labels = object.metadata.labels.clone().unwrap_or_default();
        let back = labels.get("example.com/zone").is_some_and(|zone| zone == "a")
            && labels.get("kubernetes.io/arch").is_some_and(|arch| arch != "sparc");
        Ok(if back { Answer::Yes(object) } else { Answer::NotYet(format!("{labels:?}")) })
    })
    .await?;
    let labels: BTreeMap<_, _> = object.metadata.labels.clone().unwrap_or_default();
    assert_eq!(labels.get("foreign").map(String::as_str), Some("label"));
    assert!(taints(&object).iter().any(|taint| taint.key == "foreign"));
    let conditions = object.status.unwrap().conditions.unwrap();
    assert!(conditions.iter().any(|condition| condition.type_ == "Foreign" && condition.status == "True"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_node_registers_again() -> Result<()> {
    let world = World::new("reregister").await?;
    let node = world.node("node-reregister").await?;
    let nodes = Api::<Node>::all(world.client.clone());
    let before = nodes.get(&node.name).await?.metadata.uid;
    world.kubectl(&["delete", "node", &node.name]).await?;
    until("the node to be there again", cluster::SOON, async || {
        let uid = nodes.get_opt(&node.name).await?.and_then(|node| node.metadata.uid);
        Ok(if uid.is_some() && uid != before { Answer::Yes(()) } else { Answer::NotYet(format!("{uid:?}")) })
    })
    .await?;
    node.ready(&world.client).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_drains_and_keeps_the_node() -> Result<()> {
    let world = World::new("sigterm").await?;
    let mut node = world.node("node-sigterm").await?;
    assert!(node.terminate()?.success());
    let log = node.log()?;
    assert!(log.contains("draining") && log.contains("node stays registered"), "{log}");
    world.kubectl(&["get", "node", &node.name]).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_flag_sigterm_removes_the_node_if_the_identity_may() -> Result<()> {
    let world = World::new("remove").await?;
    let flags = vec!["--remove-node-on-exit".to_owned()];
    let options = NodeOptions { flags: flags.clone(), ..NodeOptions::default() };
    let mut node = world.node_with("node-may-not-remove", options).await?;
    assert!(node.terminate()?.success());
    let log = node.log()?;
    assert!(log.contains("the node could not be removed"), "{log}");

    let options = NodeOptions { flags, identity: Identity::Admin, ..NodeOptions::default() };
    let mut node = world.node_with("node-remove", options).await?;
    assert!(node.terminate()?.success());
    let log = node.log()?;
    assert!(log.contains("the node was removed"), "{log}");
    assert!(Api::<Node>::all(world.client.clone()).get_opt(&node.name).await?.is_none());
    Ok(())
}
