//! The end of a soak: nothing happens any more, and three sides must come to the same.
//!
//! In: whatever the steps have left. Out: an error that names the pods that differ. Invariant: each wait is for an event, and bounded.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use cluster::{Node, SOON, World, condition, file_text, is_running, name, phase, revealing, uid};
use controlplane::wait::{Answer, until};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::act::SCRIPT;
use super::plan::{CONFIG_MAPS, End, Script};

/// For back-offs to run out: the longest of what the scripts fail with, and of a provider that crashed.
const SETTLE: Duration = Duration::from_secs(180);

pub(super) async fn check(world: &World, node: &mut Node) -> Result<()> {
    node.ready(&world.client).await?;
    let waiting_for = |pods: &[Pod]| pods.iter().filter(|pod| !has_settled(pod)).map(describe).collect::<Vec<_>>();
    let settled =
        world.until_pods_within("every pod to come to its end", SETTLE, |pods| waiting_for(pods).is_empty()).await;
    let pods = match settled {
        Ok(pods) => pods,
        Err(error) => {
            let pods = world.pods().list(&ListParams::default()).await?.items;
            return Err(error.context(waiting_for(&pods).join("\n")));
        }
    };
    eprintln!("soak: {} pods are left", pods.len());
    provider_agrees(node, &pods).await?;
    files_agree(world, &pods).await?;
    a_restart_changes_nothing(world, node, &pods).await
}

fn end_of(pod: &Pod) -> Option<End> {
    Script::named(pod.metadata.annotations.as_ref()?.get(SCRIPT)?).map(Script::end)
}

fn has_settled(pod: &Pod) -> bool {
    let is_ready = condition(pod, "Ready").is_some_and(|ready| ready.status == "True");
    let is_there = pod.metadata.deletion_timestamp.is_none();
    is_there
        && match end_of(pod) {
            Some(End::Runs) => phase(pod) == "Running" && is_ready,
            Some(End::Loops) => phase(pod) == "Running",
            Some(End::Ended(end)) => phase(pod) == end,
            Some(End::Waits) => phase(pod) == "Pending",
            None => false,
        }
}

fn describe(pod: &Pod) -> String {
    let script = pod.metadata.annotations.as_ref().and_then(|all| all.get(SCRIPT));
    let deleted = pod.metadata.deletion_timestamp.is_some();
    let (name, uid, phase) = (name(pod), uid(pod), phase(pod));
    let state = cluster::container(pod, "main").map(|main| &main.state);
    format!("{name} ({uid}): {script:?}, {phase}, deleted: {deleted}, {state:?}")
}

/// The provider has what the API has, no more and no less: nothing leaked, nothing twice.
async fn provider_agrees(node: &Node, pods: &[Pod]) -> Result<()> {
    let with_workload = pods.iter().filter(|pod| end_of(pod) != Some(End::Waits));
    let wanted: BTreeSet<String> = with_workload.map(|pod| uid(pod).to_owned()).collect();
    until("the provider to have what the API has", SOON, async || {
        let workloads = node.workloads()?;
        let has: BTreeSet<String> = workloads.iter().map(|workload| workload.uid.clone()).collect();
        let names: BTreeSet<&String> = workloads.iter().map(|workload| &workload.name).collect();
        let (leaked, missing): (Vec<_>, Vec<_>) =
            (has.difference(&wanted).collect(), wanted.difference(&has).collect());
        let agrees = leaked.is_empty() && missing.is_empty() && names.len() == workloads.len();
        let seen = || format!("leaked {leaked:?}, missing {missing:?}, of {workloads:?}");
        Ok(if agrees { Answer::Yes(()) } else { Answer::NotYet(seen()) })
    })
    .await
}

/// One last edit: every pod that runs has its files in the end. Not those of earlier edits: a mock that crashed since has forgotten them.
async fn files_agree(world: &World, pods: &[Pod]) -> Result<()> {
    let maps = Api::<ConfigMap>::namespaced(world.client.clone(), world.namespace.name());
    let last = json!({ "data": { "version": "last" } });
    for map in CONFIG_MAPS {
        maps.patch(map, &PatchParams::default(), &Patch::Merge(&last)).await?;
    }
    let fresh = |held: &Value| file_text(held, "v", "version") == Some("last");
    for pod in pods.iter().filter(|pod| end_of(pod) == Some(End::Runs)) {
        world.until_revealed(name(pod), "the files of the last edit", fresh).await?;
    }
    Ok(())
}

async fn a_restart_changes_nothing(world: &World, node: &mut Node, pods: &[Pod]) -> Result<()> {
    let with_workload = pods.iter().filter(|pod| end_of(pod) != Some(End::Waits)).count();
    ensure!(node.terminate()?.success(), "pluglet did not end in order");
    node.restart()?;
    let listed = node.logged(&["the provider listed its pods"]).await?;
    ensure!(says(&listed, with_workload), "{with_workload} pods of the API have a workload: {listed}");
    let listed = node.logged(&["the API server listed its pods"]).await?;
    ensure!(says(&listed, pods.len()), "the API has {} pods: {listed}", pods.len());
    // A pod of today is handled after those of yesterday.
    let canary =
        revealing(&node.name, "canary", &json!({ SCRIPT: Script::Plain.name() }), &json!({ "nodeName": node.name }));
    world.create(&[canary]).await?;
    let runs = |pods: &[Pod]| pods.iter().any(|pod| name(pod) == "canary" && is_running(pod));
    let after = world.until_pods("the canary to run", runs).await?;
    for before in pods {
        ensure!(after.iter().any(|pod| uid(pod) == uid(before)), "{} is gone", describe(before));
    }
    ensure!(!node.log()?.contains("does not have: deleting it there"), "there were orphans; see the node's log");
    provider_agrees(node, &after).await
}

fn says(line: &str, pods: usize) -> bool {
    line.split_whitespace().any(|word| word == format!("pods={pods}"))
}
