//! What pods may not have.

use anyhow::{Context, Result, ensure};
use cluster::{container, is_running, phase};
use containers_suite::Setup;
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

const SLEEP: &str = "trap 'exit 0' TERM; sleep 1000 & wait";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_granted_never_reaches_the_engine() -> Result<()> {
    let Some(setup) = Setup::new("grants").await? else { return Ok(()) };
    let container = json!([{ "name": "main", "command": ["true"] }]);
    let pods = [
        (
            "path",
            json!({ "volumes": [{ "name": "v", "hostPath": { "path": "/" } }], "containers": container }),
            "hostPath /",
        ),
        (
            "privileged",
            json!({ "containers": [{ "name": "main", "securityContext": { "privileged": true } }] }),
            "privileged",
        ),
        ("network", json!({ "hostNetwork": true, "containers": container }), "hostNetwork"),
        ("processes", json!({ "hostPID": true, "containers": container }), "hostPID"),
        ("ipc", json!({ "hostIPC": true, "containers": container }), "hostIPC"),
    ];
    for (name, spec, _) in &pods {
        setup.create(name, spec).await?;
    }
    let failed = |pods: &[Pod]| pods.iter().filter(|pod| phase(pod) == "Failed").count() == 5;
    let failed = setup.world.until_pods("all to be refused", failed).await?;
    for (name, _, part) in &pods {
        let pod = failed.iter().find(|pod| cluster::name(pod) == *name).context("no pod")?;
        let message = pod.status.as_ref().and_then(|status| status.message.clone()).unwrap_or_default();
        ensure!(message.contains(part) && message.contains("pluglet.yaml"), "{name}: {message}");
    }
    ensure!(setup.engine.containers().await?.is_empty());
    setup.world.kubectl(&["delete", "pods", "--all"]).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_containers_security_context_is_what_it_runs_with() -> Result<()> {
    let Some(setup) = Setup::new("context").await? else { return Ok(()) };
    let script = format!(
        "id -u; id -g; touch /x 2>/dev/null || echo read-only; grep NoNewPrivs /proc/self/status | cut -f2; grep CapBnd /proc/self/status | cut -f2; {SLEEP}"
    );
    let context = json!({
        "runAsUser": 1000, "runAsGroup": 3000, "readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false,
        "capabilities": { "drop": ["ALL"], "add": ["KILL"] },
    });
    let spec =
        json!({ "containers": [{ "name": "main", "command": ["/bin/sh", "-c", script], "securityContext": context }] });
    setup.create("web", &spec).await?;
    setup.world.until_pods("the pod to run", |pods| pods.iter().any(is_running)).await?;
    let log = setup.world.kubectl(&["logs", "web"]).await?;
    ensure!(log == "1000\n3000\nread-only\n1\n0000000000000020\n", "{log}");
    let root =
        json!({ "containers": [{ "name": "main", "command": ["true"], "securityContext": { "runAsNonRoot": true } }] });
    setup.create("root", &root).await?;
    let refused = |pod: &Pod| {
        let state = container(pod, "main").and_then(|status| status.state.as_ref()?.waiting.as_ref());
        state.is_some_and(|state| state.reason.as_deref() == Some("CreateContainerConfigError"))
    };
    setup.world.until_pods("the refusal", |pods| pods.iter().any(refused)).await?;
    setup.world.kubectl(&["delete", "pods", "--all"]).await?;
    setup.nothing_left().await
}
