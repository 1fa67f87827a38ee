//! `kubectl top` and a HorizontalPodAutoscaler with a real metrics-server, which reads the node with a service account's token.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cluster::World;
use controlplane::binaries::{self, GoModule};
use controlplane::wait::{Answer, until};
use controlplane::{ControlPlane, Process};
use serde_json::{Value, json};

/// It looks every ten seconds, and knows CPU in use after two looks; the autoscaler looks every fifteen.
const SOME_LOOKS: Duration = Duration::from_secs(120);

fn metrics_server() -> Result<PathBuf> {
    let dir = controlplane::repository().join("tests/metrics-server");
    let version = binaries::required_version(&dir, "sigs.k8s.io/metrics-server")?;
    let module = GoModule {
        dir,
        title: format!("metrics-server {version}"),
        cache_name: format!("metrics-server-{version}"),
        ldflags: "-s -w".to_owned(),
        programs: vec![("metrics-server".to_owned(), "metrics-server".to_owned())],
    };
    let installed =
        module.install().context("metrics-server is built from its Go module: install Go (https://go.dev/dl)")?;
    Ok(installed.join("metrics-server"))
}

/// A kubeconfig of a service account that may do everything: only a token tells who it is.
async fn token_kubeconfig(world: &World, plane: &ControlPlane) -> Result<Value> {
    let namespace = world.namespace.name();
    world.kubectl(&["create", "serviceaccount", "metrics-server"]).await?;
    let binding = format!("{namespace}-metrics-server");
    let subject = format!("--serviceaccount={namespace}:metrics-server");
    world.kubectl(&["create", "clusterrolebinding", &binding, "--clusterrole=cluster-admin", &subject]).await?;
    let token = world.kubectl(&["create", "token", "metrics-server"]).await?.trim().to_owned();
    Ok(json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{ "name": "c", "cluster": { "server": plane.server(), "certificate-authority": plane.client_ca_file() } }],
        "users": [{ "name": "u", "user": { "token": token } }],
        "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u" } }],
    }))
}

/// Runs it, and has the API server ask it. There is no network between pods here: a Service of type ExternalName leads to this machine.
async fn start(world: &World, directory: &tempfile::TempDir) -> Result<Process> {
    let program = tokio::task::spawn_blocking(metrics_server).await??;
    let kubeconfig = directory.path().join("kubeconfig");
    std::fs::write(&kubeconfig, token_kubeconfig(world, world.plane).await?.to_string())?;
    let port = controlplane::ports::one()?;
    let mut command = Command::new(program);
    for flag in ["kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"] {
        command.arg(format!("--{flag}={}", kubeconfig.display()));
    }
    command
        .arg(format!("--secure-port={port}"))
        .arg(format!("--cert-dir={}", directory.path().display()))
        .args([
            "--bind-address=127.0.0.1",
            "--metric-resolution=10s",
            "--kubelet-request-timeout=5s",
            "--kubelet-insecure-tls",
        ])
        .args(["--kubelet-use-node-status-port", "--kubelet-preferred-address-types=InternalIP"]);
    let process = Process::spawn("metrics-server", &command, &directory.path().join("metrics-server.log"))?;
    let namespace = world.namespace.name();
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "metrics-server" },
        "spec": { "type": "ExternalName", "externalName": "localhost" },
    });
    let api = json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": { "name": "v1beta1.metrics.k8s.io" },
        "spec": {
            "group": "metrics.k8s.io", "version": "v1beta1", "insecureSkipTLSVerify": true,
            "groupPriorityMinimum": 100, "versionPriority": 100,
            "service": { "name": "metrics-server", "namespace": namespace, "port": port },
        },
    });
    world.create(&[service]).await?;
    world.apply(&api).await?;
    Ok(process)
}

/// Waits until the API server reaches it.
async fn available(world: &World, process: &mut Process) -> Result<()> {
    let condition = ["get", "apiservice", "v1beta1.metrics.k8s.io", "-o", "jsonpath={.status.conditions}"];
    until("the metrics API", SOME_LOOKS, async || {
        process.check_running()?;
        let text = world.kubectl(&condition).await?;
        Ok(if text.contains(r#""status":"True""#) { Answer::Yes(()) } else { Answer::NotYet(text) })
    })
    .await
}

/// What kubectl prints, once it is `right`.
async fn until_kubectl(world: &World, what: &str, arguments: &[&str], right: impl Fn(&str) -> bool) -> Result<String> {
    until(what, SOME_LOOKS, async || {
        let output = world.kubectl_output(arguments, None).await?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let right = output.status.success() && right(&text);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        Ok(if right { Answer::Yes(text) } else { Answer::NotYet(format!("{text}{errors}")) })
    })
    .await
}

fn deployment(node: &str) -> Value {
    let container = json!({ "name": "main", "image": "i", "resources": { "requests": { "cpu": "200m" } } });
    let annotations = json!({ "mock.pluglet.dev/cpu-usage": "400m", "mock.pluglet.dev/memory-usage": "64Mi" });
    let tolerations = json!([{ "operator": "Exists" }]);
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" },
        "spec": {
            "replicas": 1, "selector": { "matchLabels": { "app": "web" } },
            "template": {
                "metadata": { "labels": { "app": "web" }, "annotations": annotations },
                "spec": { "nodeName": node, "tolerations": tolerations, "containers": [container] },
            },
        },
    })
}

fn autoscaler() -> Value {
    let target = json!({ "type": "Utilization", "averageUtilization": 100 });
    json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": { "name": "web" },
        "spec": {
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" },
            "minReplicas": 1, "maxReplicas": 4,
            "metrics": [{ "type": "Resource", "resource": { "name": "cpu", "target": target } }],
            "behavior": { "scaleDown": { "stabilizationWindowSeconds": 0 }, "scaleUp": { "stabilizationWindowSeconds": 0 } },
        },
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_top_shows_what_is_used_and_an_autoscaler_follows_it_up_and_down() -> Result<()> {
    let world = World::new("top").await?;
    let node = world.node("node-top").await?;
    let directory = tempfile::tempdir()?;
    let mut metrics_server = start(&world, &directory).await?;
    available(&world, &mut metrics_server).await?;
    world.create(&[deployment(&node.name), autoscaler()]).await?;

    let top =
        until_kubectl(&world, "kubectl top pod", &["top", "pod", "--no-headers"], |text| text.contains("web-")).await?;
    let fields: Vec<&str> = top.split_whitespace().collect();
    let used: u64 = fields.get(1).unwrap_or(&"").trim_end_matches('m').parse()?;
    ensure!((395..=405).contains(&used) && fields.get(2) == Some(&"64Mi"), "{top}");
    let top_node = ["top", "node", &node.name, "--no-headers"];
    let line = until_kubectl(&world, "kubectl top node", &top_node, |text| text.starts_with("node-top")).await?;
    let cpu: u64 = line.split_whitespace().nth(1).unwrap_or_default().trim_end_matches('m').parse()?;
    ensure!((400..2000).contains(&cpu), "{cpu}m: the pod's and this process's own");

    let replicas = ["get", "deployment", "web", "-o", "jsonpath={.spec.replicas}"];
    // Each uses twice what it requests, however many there are.
    until_kubectl(&world, "the autoscaler to scale up", &replicas, |text| text == "4").await?;
    world.kubectl(&["annotate", "pods", "--all", "--overwrite", "mock.pluglet.dev/cpu-usage=20m"]).await?;
    until_kubectl(&world, "the autoscaler to scale down", &replicas, |text| text == "1").await?;
    world.kubectl(&["delete", "apiservice", "v1beta1.metrics.k8s.io"]).await?;
    Ok(())
}
