//! The demo with real containers: a web server, and what its user does with it.
//!
//! In: a control plane, a node above a container engine. Out: what kubectl prints. Invariant: each step checks what it shows; at the end the engine has nothing left.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use controlplane::wait::{Answer, until};
use controlplane::{ControlPlane, MetricsServer};
use engine::{Engine, Options};
use k8s_openapi::api::apps::v1::Deployment;
use kube::Client;
use kube::api::Api;
use kube::runtime::wait::await_condition;

use super::workload;
use crate::cargo;
use crate::node::{Node, Settings};

const MANIFEST: &str = include_str!("containers.yaml");
const REACHED: Duration = Duration::from_secs(120);

/// What the node is told: images come from nowhere, so the sandboxes are made of the one image there is.
const CONFIG: &str = r#"config:
  sandboxImage: localhost/busybox:1
  sandboxCommand: ["/bin/sh", "-c", "trap 'exit 0' TERM INT; sleep 2147483 & wait"]
  sandboxForward: ["nc", "127.0.0.1", "{port}"]
containers:
  volumes: directory
"#;

/// An engine of the demo's own.
pub(super) async fn engine() -> Result<Engine> {
    match Engine::start(Options::default()).await? {
        engine::Started::Ready(engine) => Ok(engine),
        engine::Started::Skipped(why) => bail!("the demo with real containers needs an engine: {why}"),
    }
}

/// How a node above it is set up.
pub(super) fn settings(engine: &Engine) -> Settings {
    let socket = engine.socket();
    let endpoints = format!("endpoints:\n  engine:\n    url: unix://{}\n    upgrade: true\n", socket.display());
    Settings { config: Some(format!("{CONFIG}{endpoints}")), ..Settings::default() }
}

/// Runs a web server, looks at it from all sides, deletes it.
pub(super) async fn perform(plane: &ControlPlane, node: &mut Node, client: &Client, engine: &Engine) -> Result<()> {
    let mut metrics = MetricsServer::start(plane, "default").await?;
    cargo::heading("a Deployment of 2 web servers");
    workload::apply(plane, MANIFEST)?;
    let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
    let available =
        await_condition(deployments, "web", |web: Option<&Deployment>| web.is_some_and(workload::all_available));
    node.meanwhile("the Deployment to have 2 available pods", REACHED, Box::pin(available)).await??;
    show(plane, &["get", "pods", "-o", "wide"])?;
    forward(plane)?;
    show(plane, &["exec", "deployment/web", "--", "sh", "-c", "hostname; id; cat /etc/hosts"])?;
    follow(plane)?;
    metrics.available(plane).await?;
    top(plane).await?;
    show(plane, &["events", "--types=Normal"])?;
    cargo::heading("delete it");
    show(plane, &["delete", "deployment", "web"])?;
    until("the engine to be empty", REACHED, async || {
        let left = engine.containers().await?.len();
        Ok(if left == 0 { Answer::Yes(()) } else { Answer::NotYet(format!("{left} containers")) })
    })
    .await?;
    println!("the engine has no container any more");
    Ok(())
}

fn show(plane: &ControlPlane, arguments: &[&str]) -> Result<()> {
    println!("\n$ kubectl {}", arguments.join(" "));
    cargo::run(plane.kubectl().args(arguments))
}

/// kubectl, running until it is dropped. What it prints is kept open: it would end on its next line otherwise.
struct Running {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Running {
    fn start(mut command: Command, arguments: &[&str]) -> Result<Self> {
        println!("\n$ kubectl {}", arguments.join(" "));
        let mut child = command.args(arguments).stdout(Stdio::piped()).spawn().context("cannot run kubectl")?;
        let output = BufReader::new(child.stdout.take().context("kubectl has no stdout")?);
        Ok(Self { child, output })
    }

    /// Its first lines.
    fn lines(&mut self, count: usize) -> Result<Vec<String>> {
        let lines: Vec<String> = self.output.by_ref().lines().take(count).collect::<Result<_, _>>()?;
        ensure!(lines.len() == count, "kubectl ended after {lines:?}");
        Ok(lines)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn forward(plane: &ControlPlane) -> Result<()> {
    let mut forward = Running::start(plane.kubectl(), &["port-forward", "deployment/web", ":8080"])?;
    let line = forward.lines(1)?.concat();
    println!("{line}");
    let port = line.split(':').nth(1).and_then(|rest| rest.split(' ').next()).context("no port")?;
    println!("\n$ curl http://127.0.0.1:{port}/");
    let mut stream = TcpStream::connect(("127.0.0.1", port.parse()?))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
    print!("{body}");
    ensure!(body.starts_with("hello from web-"), "another answer was expected: {answer}");
    Ok(())
}

fn follow(plane: &ControlPlane) -> Result<()> {
    let mut logs = Running::start(plane.kubectl(), &["logs", "--follow", "deployment/web"])?;
    let lines = logs.lines(3)?;
    lines.iter().for_each(|line| println!("{line}"));
    ensure!(lines.iter().all(|line| line.contains("is serving")), "another log was expected");
    Ok(())
}

async fn top(plane: &ControlPlane) -> Result<()> {
    println!("\n$ kubectl top pods");
    let table = until("kubectl top to have figures", REACHED, async || {
        let output = plane.kubectl().args(["top", "pods"]).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let complete = output.status.success() && text.lines().count() >= 3;
        Ok(if complete { Answer::Yes(text) } else { Answer::NotYet(text) })
    })
    .await?;
    print!("{table}");
    Ok(())
}
