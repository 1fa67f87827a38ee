//! Deletion in every situation: what the provider is told, what the API shows, and that nothing is left behind.
//!
//! `tests/it/deletion.rs` has the usual case and what it costs; same names are in `pitfalls.rs` (31) and `controllers.rs`.

use anyhow::{Context, Result};
use cluster::{Node, World, is_running, name, phase, revealing, uid};
use controlplane::wait::{Answer, until};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

/// Longer than any test: a pod that goes away under it did not wait it out.
const VERY_LONG: &str = "--grace-period=3600";

fn named<'a>(pods: &'a [Pod], wanted: &str) -> Option<&'a Pod> {
    pods.iter().find(|pod| name(pod) == wanted)
}

fn none_named(wanted: &str) -> impl Fn(&[Pod]) -> bool {
    move |pods| named(pods, wanted).is_none()
}

/// Makes pods and waits until all of them run.
async fn running(world: &World, pods: &[Value]) -> Result<Vec<Pod>> {
    world.create(pods).await?;
    world.until_pods("the pods to run", |seen| seen.len() == pods.len() && seen.iter().all(is_running)).await
}

/// The provider has exactly these pods, by name.
async fn provider_has(node: &Node, wanted: &[&str]) -> Result<()> {
    until(&format!("the provider to have {wanted:?}"), cluster::SOON, async || {
        let mut names: Vec<String> = node.workloads()?.into_iter().map(|workload| workload.name).collect();
        names.sort();
        Ok(if names == wanted { Answer::Yes(()) } else { Answer::NotYet(format!("{names:?}")) })
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_shorter_grace_period_counts_and_zero_means_now() -> Result<()> {
    let world = World::new("grace").await?;
    let node = world.node("node-grace").await?;
    let slow = json!({ "mock.pluglet.dev/delete-delay": "1h" });
    let pods = [("shortened", &slow), ("forced", &slow), ("kept", &slow)];
    let pods = pods.map(|(name, script)| revealing(&node.name, name, script, &json!({})));
    running(&world, &pods).await?;
    for name in ["shortened", "forced"] {
        world.kubectl(&["delete", "pod", name, VERY_LONG, "--wait=false"]).await?;
    }
    let marked = |pods: &[Pod]| {
        let deleted = |name: &str| named(pods, name).is_some_and(|pod| pod.metadata.deletion_timestamp.is_some());
        deleted("shortened") && deleted("forced")
    };
    let pods = world.until_pods("both to be marked", marked).await?;
    let forced = named(&pods, "forced").map(uid).context("the pod")?.to_owned();
    node.logged(&[&forced, "to=Stopping"]).await?;

    world.kubectl(&["delete", "pod", "shortened", "--grace-period=1", "--wait=false"]).await?;
    world.until_pods("the one with a shorter grace period to be gone", none_named("shortened")).await?;
    world.kubectl(&["delete", "pod", "forced", "--grace-period=0", "--force"]).await?;
    node.logged(&[&forced, "gone"]).await?;
    provider_has(&node, &["kept"]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_that_do_not_run_yet_are_deleted_in_the_provider_too() -> Result<()> {
    let world = World::new("early").await?;
    let node = world.node("node-early").await?;
    let script = |key: &str, value: &str| json!({ format!("mock.pluglet.dev/{key}"): value });
    let waiting = json!({ "containers": [{ "name": "main", "image": "a",
                          "envFrom": [{ "configMapRef": { "name": "never" } }] }] });
    let pods = [
        revealing(&node.name, "starting", &script("start-delay", "1h"), &json!({})),
        revealing(&node.name, "creating", &script("create-delay", "5s"), &json!({})),
        revealing(&node.name, "refused", &script("create-error", "unavailable"), &json!({})),
        revealing(&node.name, "waiting", &json!({}), &waiting),
    ];
    world.create(&pods).await?;
    let pods = world.until_pods("all to be known", |pods| pods.len() == 4).await?;
    let uid_of = |wanted: &str| named(&pods, wanted).map(uid).unwrap_or_default();
    node.logged(&[uid_of("creating"), "to=Creating"]).await?;
    node.logged(&[uid_of("starting"), "to=Running"]).await?;
    world.until_event(uid_of("refused"), "ProviderUnavailable", "").await?;
    let waits = |pods: &[Pod]| format!("{:?}", named(pods, "waiting")).contains("CreateContainerConfigError");
    world.until_pods("one to wait for a ConfigMap", waits).await?;

    world.kubectl(&["delete", "pods", "--all", VERY_LONG, "--wait=false"]).await?;
    world.until_pods("all to be gone", <[_]>::is_empty).await?;
    provider_has(&node, &[]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_fails_to_delete_is_asked_until_it_does_and_an_event_tells() -> Result<()> {
    let world = World::new("stubborn").await?;
    let node = world.node("node-stubborn").await?;
    let failing = json!({ "mock.pluglet.dev/delete-error": "unavailable", "mock.pluglet.dev/delete-error-times": "3" });
    let slow = json!({ "mock.pluglet.dev/delete-call-delay": "2s", "mock.pluglet.dev/delete-delay": "2s" });
    let pods = [("failing", &failing), ("slow", &slow)];
    let pods = pods.map(|(name, script)| revealing(&node.name, name, script, &json!({})));
    let pods = running(&world, &pods).await?;
    world.kubectl(&["delete", "pods", "--all", "--wait=false"]).await?;
    let failing = named(&pods, "failing").map(uid).context("the pod")?;
    world.until_event(failing, "ProviderUnavailable", "").await?;
    world.until_pods("both to be gone", <[_]>::is_empty).await?;
    provider_has(&node, &[]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finalizer_keeps_the_object_and_not_the_workload_and_is_not_fought() -> Result<()> {
    let world = World::new("finalizer").await?;
    let node = world.node("node-finalizer").await?;
    let mut held = revealing(&node.name, "held", &json!({}), &json!({}));
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    running(&world, &[held]).await?;
    let mark = world.plane.audit().mark()?;
    world.kubectl(&["delete", "pod", "held", "--wait=false"]).await?;
    let ended = |pods: &[Pod]| named(pods, "held").is_some_and(|pod| phase(pod) == "Succeeded");
    world.until_pods("the pod to have ended", ended).await?;
    provider_has(&node, &[]).await?;
    // Another pod's whole life: who fights would have done so by then.
    world.create(&[revealing(&node.name, "other", &json!({}), &json!({}))]).await?;
    world.until_pods("another pod to run", |pods| named(pods, "other").is_some_and(is_running)).await?;
    world.kubectl(&["delete", "pod", "other"]).await?;

    let calls = world.plane.audit().since(&mark)?;
    // The write that made it Running may be told after the mark.
    let deletion = calls.iter().filter(|call| call.name == "held" && call.verb == "delete");
    let deletion = deletion.map(|call| call.received).min().context("the deletion")?;
    let of_it = cluster::by(&calls, &node.name)
        .filter(|call| call.name == "held" && call.is_write() && call.received > deletion);
    let kinds: Vec<String> = of_it.map(controlplane::Call::kind).collect();
    assert_eq!(kinds, ["patch pods/status 200", "delete pods 200"], "one terminal status, one delete");
    let freed = json!({ "metadata": { "finalizers": null } });
    world.pods().patch("held", &PatchParams::default(), &Patch::Merge(freed)).await?;
    world.until_pods("the pod to be gone", <[_]>::is_empty).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hooks_and_grace_reach_the_provider_with_the_pod() -> Result<()> {
    let world = World::new("hooks").await?;
    let node = world.node("node-hooks").await?;
    let hook = json!({ "exec": { "command": ["/bin/sh", "-c", "nginx -s quit"] } });
    let main = json!({ "name": "main", "image": "a", "lifecycle": { "preStop": hook } });
    let pod = revealing(&node.name, "web", &json!({}), &json!({ "containers": [main] }));
    running(&world, &[pod]).await?;
    let held = world.until_revealed("web", "its preStop hook", |held| held["preStop"] == hook).await?;
    assert_eq!(held["generation"], json!(1), "{held}");
    Ok(())
}
