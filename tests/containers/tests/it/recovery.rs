//! What outlives what: containers outlive pluglet, the engine's service and the component.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use cluster::{container, is_running};
use containers_suite::{CONFIG, Setup};
use engine::Options;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

const SLEEP: &str = "trap 'exit 0' TERM; sleep 1000 & wait";

fn id(pod: &Pod) -> Option<String> {
    container(pod, "main")?.container_id.clone()
}

fn sleeper() -> Value {
    json!({ "containers": [{ "name": "main", "command": ["/bin/sh", "-c", SLEEP] }] })
}

/// Pod `web` is driven: when its container ends, it is started again. Then all pods go, and leave nothing.
async fn driven_still(setup: &Setup) -> Result<()> {
    // The command may end with its container.
    setup.world.kubectl_output(&["exec", "web", "--", "kill", "1"], None).await?;
    let again = |pod: &Pod| container(pod, "main").is_some_and(|status| status.restart_count == 1) && is_running(pod);
    setup.world.until_pods("another run", |pods| pods.iter().any(again)).await?;
    setup.world.kubectl(&["delete", "pods", "--all"]).await?;
    setup.nothing_left().await
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
    driven_still(&setup).await
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
    driven_still(&setup).await
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

/// Pods whose lives are interrupted.
const PODS: usize = 50;
/// How often, while they begin and while they end.
const KILLS: [u32; 2] = [14, 6];

/// Numbers that look random and are the same for the same seed (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

fn of_kind(number: usize) -> Value {
    let mount = json!([{ "name": "kept", "mountPath": "/kept" }]);
    let once = format!("test -e /kept/ran || {{ touch /kept/ran; exit 1; }}; {SLEEP}");
    let script = if number.is_multiple_of(5) { once.as_str() } else { SLEEP };
    let mut spec = json!({
        "volumes": [{ "name": "kept", "emptyDir": {} }],
        "containers": [{ "name": "main", "command": ["/bin/sh", "-c", script], "volumeMounts": mount }],
    });
    if number % 4 == 1 {
        let init = json!([{ "name": "init", "command": ["/bin/sh", "-c", "sleep 0.3"] }]);
        spec = cluster::with(spec, &json!({ "initContainers": init }));
    }
    spec
}

/// kill -9 at random moments, of pluglet and now and then of the engine's service.
async fn interrupt(setup: &mut Setup, random: &mut Random, kills: u32) -> Result<()> {
    for kill in 0..kills {
        tokio::time::sleep(std::time::Duration::from_millis(100 + random.below(1200))).await;
        setup.node.kill()?;
        if kill % 6 == 5 {
            setup.engine.kill_service()?;
            setup.engine.start_service().await?;
        }
        setup.node.restart()?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_kills_leave_fifty_pods_as_they_should_be() -> Result<()> {
    let Some(mut setup) = Setup::new("kills").await? else { return Ok(()) };
    let seed = 0x9e37_79b9_7f4a_7c15 ^ u64::from(std::process::id());
    eprintln!("seed {seed}");
    let mut random = Random(seed);
    let pods: Vec<Value> = (0..PODS).map(|number| setup.pod(&format!("pod-{number}"), &of_kind(number))).collect();
    setup.world.create(&pods).await?;
    interrupt(&mut setup, &mut random, KILLS[0]).await?;
    let restarts = |pod: &Pod| container(pod, "main").map_or(-1, |status| status.restart_count);
    let expected = |pod: &Pod| {
        let number: usize = cluster::name(pod).trim_start_matches("pod-").parse().unwrap_or_default();
        i32::from(number.is_multiple_of(5))
    };
    let settled =
        |pods: &[Pod]| pods.len() == PODS && pods.iter().all(|pod| is_running(pod) && restarts(pod) >= expected(pod));
    let bound = std::time::Duration::from_secs(180);
    let pods = setup.world.until_pods_within("all to run", bound, settled).await?;
    let wrong: Vec<_> = pods
        .iter()
        .filter(|pod| restarts(pod) != expected(pod))
        .map(|pod| (cluster::name(pod), restarts(pod)))
        .collect();
    ensure!(wrong.is_empty(), "restarts: {wrong:?}");
    let containers = setup.engine.containers().await?;
    let running = containers.iter().filter(|container| container["State"] == "running").count();
    ensure!(running == 2 * PODS, "{running} containers run: a sandbox and a container of each pod should");

    setup.world.kubectl(&["delete", "pods", "--all", "--wait=false", "--grace-period=2"]).await?;
    interrupt(&mut setup, &mut random, KILLS[1]).await?;
    setup.world.until_pods_within("all to be gone", bound, <[Pod]>::is_empty).await?;
    setup.nothing_left().await
}

/// So few that some sessions at once are too many: the engine then ends the component.
const FEW_HANDLES: &str = "limits: { handles: 100 }\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_end_with_a_reason_when_the_component_does_and_the_pod_does_not_notice() -> Result<()> {
    let config: &'static str = Box::leak(format!("{CONFIG}{FEW_HANDLES}").into_boxed_str());
    let Some(setup) = Setup::with("trap", Options::default(), config).await? else { return Ok(()) };
    let script = "trap 'exit 0' TERM; while true; do echo tick; sleep 1 & wait; done";
    let spec = json!({ "containers": [{ "name": "main", "command": ["/bin/sh", "-c", script] }] });
    setup.create("web", &spec).await?;
    let before = setup.world.until_pods("it to run", |pods| pods.iter().any(is_running)).await?;
    let start = |arguments: &[&str]| {
        let mut command = tokio::process::Command::from(setup.world.namespace.kubectl());
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command.spawn()
    };
    let mut follow = start(&["logs", "-f", "web"])?;
    let mut lines = BufReader::new(follow.stdout.take().context("no output")?).lines();
    ensure!(lines.next_line().await?.as_deref() == Some("tick"));
    let mut held = start(&["exec", "web", "--", "sh", "-c", "echo begun; sleep 1000"])?;
    let mut begun = BufReader::new(held.stdout.take().context("no output")?).lines();
    ensure!(begun.next_line().await?.as_deref() == Some("begun"));
    let mut crowd = vec![];
    for _ in 0..40 {
        crowd.push(start(&["exec", "web", "--", "sleep", "1000"])?);
    }
    let ended = tokio::time::timeout(cluster::SOON, held.wait_with_output()).await.context("the command goes on")??;
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    ensure!(!ended.status.success() && said.contains("provider"), "{said}");
    drop(crowd);
    let rest = async {
        let mut last = String::new();
        while let Some(line) = lines.next_line().await? {
            last = line;
        }
        Ok::<_, anyhow::Error>(last)
    };
    let last = tokio::time::timeout(cluster::SOON, rest).await.context("the log goes on")??;
    ensure!(last.contains("the log breaks off here"), "{last}");
    follow.kill().await?;
    let after = setup.world.pod("web").await?;
    ensure!(is_running(&after) && id(&after) == before.first().and_then(id), "the same container runs on");
    ensure!(container(&after, "main").is_some_and(|status| status.restart_count == 0));
    let again = controlplane::wait::until("a command to run", cluster::SOON, async || {
        let output = setup.world.kubectl_output(&["exec", "web", "--", "echo", "well"], None).await?;
        let well = output.stdout == b"well\n";
        Ok(if well {
            controlplane::wait::Answer::Yes(())
        } else {
            controlplane::wait::Answer::NotYet(format!("{output:?}"))
        })
    });
    again.await?;
    setup.world.kubectl(&["delete", "pod", "web"]).await?;
    setup.nothing_left().await
}
