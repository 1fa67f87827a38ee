//! A provider that attacks, on a real control plane: what it says about others, and what they feel of it.

use anyhow::{Context, Result};
use cluster::{NodeOptions, World, is_running, pod, uid};
use controlplane::wait::{Answer, until};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Event, Node as NodeObject};
use kube::Api;
use serde_json::{Value, json};

/// A provider that makes up pods in its list, and facts about its node.
const LIAR: &str = r#"
config:
  node:
    capacity: { cpu: "16", memory: 64Gi, pods: "110", "bad name": "1", ephemeral-storage: a lot }
    labels: { node-role.kubernetes.io/control-plane: "", example.com/pool: spot }
  listExtra:
  - { uid: made-up, namespace: kube-system, name: dns, status: { phase: Running } }
limits: { events: 20 }
"#;

/// A pod that makes the provider do these things.
fn plot(node: &str, name: &str, instructions: &Value) -> Value {
    pod(node, name, &json!({ "hostile.pluglet.dev/do": instructions.to_string() }), "Always")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lies_about_pods_that_it_was_never_given_change_nothing() -> Result<()> {
    let world = World::new("lies").await?;
    let honest = world.node("node-lies-honest").await?;
    let options = NodeOptions { provider: "hostile", config: LIAR, ..NodeOptions::default() };
    let liar = world.node_with("node-lies-hostile", options).await?;
    world.apply(&pod(&honest.name, "victim", &json!({}), "Always")).await?;
    let pods = world.until_pods("the victim to run", |pods| pods.iter().any(is_running)).await?;
    let victim = pods.first().context("the victim")?.clone();

    let about =
        |op: &str| json!({ "op": op, "uid": uid(&victim), "namespace": world.namespace.name(), "name": "victim" });
    let with = |mut value: Value, more: Value| {
        let (Some(fields), Value::Object(more)) = (value.as_object_mut(), more) else { return value };
        fields.extend(more);
        value
    };
    let lies = json!([
        with(about("status"), json!({ "phase": "Failed", "message": "forged" })),
        with(about("podEvent"), json!({ "reason": "Forged", "message": "forged" })),
        with(about("podEvent"), json!({ "reason": "Forged", "message": "forged", "n": 5000 })),
        with(about("status"), json!({ "phase": "Failed", "n": 5000 })),
        about("gone"),
        { "op": "status", "uid": "made-up", "namespace": "kube-system", "name": "dns", "phase": "Running", "n": 5000 },
        { "op": "resync", "n": 100 },
    ]);
    world.apply(&plot(&liar.name, "liar", &lies)).await?;
    let ran = |name: &'static str| {
        move |pods: &[k8s_openapi::api::core::v1::Pod]| {
            pods.iter().any(|pod| pod.metadata.name.as_deref() == Some(name) && is_running(pod))
        }
    };
    world.until_pods("the liar to run", ran("liar")).await?;
    // Its status event comes after all the lies: when it is here, they have been heard.
    world.apply(&pod(&liar.name, "after", &json!({}), "Always")).await?;
    let pods = world.until_pods("a pod after that to run", ran("after")).await?;

    let now = pods.iter().find(|pod| uid(pod) == uid(&victim)).context("the victim")?;
    assert_eq!(now.metadata.resource_version, victim.metadata.resource_version, "somebody wrote the victim: {now:?}");
    let events = Api::<Event>::all(world.client.clone()).list(&kube::api::ListParams::default()).await?;
    let forged: Vec<_> = events.iter().filter(|event| event.reason.as_deref() == Some("Forged")).collect();
    assert!(forged.is_empty(), "{forged:?}");
    let node = Api::<NodeObject>::all(world.client.clone()).get(&liar.name).await?;
    let labels = node.metadata.labels.unwrap_or_default();
    assert!(!labels.keys().any(|key| key.starts_with("node-role")), "{labels:?}");
    assert_eq!(labels.get("example.com/pool").map(String::as_str), Some("spot"));
    let capacity = node.status.and_then(|status| status.capacity).unwrap_or_default();
    assert!(capacity.contains_key("cpu") && !capacity.contains_key("ephemeral-storage"), "{capacity:?}");
    liar.logged(&["a node cannot have", "node-role"]).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_heartbeat_renews_and_others_start_while_the_provider_attacks() -> Result<()> {
    let world = World::new("attacks").await?;
    let config = "limits: { memory: 64Mi, cpuStall: 1s }\n";
    let options = NodeOptions { provider: "hostile", config, ..NodeOptions::default() };
    let node = world.node_with("node-attacks", options).await?;
    let attacks = [
        ("spin", json!([{ "op": "spin" }])),
        ("burn", json!([{ "op": "busy", "ms": 60_000 }])),
        ("bomb", json!([{ "op": "memoryBomb" }])),
        ("trap", json!([{ "op": "unreachable" }])),
        ("flood", json!([{ "op": "logFlood", "bytes": 200_000_000, "lineBytes": 1000, "to": "stdout" }])),
        ("leak", json!([{ "op": "leakStreams", "n": 1_000_000 }])),
    ];
    for (name, instructions) in &attacks {
        world.apply(&plot(&node.name, name, instructions)).await?;
    }
    node.logged(&["the provider is down"]).await?;
    let leases = Api::<Lease>::namespaced(world.client.clone(), "kube-node-lease");
    let renewed = async || {
        let lease = leases.get(&node.name).await?;
        anyhow::Ok(lease.spec.and_then(|spec| spec.renew_time))
    };
    // Two renewals at least: the second was begun under attack.
    for _ in 0..2 {
        let before = renewed().await?;
        until("the lease to be renewed", cluster::SOON, async || {
            let now = renewed().await?;
            Ok(if now > before { Answer::Yes(()) } else { Answer::NotYet(format!("{now:?}")) })
        })
        .await?;
    }
    // The culprits are found one by one; then those that do nothing bad run.
    world.apply(&pod(&node.name, "good", &json!({}), "Always")).await?;
    world
        .until_pods("a well-behaved pod to run", |pods| {
            pods.iter().any(|pod| pod.metadata.name.as_deref() == Some("good") && is_running(pod))
        })
        .await?;
    Ok(())
}
