//! A pod from its creation to its end.

use anyhow::{Context, Result, ensure};
use cluster::{container, is_running, phase};
use containers_suite::Setup;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_runs_is_read_and_leaves_nothing_behind() -> Result<()> {
    let Some(setup) = Setup::new("life").await? else { return Ok(()) };
    let script = "echo hello from $NAME; trap 'exit 0' TERM; sleep 1000 & wait";
    let spec = json!({ "containers": [{
        "name": "main",
        "command": ["/bin/sh", "-c", script],
        "env": [{ "name": "NAME", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } }],
    }] });
    setup.create("web", &spec).await?;
    let pods = setup.world.until_pods("the pod to run", |pods| pods.iter().any(is_running)).await?;
    let ip = pods.first().and_then(|pod| pod.status.as_ref()?.pod_ip.clone()).context("no address")?;
    ensure!(ip.starts_with("10."), "{ip}");
    ensure!(setup.world.kubectl(&["logs", "web"]).await? == "hello from web\n");
    ensure!(setup.world.kubectl(&["exec", "web", "--", "hostname"]).await? == "web\n");
    ensure!(setup.world.kubectl(&["exec", "web", "--", "cat", "/etc/hosts"]).await?.contains(&format!("{ip}\tweb\n")));
    setup.world.kubectl(&["delete", "pod", "web"]).await?;
    setup.nothing_left().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_fails_shows_its_code_and_its_last_words() -> Result<()> {
    let Some(setup) = Setup::new("fails").await? else { return Ok(()) };
    let spec = json!({ "restartPolicy": "Never", "containers": [{
        "name": "main",
        "command": ["/bin/sh", "-c", "echo it broke > /dev/termination-log; exit 3"],
    }] });
    setup.create("job", &spec).await?;
    let pods = setup.world.until_pods("the pod to fail", |pods| pods.iter().any(|pod| phase(pod) == "Failed")).await?;
    let status = pods.first().and_then(|pod| container(pod, "main")).context("no status")?;
    let ended = status.state.as_ref().and_then(|state| state.terminated.as_ref()).context("not ended")?;
    ensure!(ended.exit_code == 3 && ended.message.as_deref() == Some("it broke\n"), "{ended:?}");
    ensure!(ended.reason.as_deref() == Some("Error"), "{ended:?}");
    setup.world.kubectl(&["delete", "pod", "job"]).await?;
    setup.nothing_left().await
}
