//! A real metrics-server beside a control plane.
//!
//! In: a control plane, a namespace for its service account. Out: a [`MetricsServer`], behind the API server's aggregation; dropping it ends the process. Invariant: it
//! reads nodes with a service account's token, as in a real cluster, and nothing but that token tells who it is.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::binaries::{self, GoModule};
use crate::wait::{Answer, until};
use crate::{ControlPlane, Process};

/// It looks every ten seconds, and knows CPU in use after two looks.
const SOME_LOOKS: Duration = Duration::from_secs(120);

/// A running metrics-server.
#[derive(Debug)]
pub struct MetricsServer {
    process: Process,
    _directory: TempDir,
}

impl MetricsServer {
    /// Builds it if need be, runs it as a service account of `namespace`, and has the API server ask it. There is no network between pods here: a
    /// Service of type ExternalName leads to this machine.
    pub async fn start(plane: &ControlPlane, namespace: &str) -> Result<Self> {
        let program = tokio::task::spawn_blocking(program).await??;
        let directory = tempfile::Builder::new().prefix("pluglet-metrics-").tempdir()?;
        let kubeconfig = directory.path().join("kubeconfig");
        std::fs::write(&kubeconfig, token_kubeconfig(plane, namespace)?.to_string())?;
        let port = crate::ports::one()?;
        let command = command(&program, &kubeconfig, directory.path(), port);
        let process = Process::spawn("metrics-server", &command, &directory.path().join("metrics-server.log"))?;
        apply(plane, namespace, &service())?;
        apply(plane, namespace, &api(namespace, port))?;
        Ok(Self { process, _directory: directory })
    }

    /// Waits until the API server reaches it.
    pub async fn available(&mut self, plane: &ControlPlane) -> Result<()> {
        until("the metrics API", SOME_LOOKS, async || {
            self.process.check_running()?;
            let path = "jsonpath={.status.conditions}";
            let text = kubectl(plane, &["get", "apiservice", "v1beta1.metrics.k8s.io", "-o", path])?;
            Ok(if text.contains(r#""status":"True""#) { Answer::Yes(()) } else { Answer::NotYet(text) })
        })
        .await
    }
}

fn program() -> Result<PathBuf> {
    let dir = crate::repository().join("tests/metrics-server");
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

fn command(program: &Path, kubeconfig: &Path, directory: &Path, port: u16) -> Command {
    let mut command = Command::new(program);
    for flag in ["kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"] {
        command.arg(format!("--{flag}={}", kubeconfig.display()));
    }
    command
        .arg(format!("--secure-port={port}"))
        .arg(format!("--cert-dir={}", directory.display()))
        .args(["--bind-address=127.0.0.1", "--metric-resolution=10s", "--kubelet-request-timeout=5s"])
        .args(["--kubelet-insecure-tls", "--kubelet-use-node-status-port"])
        .arg("--kubelet-preferred-address-types=InternalIP");
    command
}

/// A kubeconfig of a service account that may do everything: only a token tells who it is.
fn token_kubeconfig(plane: &ControlPlane, namespace: &str) -> Result<Value> {
    kubectl(plane, &["-n", namespace, "create", "serviceaccount", "metrics-server"])?;
    let binding = format!("{namespace}-metrics-server");
    let subject = format!("--serviceaccount={namespace}:metrics-server");
    kubectl(plane, &["create", "clusterrolebinding", &binding, "--clusterrole=cluster-admin", &subject])?;
    let token = kubectl(plane, &["-n", namespace, "create", "token", "metrics-server"])?.trim().to_owned();
    let cluster = json!({ "server": plane.server(), "certificate-authority": plane.client_ca_file() });
    Ok(json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{ "name": "c", "cluster": cluster }],
        "users": [{ "name": "u", "user": { "token": token } }],
        "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u" } }],
    }))
}

fn service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "metrics-server" },
        "spec": { "type": "ExternalName", "externalName": "localhost" },
    })
}

fn api(namespace: &str, port: u16) -> Value {
    json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": { "name": "v1beta1.metrics.k8s.io" },
        "spec": {
            "group": "metrics.k8s.io", "version": "v1beta1", "insecureSkipTLSVerify": true,
            "groupPriorityMinimum": 100, "versionPriority": 100,
            "service": { "name": "metrics-server", "namespace": namespace, "port": port },
        },
    })
}

fn apply(plane: &ControlPlane, namespace: &str, object: &Value) -> Result<()> {
    let mut child = plane
        .kubectl()
        .args(["-n", namespace, "apply", "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .context("cannot run kubectl")?;
    let mut stdin = child.stdin.take().context("kubectl has no stdin")?;
    std::io::Write::write_all(&mut stdin, object.to_string().as_bytes())?;
    drop(stdin);
    let status = child.wait()?;
    if !status.success() {
        bail!("kubectl apply failed ({status}); its output is above");
    }
    Ok(())
}

fn kubectl(plane: &ControlPlane, arguments: &[&str]) -> Result<String> {
    let output = plane.kubectl().args(arguments).output().context("cannot run kubectl")?;
    if !output.status.success() {
        bail!("kubectl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
