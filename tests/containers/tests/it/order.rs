//! Which container runs when: init containers, sidecars, hooks, probes, restarts.

use anyhow::{Context, Result, ensure};
use cluster::{container, is_running, phase, uid, with};
use containers_suite::Setup;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

const SLEEP: &str = "trap 'exit 0' TERM; sleep 1000 & wait";

fn shell(name: &str, script: &str) -> Value {
    json!({ "name": name, "command": ["/bin/sh", "-c", script] })
}

fn shared(container: Value) -> Value {
    with(container, &json!({ "volumeMounts": [{ "name": "shared", "mountPath": "/shared" }] }))
}

fn restarts(pod: &Pod, name: &str) -> i32 {
    container(pod, name).map_or(-1, |status| status.restart_count)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn init_containers_run_one_after_the_other_and_sidecars_beside_the_rest() -> Result<()> {
    let Some(setup) = Setup::new("order").await? else { return Ok(()) };
    let mut side = shared(shell("side", &format!("echo side >> /shared/order; {SLEEP}")));
    side["restartPolicy"] = json!("Always");
    let spec = json!({
        "volumes": [{ "name": "shared", "emptyDir": {} }],
        "initContainers": [
            shared(shell("one", "sleep 1; echo one >> /shared/order")),
            side,
            shared(shell("two", "cat /shared/order; echo two >> /shared/order")),
        ],
        "containers": [shared(shell("main", &format!("cat /shared/order; {SLEEP}")))],
    });
    setup.create("web", &spec).await?;
    let pods = setup.world.until_pods("the pod to run", |pods| pods.iter().any(is_running)).await?;
    ensure!(setup.world.kubectl(&["logs", "web", "-c", "main"]).await? == "one\nside\ntwo\n");
    ensure!(setup.world.kubectl(&["logs", "web", "-c", "two"]).await? == "one\nside\n");
    let status = pods.first().and_then(|pod| pod.status.clone()).context("no status")?;
    let init = status.init_container_statuses.unwrap_or_default();
    let ended = init.iter().filter(|it| it.state.as_ref().is_some_and(|state| state.terminated.is_some())).count();
    ensure!(init.len() == 3 && ended == 2, "{init:?}");
    setup.world.kubectl(&["delete", "pod", "web"]).await?;
    setup.nothing_left().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_that_ends_is_started_again_and_its_last_run_can_be_read() -> Result<()> {
    let Some(setup) = Setup::new("again").await? else { return Ok(()) };
    let script = "echo run $(cat /shared/runs 2>/dev/null | wc -l); echo >> /shared/runs; exit 7";
    let spec = json!({
        "volumes": [{ "name": "shared", "emptyDir": {} }],
        "containers": [shared(shell("main", script))],
    });
    setup.create("web", &spec).await?;
    let waiting = |pod: &Pod| {
        let state = container(pod, "main").and_then(|status| status.state.as_ref()?.waiting.as_ref());
        state.is_some_and(|state| state.reason.as_deref() == Some("CrashLoopBackOff")) && restarts(pod, "main") == 1
    };
    let pods = setup.world.until_pods("the pause", |pods| pods.iter().any(waiting)).await?;
    let pod = pods.first().context("no pod")?;
    let last = container(pod, "main").and_then(|status| status.last_state.as_ref()?.terminated.as_ref());
    ensure!(last.is_some_and(|last| last.exit_code == 7), "{last:?}");
    ensure!(setup.world.kubectl(&["logs", "web"]).await? == "run 1\n");
    ensure!(setup.world.kubectl(&["logs", "web", "--previous"]).await? == "run 0\n");
    setup.world.until_event(uid(pod), "BackOff", "Back-off restarting failed container main").await?;
    setup.world.kubectl(&["delete", "pod", "web"]).await?;
    setup.nothing_left().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hooks_run_after_the_start_and_before_the_end() -> Result<()> {
    let Some(setup) = Setup::new("hooks").await? else { return Ok(()) };
    let mut main =
        shared(shell("main", "trap 'cat /shared/end > /dev/termination-log; exit 0' TERM; sleep 1000 & wait"));
    main["lifecycle"] = json!({
        "postStart": { "exec": { "command": ["/bin/sh", "-c", "echo begun > /shared/begin"] } },
        "preStop": { "exec": { "command": ["/bin/sh", "-c", "echo stopped > /shared/end"] } },
    });
    let spec =
        json!({ "restartPolicy": "Never", "volumes": [{ "name": "shared", "emptyDir": {} }], "containers": [main] });
    let mut pod = setup.pod("web", &spec);
    // Holds the object, so that its last status can be read.
    pod["metadata"]["finalizers"] = json!(["example.com/held"]);
    setup.world.create(&[pod]).await?;
    setup.world.until_pods("the pod to run", |pods| pods.iter().any(is_running)).await?;
    ensure!(setup.world.kubectl(&["exec", "web", "--", "cat", "/shared/begin"]).await? == "begun\n");
    setup.world.kubectl(&["delete", "pod", "web", "--wait=false"]).await?;
    let pods = setup.world.until_pods("the end", |pods| pods.iter().any(|pod| phase(pod) == "Succeeded")).await?;
    let ended = pods.first().and_then(|pod| container(pod, "main")?.state.clone()?.terminated);
    ensure!(ended.as_ref().is_some_and(|ended| ended.message.as_deref() == Some("stopped\n")), "{ended:?}");
    setup.world.kubectl(&["patch", "pod", "web", "-p", r#"{"metadata":{"finalizers":null}}"#, "--type=merge"]).await?;
    setup.nothing_left().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_that_fails_its_liveness_probe_is_started_again() -> Result<()> {
    let Some(setup) = Setup::new("liveness").await? else { return Ok(()) };
    let mut main = shell("main", &format!("touch /tmp/healthy; {SLEEP}"));
    let command = json!({ "command": ["test", "-e", "/tmp/healthy"] });
    main["livenessProbe"] = json!({ "exec": command, "periodSeconds": 1, "failureThreshold": 1 });
    main["readinessProbe"] = json!({ "exec": command, "periodSeconds": 1 });
    setup.create("web", &json!({ "containers": [main] })).await?;
    let ready = |pod: &Pod| container(pod, "main").is_some_and(|status| status.ready);
    let pods = setup.world.until_pods("the pod to be ready", |pods| pods.iter().any(ready)).await?;
    setup.world.kubectl(&["exec", "web", "--", "rm", "/tmp/healthy"]).await?;
    let again = |pod: &Pod| restarts(pod, "main") == 1 && ready(pod);
    setup.world.until_pods("another run", |pods| pods.iter().any(again)).await?;
    let pod = pods.first().context("no pod")?;
    setup.world.until_event(uid(pod), "Unhealthy", "Liveness probe failed").await?;
    setup.world.until_event(uid(pod), "Killing", "failed liveness probe, will be restarted").await?;
    setup.world.kubectl(&["delete", "pod", "web"]).await?;
    setup.nothing_left().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_debug_container_joins_a_pod_that_runs() -> Result<()> {
    let Some(setup) = Setup::new("debug").await? else { return Ok(()) };
    setup.create("web", &json!({ "containers": [shell("main", SLEEP)] })).await?;
    setup.world.until_pods("the pod to run", |pods| pods.iter().any(is_running)).await?;
    let debug = [
        "debug",
        "--profile=baseline",
        "web",
        "--image=localhost/busybox:1",
        "--target=main",
        "--container=look",
        "--",
        "/bin/sh",
        "-c",
        "ps; sleep 1000",
    ];
    setup.world.kubectl(&debug).await?;
    let runs = |pod: &Pod| {
        let statuses = pod.status.iter().flat_map(|status| status.ephemeral_container_statuses.iter().flatten());
        statuses.filter_map(|status| status.state.as_ref()).any(|state| state.running.is_some())
    };
    setup.world.until_pods("the debug container to run", |pods| pods.iter().any(runs)).await?;
    let seen = setup.world.kubectl(&["logs", "web", "-c", "look"]).await?;
    ensure!(seen.contains("sleep 1000 & wait"), "it sees the processes of main: {seen}");
    setup.world.kubectl(&["delete", "pod", "web", "--grace-period=1"]).await?;
    setup.nothing_left().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_that_takes_too_much_memory_is_said_to_have_been_killed_for_it() -> Result<()> {
    let Some(setup) = Setup::new("memory").await? else { return Ok(()) };
    let mut main = shell("main", "tail /dev/zero");
    main["resources"] = json!({ "limits": { "memory": "20Mi" } });
    setup.create("web", &json!({ "restartPolicy": "Never", "containers": [main] })).await?;
    let pods = setup.world.until_pods("the pod to fail", |pods| pods.iter().any(|pod| phase(pod) == "Failed")).await?;
    let ended = pods.first().and_then(|pod| container(pod, "main")?.state.clone()?.terminated).context("not ended")?;
    ensure!(ended.reason.as_deref() == Some("OOMKilled") && ended.exit_code == 137, "{ended:?}");
    setup.world.kubectl(&["delete", "pod", "web"]).await?;
    setup.nothing_left().await
}
