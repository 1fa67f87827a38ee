//! A Secret that changes often under many pods: all of them follow it, for the price of one watch.

use std::time::Duration;

use anyhow::{Context, Result};
use cluster::{SOON, World, file_text, name, pod_writes, revealed, revealing, secret};
use controlplane::audit::tally;
use controlplane::wait::{Answer, until};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

const PODS: usize = 500;
const VERSIONS: u32 = 20;
/// Logs that are read at the same time.
const READERS: usize = 16;
/// For all pods to run, on a machine that does other things too.
const START: &str = "--timeout=240s";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_changes_20_times_under_500_pods_costs_one_watch_and_no_write() -> Result<()> {
    let world = World::new("rotation").await?;
    let node = world.node("node-rotation").await?;
    let begun = world.plane.audit().mark()?;
    world.create(&[secret("rotated", &json!({ "version": "0" })), deployment(&node.name)]).await?;
    rolled_out(&world).await?;
    let pods = world.pods();
    let names: Vec<String> = pods.list(&ListParams::default()).await?.iter().map(|pod| name(pod).to_owned()).collect();
    assert_eq!(names.len(), PODS);
    everybody_holds(&world, &names, "0").await?;

    let quiet = world.plane.audit().mark()?;
    let secrets = Api::<Secret>::namespaced(world.client.clone(), world.namespace.name());
    for version in 1..=VERSIONS {
        let next = json!({ "stringData": { "version": version.to_string() } });
        secrets.patch("rotated", &PatchParams::default(), &Patch::Merge(next)).await?;
    }
    let counts = everybody_holds(&world, &names, "20").await?;

    assert_eq!(pod_writes(&world.plane.audit().since(&quiet)?, &node.name), Vec::<String>::new());
    for held in counts {
        assert_eq!((&held["create"], &held["restart"]), (&json!(1), &json!(0)), "{held}");
        let told = held["volumesChanged"].as_u64().context("a count")?;
        assert!((1..=VERSIONS.into()).contains(&told), "told {told} times of {VERSIONS} versions");
    }
    let calls = world.plane.audit().since(&begun)?;
    let own = |call: &&controlplane::Call| call.resource == "secrets" && call.namespace == world.namespace.name();
    let of_secret: Vec<_> = cluster::by(&calls, &node.name).filter(own).collect();
    assert!(of_secret.iter().all(|call| call.name == "rotated"), "by name only: {of_secret:?}");
    assert_eq!(cluster::most_open_at_once(of_secret.iter().copied()), 1, "{:?}", tally(of_secret.iter().copied()));
    assert!(of_secret.len() < 10, "it follows the Secrets, not the pods: {:?}", tally(of_secret.iter().copied()));
    Ok(())
}

fn deployment(node: &str) -> Value {
    let volumes = json!({ "volumes": [{ "name": "v", "secret": { "secretName": "rotated" } }] });
    let pod = revealing(node, "many", &json!({}), &volumes);
    let template = json!({ "metadata": { "labels": pod.pointer("/metadata/labels"), "annotations": pod.pointer("/metadata/annotations") },
                           "spec": pod.get("spec") });
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "many" },
        "spec": { "replicas": PODS, "selector": { "matchLabels": { "app": "many" } }, "template": template },
    })
}

/// By kubectl, which watches one object: 500 pods are not looked at one by one.
async fn rolled_out(world: &World) -> Result<()> {
    let mut command = world.namespace.kubectl();
    command.args(["rollout", "status", "deployment/many", START]);
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Waits until the provider holds that version for every pod; answers how often it was called for each.
async fn everybody_holds(world: &World, names: &[String], version: &str) -> Result<Vec<Value>> {
    let pods = world.pods();
    let wait = async |name: &String| {
        until(&format!("{name} to hold version {version}"), SOON + Duration::from_secs(30), async || {
            let held = revealed(&pods, name, "main").await?;
            let has = file_text(&held, "v", "version");
            Ok(if has == Some(version) {
                Answer::Yes(held.get("calls").cloned().unwrap_or_default())
            } else {
                Answer::NotYet(format!("{has:?}"))
            })
        })
        .await
    };
    stream::iter(names).map(wait).buffer_unordered(READERS).try_collect().await
}
