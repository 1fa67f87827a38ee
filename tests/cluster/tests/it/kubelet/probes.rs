//! Probes, run by the host for a provider that does not run them.
//!
//! The mock's containers have no network, so the pods claim the address 127.0.0.1 and the tests listen there, on ports of their own;
//! `--probe-loopback` lets the host go there. Messages and rules are those of pkg/kubelet/prober and pkg/probe.

mod target;

use anyhow::Result;
use cluster::{Node, NodeOptions, Row, World, check_rows, container, revealing, uid, with};
use controlplane::wait::{Answer, until};
use http::StatusCode;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use target::Target;

const HOST_PROBES: &str = "config: { probes: host }\n";
const NO_RESTART: &str = "config: { probes: host, features: { restart: false } }\n";
const LOOPBACK: &str = "127.0.0.1";

async fn node(world: &World, name: &str, config: &'static str) -> Result<Node> {
    let flags = vec!["--probe-loopback".to_owned()];
    world.node_with(name, NodeOptions { config, flags, ..NodeOptions::default() }).await
}

/// A probe that acts on its first failure.
fn at_once(action: &Value) -> Value {
    with(json!({ "periodSeconds": 1, "failureThreshold": 1 }), action)
}

fn get(port: u16, path: &str) -> Value {
    json!({ "httpGet": { "path": path, "port": port } })
}

fn probed(name: &'static str, sentence: &'static str, main: &Value) -> Row {
    Row::new(name, sentence).annotations(&json!({ "mock.pluglet.dev/pod-ip": LOOPBACK })).main(main)
}

fn ready_when(name: &'static str, sentence: &'static str, action: &Value) -> Row {
    probed(name, sentence, &json!({ "readinessProbe": at_once(action) }))
}

/// It runs, and is not ready.
fn unready(row: Row) -> Row {
    row.api("/status/phase", json!("Running"))
        .condition("ContainersReady", "False", "ContainersNotReady")
        .condition("Ready", "False", "ContainersNotReady")
        .api("/status/containerStatuses/0/ready", json!(false))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_kind_of_probe_decides_readiness() -> Result<()> {
    let world = World::new("probes").await?;
    let node = node(&world, "node-probes", HOST_PROBES).await?;
    let target = Target::start().await?;
    let rows =
        [over_http(target.port), over_tcp(target.port)?, over_grpc(target.port), by_command(), startup(&target)?];
    check_rows(&world, &node.name, rows.into_iter().flatten().collect()).await?;

    let heard = target.heard("/headers?full=yes");
    assert!(heard.iter().all(|one| one.header("x-probe") == "yes" && one.header("accept") == "*/*"), "{heard:?}");
    assert!(heard.iter().all(|one| one.header("user-agent").starts_with("kube-probe/")), "{heard:?}");
    assert!(
        !heard.is_empty() && target.heard("/gated").is_empty(),
        "before a pod has started it is not asked whether it is ready"
    );
    Ok(())
}

fn over_http(port: u16) -> Vec<Row> {
    let named = json!({ "ports": [{ "name": "web", "containerPort": port }],
                        "readinessProbe": at_once(&json!({ "httpGet": { "path": "/ok", "port": "web" } })) });
    let headers = json!({ "httpGet": { "path": "/headers?full=yes", "port": port,
                                       "httpHeaders": [{ "name": "X-Probe", "value": "yes" }] } });
    vec![
        ready_when("http-ok", "status 200 is ready", &get(port, "/ok")).runs(),
        unready(ready_when("http-fail", "status 500 is not", &get(port, "/fail")))
            .event("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 500"),
        ready_when("http-redirect", "a redirect to the same host is followed", &get(port, "/redirect")).runs(),
        ready_when(
            "http-elsewhere",
            "one to another host is not, and is a success with a warning",
            &get(port, "/elsewhere"),
        )
        .runs()
        .event("ProbeWarning", "Readiness probe warning: Probe terminated redirects"),
        probed("http-named", "the port by its name", &named).runs(),
        ready_when("http-headers", "path with a query, and headers of one's own", &headers).runs(),
    ]
}

fn over_tcp(port: u16) -> Result<Vec<Row>> {
    let closed = controlplane::ports::one()?;
    Ok(vec![
        ready_when("tcp-open", "a port that is open is ready", &json!({ "tcpSocket": { "port": port } })).runs(),
        unready(ready_when("tcp-closed", "one that is closed is not", &json!({ "tcpSocket": { "port": closed } })))
            .event("Unhealthy", "Readiness probe failed:"),
    ])
}

fn over_grpc(port: u16) -> Vec<Row> {
    let sick = json!({ "grpc": { "port": port, "service": "sick" } });
    vec![
        ready_when("grpc-serving", "SERVING is ready", &json!({ "grpc": { "port": port } })).runs(),
        unready(ready_when("grpc-sick", "NOT_SERVING is not", &sick))
            .event("Unhealthy", "Readiness probe failed: service unhealthy (responded with \"NOT_SERVING\")"),
    ]
}

fn by_command() -> Vec<Row> {
    let command = json!({ "exec": { "command": ["cat", "/tmp/healthy"] } });
    vec![
        ready_when("exec-third-time", "a command that succeeds at last", &command)
            .annotations(&json!({ "mock.pluglet.dev/exec-exit-code": "1,1,0" }))
            .runs(),
        unready(ready_when("exec-never", "one that does not, with what it has to say", &command))
            .annotations(
                &json!({ "mock.pluglet.dev/exec-exit-code": "3", "mock.pluglet.dev/exec-output": "no such file" }),
            )
            .event("Unhealthy", "Readiness probe failed: no such file"),
    ]
}

/// <https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#types-of-probe>: all other probes wait for the startup probe.
fn startup(target: &Target) -> Result<Vec<Row>> {
    let command = json!({ "exec": { "command": ["started"] } });
    let patient = |action: &Value| with(at_once(action), &json!({ "failureThreshold": 1000 }));
    let closed = json!({ "tcpSocket": { "port": controlplane::ports::one()? } });
    Ok(vec![
        probed(
            "starts",
            "a container has started when its startup probe says so",
            &json!({ "startupProbe": patient(&command) }),
        )
        .annotations(&json!({ "mock.pluglet.dev/exec-exit-code": "1,1,0" }))
        .runs()
        .api("/status/containerStatuses/0/started", json!(true)),
        unready(probed(
            "not-started",
            "until then nothing else is asked",
            &json!({
                "startupProbe": patient(&closed), "readinessProbe": at_once(&get(target.port, "/gated")),
            }),
        ))
        .api("/status/containerStatuses/0/started", json!(false))
        .event("Unhealthy", "Startup probe failed:"),
    ])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readiness_comes_and_goes_with_the_probe_and_nothing_restarts() -> Result<()> {
    let world = World::new("readiness").await?;
    let node = node(&world, "node-readiness", HOST_PROBES).await?;
    let target = Target::start().await?;
    let row = ready_when("web", "a pod whose server can be switched", &get(target.port, "/switch")).runs();
    check_rows(&world, &node.name, vec![row]).await?;
    for (status, ready) in [(StatusCode::SERVICE_UNAVAILABLE, "False"), (StatusCode::NO_CONTENT, "True")] {
        target.switch(status);
        let is_so = |pod: &Pod| cluster::condition(pod, "Ready").is_some_and(|condition| condition.status == ready);
        world.until_pods(&format!("Ready to be {ready}"), |pods| pods.iter().any(is_so)).await?;
    }
    assert_eq!(container(&world.pod("web").await?, "main").map(|main| main.restart_count), Some(0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_that_is_not_alive_is_restarted_by_the_provider() -> Result<()> {
    let world = World::new("liveness").await?;
    let node = node(&world, "node-liveness", HOST_PROBES).await?;
    let target = Target::start().await?;
    let never = at_once(&json!({ "exec": { "command": ["started"] } }));
    let alive =
        |path: &str| json!([{ "name": "main", "image": "a", "livenessProbe": at_once(&get(target.port, path)) }]);
    let address = json!({ "mock.pluglet.dev/pod-ip": LOOPBACK, "mock.pluglet.dev/exec-exit-code": "1" });
    let starting = json!([{ "name": "main", "image": "a", "startupProbe": never }]);
    let pods = [
        revealing(&node.name, "dead", &address, &json!({ "containers": alive("/fail") })),
        revealing(&node.name, "alive", &address, &json!({ "containers": alive("/ok") })),
        revealing(&node.name, "never-starts", &address, &json!({ "containers": starting })),
    ];
    world.create(&pods).await?;
    let restarts = |pods: &[Pod], name: &str| {
        let pod = pods.iter().find(|pod| cluster::name(pod) == name);
        pod.and_then(|pod| container(pod, "main")).map_or(0, |main| main.restart_count)
    };
    let pods = world
        .until_pods("both to be restarted", |pods| restarts(pods, "dead") > 0 && restarts(pods, "never-starts") > 0)
        .await?;
    assert_eq!(restarts(&pods, "alive"), 0, "a pod that is alive is left alone");
    let uid_of = |name: &str| pods.iter().find(|pod| cluster::name(pod) == name).map(uid).unwrap_or_default();
    let said = "Liveness probe failed: HTTP probe failed with statuscode: 500";
    world.until_event(uid_of("dead"), "Unhealthy", said).await?;
    // pkg/kubelet/kuberuntime/kuberuntime_manager.go
    world.until_event(uid_of("dead"), "Killing", "Container main failed liveness probe, will be restarted").await?;
    world
        .until_event(uid_of("never-starts"), "Killing", "Container main failed startup probe, will be restarted")
        .await?;
    let asked = |held: &Value| held["calls"]["restart"].as_u64() >= Some(1);
    world.until_revealed("dead", "that it was asked to restart", asked).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_cannot_restart_a_container_leaves_an_event_that_says_so() -> Result<()> {
    let world = World::new("no-restart").await?;
    let node = node(&world, "node-no-restart", NO_RESTART).await?;
    let target = Target::start().await?;
    let address = json!({ "mock.pluglet.dev/pod-ip": LOOPBACK });
    let dead = json!({ "livenessProbe": at_once(&get(target.port, "/fail")), "name": "main", "image": "a" });
    world.create(&[revealing(&node.name, "dead", &address, &json!({ "containers": [dead] }))]).await?;
    let pods = world.until_pods("the pod to run", |pods| pods.iter().any(cluster::is_running)).await?;
    let dead = uid(&pods[0]).to_owned();
    world.until_event(&dead, "Unhealthy", "Liveness probe failed: HTTP probe failed with statuscode: 500").await?;
    until("an event that says that nothing is restarted", cluster::SOON, async || {
        let events = world.events().await?;
        let messages = events.iter().filter(|event| event.involved_object.uid.as_ref() == Some(&dead));
        let messages: Vec<String> = messages.filter_map(|event| event.message.clone()).collect();
        let told = messages.iter().any(|message| message.contains("restart"));
        Ok(if told { Answer::Yes(()) } else { Answer::NotYet(messages.join("; ")) })
    })
    .await?;
    assert_eq!(container(&world.pod("dead").await?, "main").map(|main| main.restart_count), Some(0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_runs_probes_itself_decides_by_itself() -> Result<()> {
    let world = World::new("own-probes").await?;
    let node = node(&world, "node-own-probes", "").await?;
    let target = Target::start().await?;
    let main = json!({ "readinessProbe": at_once(&get(target.port, "/fail")), "livenessProbe": at_once(&get(target.port, "/fail")) });
    let row = probed("own", "the provider says that it is ready", &main).runs();
    check_rows(&world, &node.name, vec![row]).await?;
    assert!(target.heard("/").is_empty(), "the host has asked: {:?}", target.heard("/"));
    Ok(())
}
