//! `kubectl top` and a HorizontalPodAutoscaler with a real metrics-server, which reads the node with a service account's token.

use std::time::Duration;

use anyhow::{Result, ensure};
use cluster::World;
use controlplane::MetricsServer;
use controlplane::wait::{Answer, until};
use serde_json::{Value, json};

/// It looks every ten seconds, and knows CPU in use after two looks; the autoscaler looks every fifteen.
const SOME_LOOKS: Duration = Duration::from_secs(120);

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
    let mut metrics_server = MetricsServer::start(world.plane, world.namespace.name()).await?;
    metrics_server.available(world.plane).await?;
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
