//! The bare client: the writes that any node has to make for a pod, and nothing else.
//!
//! In: pods that were bound, or marked for deletion. Out: for the former a status that says Running; for the latter a
//! terminal status, then the final delete with the UID as precondition. It has the identity and rights of a node, so the
//! API server treats it as it treats pluglet; it has a Node object with a lease, so nobody evicts its pods.

use std::time::Duration;

use anyhow::{Context, Result};
use futures::{TryStreamExt, stream};
use jiff::Timestamp;
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::JoinSet;

use super::Bench;
use super::load::Made;
use super::requests;

/// How often a kubelet renews its lease.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// What there is to do for a pod.
#[derive(Debug, Clone)]
pub(super) enum Work {
    /// It was bound to the node.
    Run(Made),
    /// It is to be deleted.
    End(Made),
}

/// A running bare client. Dropping it ends its tasks.
pub(super) struct Bare {
    channel: UnboundedSender<Work>,
    tasks: JoinSet<Result<()>>,
}

impl Bare {
    /// Makes the node and starts to take work for it.
    pub(super) async fn start(bench: &Bench<'_>, node: &str) -> Result<Self> {
        let client = node_client(bench, node).await?;
        register(&client, node).await?;
        let (channel, work) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(write(client.clone(), bench.namespace.clone(), bench.writers, work));
        tasks.spawn(heartbeat(client, node.to_owned()));
        Ok(Self { channel, tasks })
    }

    /// Where the load announces work.
    pub(super) fn channel(&self) -> UnboundedSender<Work> {
        self.channel.clone()
    }

    /// Ends only with an error: that of the first task that failed.
    pub(super) async fn failed(&mut self) -> anyhow::Error {
        match self.tasks.join_next().await {
            Some(Ok(Err(error))) => error.context("the bare client failed"),
            Some(Err(error)) => anyhow::Error::from(error),
            Some(Ok(Ok(()))) | None => anyhow::anyhow!("the bare client ended early"),
        }
    }
}

async fn node_client(bench: &Bench<'_>, node: &str) -> Result<Client> {
    let kubeconfig = kube::config::Kubeconfig::read_from(bench.plane.kubeconfig_node(node)?)?;
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &kube::config::KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

async fn write(client: Client, namespace: String, writers: usize, work: UnboundedReceiver<Work>) -> Result<()> {
    let work = stream::unfold(work, async |mut work| work.recv().await.map(|one| (anyhow::Ok(one), work)));
    work.try_for_each_concurrent(writers, async |one| match one {
        Work::Run(pod) => {
            let patch = requests::patch_status(&namespace, &pod.name, &pod.uid, &running())?;
            requests::send(&client, patch).await
        }
        Work::End(pod) => {
            let patch = requests::patch_status(&namespace, &pod.name, &pod.uid, &terminated())?;
            requests::send(&client, patch).await?;
            requests::send(&client, requests::delete(&namespace, &pod.name, 0, Some(&pod.uid))?).await
        }
    })
    .await
}

fn running() -> Value {
    let now = now();
    json!({
        "phase": "Running",
        "hostIP": "127.0.0.1",
        "podIP": "10.1.0.1",
        "podIPs": [{"ip": "10.1.0.1"}],
        "startTime": now,
        "conditions": conditions(&["Initialized", "Ready", "ContainersReady", "PodScheduled"], "True", &now),
        "containerStatuses": [container(true, &json!({"running": {"startedAt": now}}))],
    })
}

fn terminated() -> Value {
    let now = now();
    json!({
        "phase": "Succeeded",
        "conditions": conditions(&["Ready", "ContainersReady"], "False", &now),
        "containerStatuses": [
            container(false, &json!({"terminated": {"exitCode": 0, "reason": "Completed", "finishedAt": now}})),
        ],
    })
}

fn conditions(kinds: &[&str], status: &str, now: &str) -> Vec<Value> {
    kinds.iter().map(|kind| json!({"type": kind, "status": status, "lastTransitionTime": now})).collect()
}

fn container(runs: bool, state: &Value) -> Value {
    json!({
        "name": "main",
        "image": "registry.k8s.io/pause:3.10",
        "imageID": "registry.k8s.io/pause:3.10",
        "containerID": "bare://0123456789abcdef",
        "ready": runs,
        "started": runs,
        "restartCount": 0,
        "state": state,
    })
}

async fn register(client: &Client, name: &str) -> Result<()> {
    let now = now();
    let node = json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name},
        "status": {
            "capacity": {"cpu": "1000", "memory": "1000Gi", "pods": "100000"},
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "conditions": [{"type": "Ready", "status": "True", "reason": "Bare", "lastHeartbeatTime": now, "lastTransitionTime": now}],
        },
    });
    post(client, "/api/v1/nodes", &node).await?;
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": "kube-node-lease"},
        "spec": {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": micros()},
    });
    post(client, "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", &lease).await
}

async fn heartbeat(client: Client, node: String) -> Result<()> {
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{node}");
    loop {
        tokio::time::sleep(HEARTBEAT).await;
        let body = serde_json::to_vec(&json!({"spec": {"renewTime": micros()}}))?;
        let request = http::Request::patch(&path).header("content-type", "application/merge-patch+json").body(body)?;
        requests::send(&client, request).await?;
    }
}

async fn post(client: &Client, path: &str, body: &Value) -> Result<()> {
    let request =
        http::Request::post(path).header("content-type", "application/json").body(serde_json::to_vec(body)?)?;
    requests::send(client, request).await.context("cannot make the bare client's node")
}

fn now() -> String {
    Timestamp::now().strftime("%FT%TZ").to_string()
}

fn micros() -> String {
    Timestamp::now().strftime("%FT%T%.6fZ").to_string()
}
