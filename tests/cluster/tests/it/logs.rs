//! `kubectl logs` through the API server, with every option; other calls answer why they are not served.

use anyhow::Result;
use cluster::{World, is_running, phase, pod};
use controlplane::wait::{Answer, until};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_logs_honours_every_option() -> Result<()> {
    let world = World::new("logs").await?;
    let node = world.node("node-logs").await?;
    let script = json!({ "mock.pluglet.dev/log": "one\ntwo\nthree" });
    world.apply(&pod(&node.name, "talker", &script, "Always")).await?;
    world.until_pods("the pod to run", |pods| pods.iter().any(is_running)).await?;

    let logs = async |options: &[&str]| world.kubectl(&[&["logs", "talker"], options].concat()).await;
    assert_eq!(logs(&[]).await?, "one\ntwo\nthree\n");
    assert_eq!(logs(&["--tail=1"]).await?, "three\n");
    assert_eq!(logs(&["--tail=0"]).await?, "");
    assert_eq!(logs(&["--limit-bytes=5"]).await?, "one\nt");
    assert_eq!(logs(&["--since=1h"]).await?, "one\ntwo\nthree\n");
    assert_eq!(logs(&["--since-time=2999-01-01T00:00:00Z"]).await?, "");
    let stamped = logs(&["--timestamps", "--tail=1"]).await?;
    let (time, line) = stamped.split_once(' ').unwrap();
    assert!(time.ends_with('Z') && time.contains('T') && line == "three\n", "{stamped}");

    let previous = world.kubectl_output(&["logs", "talker", "--previous"], None).await?;
    let text = String::from_utf8(previous.stderr)?;
    assert!(!previous.status.success() && text.contains("previous terminated container \"main\""), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn following_a_log_ends_with_the_container() -> Result<()> {
    let world = World::new("follow").await?;
    let node = world.node("node-follow").await?;
    let script = json!({
        "mock.pluglet.dev/run-for": "4s", "mock.pluglet.dev/log": "begin",
        "mock.pluglet.dev/log-every": "500ms", "mock.pluglet.dev/log-line": "tick {n}",
    });
    world.apply(&pod(&node.name, "ticker", &script, "Never")).await?;
    world.until_pods("the pod to start", |pods| pods.iter().any(|pod| phase(pod) != "Pending")).await?;
    let text = world.kubectl(&["logs", "--follow", "ticker"]).await?;
    assert!(text.starts_with("begin\n") && text.matches("tick").count() >= 3, "{text}");
    world.until_pods("the pod to succeed", |pods| pods.iter().any(|pod| phase(pod) == "Succeeded")).await?;
    assert_eq!(world.kubectl(&["logs", "ticker"]).await?, text, "the log stays readable until the pod is deleted");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_of_the_run_before_is_kept() -> Result<()> {
    let world = World::new("previous").await?;
    let node = world.node("node-previous").await?;
    let script =
        json!({ "mock.pluglet.dev/run-for": "1s", "mock.pluglet.dev/log": "a run", "mock.pluglet.dev/exit-code": "3" });
    world.apply(&pod(&node.name, "crasher", &script, "Always")).await?;
    let restarted = |pod: &k8s_openapi::api::core::v1::Pod| {
        let containers = pod.status.as_ref().and_then(|status| status.container_statuses.clone()).unwrap_or_default();
        containers.iter().any(|container| container.restart_count > 0)
    };
    world.until_pods("the container to be restarted", |pods| pods.iter().any(restarted)).await?;
    until("the log of the run before", cluster::SOON, async || {
        let output = world.kubectl_output(&["logs", "--previous", "crasher"], None).await?;
        let text = String::from_utf8(output.stdout)?;
        Ok(if text == "a run\n" { Answer::Yes(()) } else { Answer::NotYet(text) })
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_has_not_started_says_what_it_waits_for() -> Result<()> {
    let world = World::new("starting").await?;
    let node = world.node("node-starting").await?;
    let script = json!({ "mock.pluglet.dev/start-delay": "1h" });
    world.apply(&pod(&node.name, "sleeper", &script, "Always")).await?;
    let waiting = |pod: &k8s_openapi::api::core::v1::Pod| format!("{:?}", pod.status).contains("ContainerCreating");
    world.until_pods("the pod to wait", |pods| pods.iter().any(waiting)).await?;
    let output = world.kubectl_output(&["logs", "sleeper"], None).await?;
    let text = String::from_utf8(output.stderr)?;
    assert!(text.contains("container \"main\" in pod \"sleeper\" is waiting to start: ContainerCreating"), "{text}");
    Ok(())
}
