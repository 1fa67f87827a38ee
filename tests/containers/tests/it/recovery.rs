//! What outlives what: containers outlive pluglet, the engine's service and the component.

use anyhow::{Context, Result, ensure};
use cluster::{container, is_running};
use containers_suite::Setup;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

const SLEEP: &str = "trap 'exit 0' TERM; sleep 1000 & wait";

fn id(pod: &Pod) -> Option<String> {
    container(pod, "main")?.container_id.clone()
}

fn sleeper() -> Value {
    json!({ "containers": [{ "name": "main", "command": ["/bin/sh", "-c", SLEEP] }] })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_go_on_while_pluglet_is_away_and_are_taken_up_again() -> Result<()> {
    let Some(mut setup) = Setup::new("adopt").await? else { return Ok(()) };
    setup.create("web", &sleeper()).await?;
    setup.create("job", &json!({ "restartPolicy": "Never", "containers": [{ "name": "main", "command": ["/bin/sh", "-c", "sleep 3; exit 4"] }] })).await?;
    let before =
        setup.world.until_pods("both to run", |pods| pods.iter().filter(|pod| is_running(pod)).count() == 2).await?;
    setup.node.kill()?;
    setup.node.restart()?;
    let ended = |pod: &Pod| {
        container(pod, "main").and_then(|status| status.state.as_ref()?.terminated.as_ref().map(|it| it.exit_code))
            == Some(4)
    };
    let after = setup.world.until_pods("the job's end to be told", |pods| pods.iter().any(ended)).await?;
    let of = |pods: &[Pod], name: &str| pods.iter().find(|pod| cluster::name(pod) == name).cloned().context("no pod");
    let (was, is) = (of(&before, "web")?, of(&after, "web")?);
    ensure!(id(&was) == id(&is) && is_running(&is), "the same container runs on");
    ensure!(container(&is, "main").is_some_and(|status| status.restart_count == 0));
    // It is driven again: a container that ends is started again.
    // The command may end with its container.
    setup.world.kubectl_output(&["exec", "web", "--", "kill", "1"], None).await?;
    let again = |pod: &Pod| container(pod, "main").is_some_and(|status| status.restart_count == 1) && is_running(pod);
    setup.world.until_pods("another run", |pods| pods.iter().any(again)).await?;
    setup.world.kubectl(&["delete", "pods", "--all"]).await?;
    setup.nothing_left().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_go_on_while_the_engines_service_is_away() -> Result<()> {
    let Some(setup) = Setup::new("service").await? else { return Ok(()) };
    setup.create("web", &sleeper()).await?;
    let before = setup.world.until_pods("it to run", |pods| pods.iter().any(is_running)).await?;
    setup.engine.kill_service()?;
    setup.engine.start_service().await?;
    let after = setup.world.until_pods("it to run still", |pods| pods.iter().any(is_running)).await?;
    ensure!(before.first().and_then(id) == after.first().and_then(id));
    setup.world.kubectl_output(&["exec", "web", "--", "kill", "1"], None).await?;
    let again = |pod: &Pod| container(pod, "main").is_some_and(|status| status.restart_count == 1) && is_running(pod);
    setup.world.until_pods("another run", |pods| pods.iter().any(again)).await?;
    setup.world.kubectl(&["delete", "pods", "--all"]).await?;
    setup.nothing_left().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_deleted_while_pluglet_was_away_is_removed() -> Result<()> {
    let Some(mut setup) = Setup::new("away").await? else { return Ok(()) };
    setup.create("web", &sleeper()).await?;
    setup.create("other", &sleeper()).await?;
    setup.world.until_pods("both to run", |pods| pods.iter().filter(|pod| is_running(pod)).count() == 2).await?;
    setup.node.kill()?;
    setup.world.kubectl(&["delete", "pod", "web", "--wait=false"]).await?;
    setup.world.kubectl(&["delete", "pod", "other", "--force", "--grace-period=0"]).await?;
    setup.node.restart()?;
    setup.world.until_pods("both to be gone", <[Pod]>::is_empty).await?;
    setup.nothing_left().await
}
