//! Makes a step happen.
//!
//! In: a [`Step`]. Out: nothing. Invariant: a name that is taken or free already is no error, nor is a connection that the API server's restart broke:
//! that is tried again.

use std::time::Duration;

use anyhow::Result;
use cluster::{Node, SOON, World, revealing, with};
use controlplane::wait::{Answer, until};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::plan::{Script, Step};

/// Tells, on each pod, which script it plays.
pub(super) const SCRIPT: &str = "soak.pluglet.dev/script";

pub(super) async fn act(world: &World, node: &mut Node, number: usize, step: &Step) -> Result<()> {
    match step {
        Step::Create { name, script, reads } => create(world, &node.name, name, *script, reads).await,
        Step::Delete { name, grace } => delete(world, name, *grace).await,
        Step::ForceDelete { name } => delete(world, name, 0).await,
        Step::Recreate { name, script, reads } => {
            delete(world, name, 0).await?;
            create(world, &node.name, name, *script, reads).await
        }
        Step::Edit { map } => edit(world, map, number).await,
        Step::RestartApiServer => {
            world.plane.stop_apiserver()?;
            world.plane.start_apiserver().await
        }
        Step::KillPluglet => {
            node.kill()?;
            node.restart()
        }
        Step::Pause { ms } => {
            // The time between two deeds is part of what is random here.
            tokio::time::sleep(Duration::from_millis(*ms)).await;
            Ok(())
        }
    }
}

async fn create(world: &World, node: &str, name: &str, script: Script, reads: &str) -> Result<()> {
    let pod: Pod = serde_json::from_value(manifest(node, name, script, reads))?;
    let pods = world.pods();
    attempt("create a pod", async || pods.create(&PostParams::default(), &pod).await.map(drop)).await
}

fn manifest(node: &str, name: &str, script: Script, reads: &str) -> Value {
    let mut annotations = json!({ SCRIPT: script.name() });
    for (key, value) in script.annotations().as_object().into_iter().flatten() {
        annotations = with(annotations, &json!({ format!("mock.pluglet.dev/{key}"): value }));
    }
    let main =
        json!({ "name": "main", "image": "example.com/main:1", "envFrom": [{ "configMapRef": { "name": reads } }] });
    // Past the scheduler: it gives up, for good, when the API server goes away at the wrong moments.
    let spec = json!({
        "nodeName": node, "restartPolicy": script.restart_policy(), "containers": [main],
        "volumes": [{ "name": "v", "configMap": { "name": reads } }],
    });
    revealing(node, name, &annotations, &spec)
}

async fn delete(world: &World, name: &str, grace: u32) -> Result<()> {
    let pods = world.pods();
    let options = DeleteParams { grace_period_seconds: Some(grace), ..DeleteParams::default() };
    attempt("delete a pod", async || pods.delete(name, &options).await.map(drop)).await
}

async fn edit(world: &World, map: &str, number: usize) -> Result<()> {
    let maps = Api::<ConfigMap>::namespaced(world.client.clone(), world.namespace.name());
    let data = json!({ "data": { "version": number.to_string() } });
    attempt("edit a ConfigMap", async || maps.patch(map, &PatchParams::default(), &Patch::Merge(&data)).await.map(drop))
        .await
}

async fn attempt(what: &str, mut call: impl AsyncFnMut() -> kube::Result<()>) -> Result<()> {
    until(what, SOON, async || {
        Ok(match call().await {
            Ok(()) => Answer::Yes(()),
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Answer::Yes(()),
            Err(error) => Answer::NotYet(error.to_string()),
        })
    })
    .await
}
