//! Volumes that only the provider can make, and providers that cannot.

use anyhow::Result;
use cluster::{NodeOptions, Row, World, by, check_rows, secret};
use controlplane::audit::tally;
use serde_json::{Value, json};

fn of(volume: &Value) -> Value {
    json!({ "volumes": [volume] })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kinds_that_the_host_cannot_make_go_to_a_provider_that_takes_them() -> Result<()> {
    let world = World::new("kinds").await?;
    let node = world.node("node-kinds").await?;
    let passed_on = |name, sentence, volume: &Value| Row::new(name, sentence).spec(&of(volume)).runs().no_files("v");
    let rows = vec![
        passed_on("empty-dir", "emptyDir", &json!({ "name": "v", "emptyDir": { "sizeLimit": "1Gi" } })),
        passed_on("host-path", "hostPath", &json!({ "name": "v", "hostPath": { "path": "/data" } })),
        passed_on("nfs", "nfs", &json!({ "name": "v", "nfs": { "server": "nfs.example.com", "path": "/" } })),
        passed_on("inline-csi", "csi in the pod", &json!({ "name": "v", "csi": { "driver": "inline.example.com" } })),
        passed_on(
            "image",
            "an image as a volume",
            &json!({ "name": "v", "image": { "reference": "example.com/data:1" } }),
        ),
    ];
    check_rows(&world, &node.name, rows).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_waits_for_a_kind_that_the_provider_does_not_take() -> Result<()> {
    let world = World::new("no-kinds").await?;
    let config = "config: { volumeKinds: [configMap] }\n";
    let node = world.node_with("node-no-kinds", NodeOptions { config, ..NodeOptions::default() }).await?;
    let refused = |name, sentence, volume: &Value, kind: &str| {
        let told = format!("the provider does not take volumes of kind {kind}");
        Row::new(name, sentence).spec(&of(volume)).api("/status/phase", json!("Pending")).event("FailedMount", &told)
    };
    let rows = vec![
        refused("empty-dir", "emptyDir is refused", &json!({ "name": "v", "emptyDir": {} }), "emptyDir"),
        refused(
            "host-path",
            "hostPath is refused",
            &json!({ "name": "v", "hostPath": { "path": "/data" } }),
            "hostPath",
        ),
        refused("secret", "secret is refused", &json!({ "name": "v", "secret": { "secretName": "s" } }), "secret"),
    ];
    check_rows(&world, &node.name, rows).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_takes_no_files_costs_no_token_and_no_secret() -> Result<()> {
    let world = World::new("no-files").await?;
    let config = "config: { volumeKinds: [] }\n";
    let node = world.node_with("node-no-files", NodeOptions { config, ..NodeOptions::default() }).await?;
    let mark = world.plane.audit().mark()?;
    let files = json!({ "name": "v", "secret": { "secretName": "login" } });
    let rows = vec![
        Row::new("usual", "a pod runs without the volume that every pod gets")
            .spec(&json!({ "automountServiceAccountToken": true }))
            .runs()
            .no_files("kube-api-access-*"),
        Row::new("wants-files", "one that asks for files by itself waits")
            .with(secret("login", &json!({ "user": "admin" })))
            .spec(&of(&files))
            .api("/status/phase", json!("Pending"))
            .event("FailedMount", "the provider does not take volumes of kind secret"),
    ];
    check_rows(&world, &node.name, rows).await?;
    let calls = world.plane.audit().since(&mark)?;
    let looked_up = by(&calls, &node.name)
        .filter(|call| call.resource == "secrets" || call.resource == "configmaps" || call.subresource == "token");
    let looked_up: Vec<_> = looked_up.collect();
    assert!(looked_up.is_empty(), "{:?}", tally(looked_up.iter().copied()));
    Ok(())
}
