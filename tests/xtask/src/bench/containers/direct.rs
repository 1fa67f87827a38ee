//! The limit: the calls that a pod cannot do without, sent by this program straight to the engine.
//!
//! In: an engine. Out: a [`Round`]. Invariant: bodies are those that `plugins/containers` sends for the same pod (a sandbox with an address, a container
//! that joins it, `/etc/hosts` and the termination log bound from plain files); nothing is listed, looked up or told to anybody.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use engine::{BUSYBOX, Method};
use futures::future::try_join_all;
use serde_json::{Value, json};

use super::account::Used;
use super::calls::Book;
use super::figures::{self, Burst, Idle, Round, Side, Span};
use super::{ALONE, GRACE, IDLE, QUIET, SANDBOX_COMMAND, SCRIPT, Setting};

/// A pod in the engine.
struct Pod {
    sandbox: String,
    container: String,
    running: Span,
}

/// What all pods share.
struct Direct<'a> {
    setting: &'a Setting<'a>,
    image: String,
    files: tempfile::TempDir,
    book: Book,
}

/// Runs a round.
pub(super) async fn run(setting: &Setting<'_>, number: usize) -> Result<Round> {
    let direct = Direct::new(setting).await?;
    let (mut alone, mut alone_delete) = (vec![], vec![]);
    for one in 0..ALONE {
        let pod = direct.create(format!("alone-{number}-{one}")).await?;
        alone.push(pod.running);
        alone_delete.push(direct.delete(&pod).await?);
    }
    direct.book.take();
    let before = setting.account.look()?;
    let pods = try_join_all((0..setting.pods).map(|one| direct.create(format!("burst-{number}-{one}")))).await?;
    let running: Vec<Span> = pods.iter().map(|pod| pod.running).collect();
    // What the engine still does for them is theirs too.
    tokio::time::sleep(QUIET).await;
    let create = direct.burst(&running, &before)?;
    let before = setting.account.look()?;
    tokio::time::sleep(IDLE).await;
    let engine = setting.account.look()?.engine_since(&before) / IDLE.as_secs_f64();
    let idle = Idle { engine, own: None };
    let before = setting.account.look()?;
    let gone = try_join_all(pods.iter().map(|pod| direct.delete(pod))).await?;
    tokio::time::sleep(QUIET).await;
    let delete = direct.burst(&gone, &before)?;
    let (alone, alone_delete) = (figures::p50(&alone), figures::p50(&alone_delete));
    Ok(Round { side: Side::Direct, alone, alone_delete, create, delete, idle, own: None })
}

impl<'a> Direct<'a> {
    async fn new(setting: &'a Setting<'a>) -> Result<Self> {
        let path = format!("/v1.41/images/{BUSYBOX}/json");
        let (_, body) = setting.engine.request(Method::GET, &path, vec![]).await?;
        let image: Value = serde_json::from_slice(&body)?;
        let image = image.get("Id").and_then(Value::as_str).context("the engine has no busybox")?.to_owned();
        let files = tempfile::Builder::new().prefix("pluglet-bench-").tempdir()?;
        Ok(Self { setting, image, files, book: Book::default() })
    }

    fn burst(&self, spans: &[Span], before: &Used) -> Result<Burst> {
        let now = self.setting.account.look()?;
        Ok(Burst {
            last: figures::whole(spans),
            p50: figures::p50(spans),
            engine_cpu: now.engine_since(before),
            others: now.others_since(before),
            own_cpu: None,
            calls: self.book.take(),
        })
    }

    async fn create(&self, name: String) -> Result<Pod> {
        let from = Instant::now();
        let sandbox = self.make(&format!("SANDBOX_{name}"), &self.sandbox(&name)).await?;
        let hosts = self.files.path().join(format!("{name}.hosts"));
        let log = self.files.path().join(format!("{name}.log"));
        std::fs::write(&hosts, "127.0.0.1\tlocalhost\n")?;
        std::fs::write(&log, "")?;
        let mounts = [("/etc/hosts", &hosts), ("/dev/termination-log", &log)].map(|(target, source)| {
            json!({"Type": "bind", "Source": source, "Target": target, "ReadOnly": false,
                   "BindOptions": {"Propagation": "rprivate"}})
        });
        let container = self.make(&name, &self.container(&name, &sandbox, &json!(mounts))).await?;
        Ok(Pod { sandbox, container, running: Span { from, to: Instant::now() } })
    }

    /// Made, started and seen to run.
    async fn make(&self, name: &str, body: &Value) -> Result<String> {
        let path = format!("/v1.41/containers/create?name=pluglet_{name}");
        let made: Value = serde_json::from_slice(&self.call("create", Method::POST, &path, body.to_string()).await?)?;
        let id = made.get("Id").and_then(Value::as_str).context("no Id")?.to_owned();
        self.call("start", Method::POST, &format!("/v1.41/containers/{id}/start"), String::new()).await?;
        let found = self.call("inspect", Method::GET, &format!("/v1.41/containers/{id}/json"), String::new()).await?;
        let found: Value = serde_json::from_slice(&found)?;
        let runs = found.pointer("/State/Running").and_then(Value::as_bool);
        ensure!(runs == Some(true), "{name} does not run");
        Ok(id)
    }

    async fn delete(&self, pod: &Pod) -> Result<Span> {
        let from = Instant::now();
        // The sandbox gets what `plugins/containers` gives it.
        for (id, grace) in [(&pod.container, GRACE), (&pod.sandbox, Duration::from_secs(2))] {
            let path = format!("/v1.41/containers/{id}/stop?t={}", grace.as_secs());
            self.call("stop", Method::POST, &path, String::new()).await?;
        }
        for id in [&pod.container, &pod.sandbox] {
            let path = format!("/v1.41/containers/{id}?force=1&v=1");
            self.call("remove", Method::DELETE, &path, String::new()).await?;
        }
        Ok(Span { from, to: Instant::now() })
    }

    async fn call(&self, kind: &str, method: Method, path: &str, body: String) -> Result<Vec<u8>> {
        let begun = Instant::now();
        let (status, answer) = self.setting.engine.request(method, path, body).await?;
        self.book.add(kind, begun.elapsed());
        let text = || String::from_utf8_lossy(&answer).trim().to_owned();
        ensure!(status.is_success() || status.as_u16() == 304, "{path} was answered with {status}: {}", text());
        Ok(answer.to_vec())
    }

    fn sandbox(&self, name: &str) -> Value {
        json!({
            "Image": BUSYBOX,
            "Entrypoint": SANDBOX_COMMAND,
            "Hostname": name,
            "Labels": labels(name, "sandbox"),
            "Healthcheck": {"Test": ["NONE"]},
            "HostConfig": {"NetworkMode": "bridge", "CgroupParent": self.setting.account.parent()},
        })
    }

    /// As for a pod that names no resources: the least of the processors, the first to be killed.
    fn container(&self, name: &str, sandbox: &str, mounts: &Value) -> Value {
        let joined = format!("container:{sandbox}");
        json!({
            "Image": self.image,
            "Entrypoint": ["sh", "-c", SCRIPT],
            "Env": ["KUBERNETES_SERVICE_HOST=10.0.0.1", "KUBERNETES_SERVICE_PORT=443"],
            "Labels": labels(name, "container"),
            "Healthcheck": {"Test": ["NONE"]},
            "HostConfig": {
                "NetworkMode": joined, "UTSMode": joined, "IpcMode": joined,
                "CgroupParent": self.setting.account.parent(),
                "Mounts": mounts, "CpuShares": 2, "OomScoreAdj": 1000,
            },
        })
    }
}

/// As many as pluglet gives.
fn labels(name: &str, kind: &str) -> Value {
    json!({
        "dev.pluglet.cluster": "bench", "dev.pluglet.node": "direct", "dev.pluglet.uid": name,
        "dev.pluglet.namespace": "bench", "dev.pluglet.pod": name, "dev.pluglet.kind": kind,
        "dev.pluglet.attempt": "0", "dev.pluglet.container": "main",
    })
}
