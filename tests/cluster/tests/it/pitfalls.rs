//! What is easily got wrong about a pod's life, each by its number in our notes on the kubelet's protocols.
//!
//! | pitfall | shown by |
//! |---|---|
//! | 27 a provider that is away makes the node NotReady, and Kubernetes evicts its pods | `pitfall_27_…` |
//! | 28 deleting the Node deletes its pods | `pitfall_28_…` |
//! | 29 a DaemonSet makes a new pod for each that is rejected, for ever | `pitfall_29_…` |
//! | 30 the terminal status comes before the delete | `pitfall_30_…`; for Jobs: `controllers.rs`, `a_job_completes_…` |
//! | 31 a delete without the UID hits the next pod of that name | `pitfall_31_…`; for StatefulSets: `controllers.rs` |
//! | 32 a terminal phase is final | `pitfall_32_…` |
//! | 33 `observedGeneration` in status and conditions | `pitfall_33_…` |
//! | 34 a resize that nobody answers | `pitfall_34_…` |
//! | 35 names of variables are not filtered | `pitfall_35_…` |
//! | 36 no pod before the Services are known | `pitfall_36_…` |

use anyhow::{Context, Result, bail, ensure};
use cluster::{
    Happened, History, NodeOptions, Row, SOON, World, check_rows, condition, config_map, is_running, name, phase, pod,
    revealing, uid,
};
use controlplane::wait::{Answer, until};
use k8s_openapi::api::core::v1::{Node as NodeObject, Pod};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

fn named<'a>(pods: &'a [Pod], wanted: &str) -> Option<&'a Pod> {
    pods.iter().find(|pod| name(pod) == wanted)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pitfall_27_a_node_whose_provider_is_away_stays_ready() -> Result<()> {
    let world = World::new("pitfall-27").await?;
    let node = world.node("node-pitfall-27").await?;
    let mut history = History::begin(Api::<NodeObject>::all(world.client.clone()), Some(&node.name)).await?;
    world.apply(&pod(&node.name, "good", &json!({}), "Always")).await?;
    world.until_pods("the pod to run", |pods| pods.iter().any(is_running)).await?;
    world.apply(&pod(&node.name, "bad", &json!({ "mock.pluglet.dev/fault": "trap" }), "Always")).await?;
    node.logged(&["the provider is down"]).await?;
    let crashed = |pods: &[Pod]| format!("{:?}", named(pods, "bad")).contains("ProviderCrashed");
    let pods = world.until_pods("the bad pod to show why it does not run", crashed).await?;
    assert!(named(&pods, "good").is_some_and(is_running), "the good one runs on");
    // The last thing that happens to the node in this test: everything before it has been seen by then.
    world.kubectl(&["label", "node", &node.name, "example.com/end=true"]).await?;
    history
        .until("the label", |happened| {
            let Happened::Applied(object) = happened else { bail!("the node was deleted") };
            let conditions = object.status.and_then(|status| status.conditions).unwrap_or_default();
            let ready = conditions.iter().find(|condition| condition.type_ == "Ready");
            ensure!(ready.is_some_and(|ready| ready.status == "True"), "the node was not ready: {ready:?}");
            Ok(object.metadata.labels.and_then(|labels| labels.get("example.com/end").cloned()))
        })
        .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pitfall_28_the_pods_of_a_node_that_was_deleted_run_on() -> Result<()> {
    let world = World::new("pitfall-28").await?;
    let node = world.node("node-pitfall-28").await?;
    for index in 0..3 {
        world.apply(&pod(&node.name, &format!("pod-{index}"), &json!({}), "Always")).await?;
    }
    let before = world.until_pods("3 pods to run", |pods| pods.len() == 3 && pods.iter().all(is_running)).await?;
    let nodes = Api::<NodeObject>::all(world.client.clone());
    let old = nodes.get(&node.name).await?.metadata.uid;
    world.kubectl(&["delete", "node", &node.name]).await?;
    until("the node to be there again", SOON, async || {
        let now = nodes.get_opt(&node.name).await?.and_then(|node| node.metadata.uid);
        Ok(if now.is_some() && now != old { Answer::Yes(()) } else { Answer::NotYet(format!("{now:?}")) })
    })
    .await?;
    node.ready(&world.client).await?;
    // The node takes new ones, and the old ones are the same.
    world.apply(&pod(&node.name, "late", &json!({}), "Always")).await?;
    let after = world.until_pods("4 pods to run", |pods| pods.len() == 4 && pods.iter().all(is_running)).await?;
    for pod in &before {
        assert_eq!(named(&after, name(pod)).map(uid), Some(uid(pod)), "{} was made anew", name(pod));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pitfall_29_a_daemon_pod_that_does_not_fit_waits_and_is_not_made_again_and_again() -> Result<()> {
    let world = World::new("pitfall-29").await?;
    let config = "config: { cpu: \"2\" }\n";
    let node = world.node_with("node-pitfall-29", NodeOptions { config, ..NodeOptions::default() }).await?;
    world.create(&[daemon_set(&node.name, "fits", "100m"), daemon_set(&node.name, "too-large", "3")]).await?;
    let of = |pods: &[Pod], app: &str| pods.iter().find(|pod| name(pod).starts_with(app)).cloned();
    let both = |pods: &[Pod]| of(pods, "fits").is_some_and(|pod| is_running(&pod)) && of(pods, "too-large").is_some();
    let pods = world.until_pods("the pod that fits to run", both).await?;
    let large = of(&pods, "too-large").context("the pod that does not fit")?;
    let told = "Node didn't have enough resource: cpu, requested: 3000, used: ";
    world.until_event(uid(&large), "OutOfcpu", told).await?;
    let pods = world.pods().list(&kube::api::ListParams::default()).await?.items;
    let seen: Vec<(&str, &str)> =
        pods.iter().filter(|pod| name(pod).starts_with("too-large")).map(|pod| (uid(pod), phase(pod))).collect();
    assert_eq!(seen, [(uid(&large), "Pending")], "it waits, and no other was made");
    Ok(())
}

/// By node name, past the scheduler: it would keep what does not fit.
fn daemon_set(node: &str, name: &str, cpu: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": { "name": name },
        "spec": { "selector": { "matchLabels": { "app": name } }, "template": {
            "metadata": { "labels": { "app": name } },
            "spec": { "nodeName": node, "tolerations": [{ "operator": "Exists" }], "automountServiceAccountToken": false,
                      "containers": [{ "name": "main", "image": "example.com/main:1",
                                       "resources": { "requests": { "cpu": cpu } } }] },
        } },
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pitfall_30_the_last_that_is_seen_of_a_pod_is_its_terminal_status() -> Result<()> {
    let world = World::new("pitfall-30").await?;
    let node = world.node("node-pitfall-30").await?;
    let mut history = History::begin(world.pods(), None).await?;
    let with_init = json!({ "initContainers": [{ "name": "setup", "image": "a" }] });
    world.create(&[revealing(&node.name, "web", &json!({}), &with_init)]).await?;
    world.until_pods("the pod to run", |pods| pods.iter().any(is_running)).await?;
    world.kubectl(&["delete", "pod", "web", "--wait=false"]).await?;
    let last = history
        .until("the pod to be deleted", |happened| {
            Ok(match happened {
                Happened::Deleted(pod) => Some(pod),
                Happened::Applied(_) => None,
            })
        })
        .await?;
    assert_eq!(phase(&last), "Succeeded", "restartPolicy Always, stopped with code 0");
    let status = last.status.context("a status")?;
    let all = [status.container_statuses, status.init_container_statuses];
    for container in all.into_iter().flatten().flatten() {
        let ended = container.state.and_then(|state| state.terminated);
        assert_eq!(ended.map(|ended| ended.exit_code), Some(0), "{}", container.name);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pitfall_31_the_end_of_a_pod_does_not_touch_the_next_of_its_name() -> Result<()> {
    let world = World::new("pitfall-31").await?;
    let node = world.node("node-pitfall-31").await?;
    // It takes its time to stop, so its successor runs before it is done.
    let slow = json!({ "mock.pluglet.dev/delete-delay": "3s" });
    world.create(&[revealing(&node.name, "db-0", &slow, &json!({}))]).await?;
    let first = world.until_pods("the first to run", |pods| pods.iter().any(is_running)).await?;
    let first = uid(&first[0]).to_owned();
    node.freeze()?;
    world.kubectl(&["delete", "pod", "db-0", "--force", "--grace-period=0"]).await?;
    world.create(&[revealing(&node.name, "db-0", &slow, &json!({}))]).await?;
    node.thaw()?;
    let is_second = |pod: &Pod| uid(pod) != first && is_running(pod);
    let second = world.until_pods("the second to run", |pods| pods.iter().any(is_second)).await?;
    node.logged(&[&first, "gone"]).await?;
    let now = world.pod("db-0").await?;
    assert_eq!((uid(&now), phase(&now)), (uid(&second[0]), "Running"));
    assert!(now.metadata.deletion_timestamp.is_none());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pitfall_32_a_pod_that_has_failed_never_runs_again_whatever_its_provider_says() -> Result<()> {
    let world = World::new("pitfall-32").await?;
    let node = world.node("node-pitfall-32").await?;
    let wrong = json!({ "mock.pluglet.dev/run-for": "300ms", "mock.pluglet.dev/exit-code": "1",
                        "mock.pluglet.dev/status-wrong": "running-after-end" });
    world.create(&[pod(&node.name, "risen", &wrong, "Never")]).await?;
    let failed = |pod: &Pod| phase(pod) == "Failed";
    let pods = world.until_pods("the pod to fail", |pods| pods.iter().any(failed)).await?;
    node.logged(&["ignoring a report of life from a pod that has ended", "risen"]).await?;
    // A pod of today: when it runs, what was reported before it has been looked at.
    world.create(&[pod(&node.name, "canary", &json!({}), "Always")]).await?;
    world.until_pods("the canary to run", |pods| named(pods, "canary").is_some_and(is_running)).await?;
    let now = world.pod("risen").await?;
    assert_eq!((phase(&now), uid(&now)), ("Failed", uid(&pods[0])));
    let main = cluster::container(&now, "main").and_then(|main| main.state.clone()).context("its container's state")?;
    assert!(main.terminated.is_some(), "{main:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pitfall_33_a_new_generation_is_observed_in_the_status_and_in_every_condition() -> Result<()> {
    let world = World::new("pitfall-33").await?;
    let node = world.node("node-pitfall-33").await?;
    world.create(&[pod(&node.name, "web", &json!({}), "Always")]).await?;
    world.until_pods("the pod to run", |pods| pods.iter().any(is_running)).await?;
    // Ephemeral containers are the change that tools wait for most.
    let debugger =
        json!({ "spec": { "ephemeralContainers": [{ "name": "debugger", "image": "example.com/debug:1" }] } });
    world.pods().patch_ephemeral_containers("web", &PatchParams::default(), &Patch::Strategic(debugger)).await?;
    let observed = |pod: &Pod| {
        let status = pod.status.as_ref();
        let ours = ["PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready"];
        let conditions = ours.map(|type_| condition(pod, type_).and_then(|condition| condition.observed_generation));
        pod.metadata.generation == Some(2)
            && status.and_then(|status| status.observed_generation) == Some(2)
            && conditions == [Some(2); 4]
    };
    let pods = world.until_pods("generation 2 to be observed", |pods| pods.iter().any(observed)).await?;
    let ephemeral = pods[0].status.as_ref().and_then(|status| status.ephemeral_container_statuses.as_ref());
    let debugger = ephemeral.and_then(|all| all.first()).context("a status of the ephemeral container")?;
    assert_eq!(debugger.name, "debugger");
    assert!(is_running(&pods[0]), "it does not count for the phase");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pitfall_34_a_resize_that_the_provider_cannot_do_is_answered_as_infeasible() -> Result<()> {
    let world = World::new("pitfall-34").await?;
    let config = "config: { features: { update: false } }\n";
    let node = world.node_with("node-pitfall-34", NodeOptions { config, ..NodeOptions::default() }).await?;
    let resources = json!({ "requests": { "cpu": "100m" }, "limits": { "cpu": "200m" } });
    let main = json!({ "name": "main", "image": "a", "resources": resources });
    world.create(&[revealing(&node.name, "web", &json!({}), &json!({ "containers": [main] }))]).await?;
    world.until_pods("the pod to run", |pods| pods.iter().any(is_running)).await?;
    let larger =
        json!({ "spec": { "containers": [{ "name": "main", "resources": { "requests": { "cpu": "150m" } } }] } });
    world.kubectl(&["patch", "pod", "web", "--subresource=resize", "--patch", &larger.to_string()]).await?;
    let answered = |pod: &Pod| {
        condition(pod, "PodResizePending").is_some_and(|pending| {
            let infeasible = pending.status == "True" && pending.reason.as_deref() == Some("Infeasible");
            infeasible && pending.observed_generation == Some(2)
        })
    };
    let pods = world.until_pods("the resize to be answered", |pods| pods.iter().any(answered)).await?;
    assert!(is_running(&pods[0]), "the pod runs on as it was");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pitfall_35_a_key_with_dots_and_dashes_becomes_a_variable() -> Result<()> {
    let world = World::new("pitfall-35").await?;
    let node = world.node("node-pitfall-35").await?;
    let row = Row::new("odd", "no key is skipped for its name")
        .with(config_map("odd", &json!({ "app.properties": "a=b", "log-level": "debug", "1st": "one" })))
        .spec(&json!({ "enableServiceLinks": false }))
        .main(&json!({ "envFrom": [{ "configMapRef": { "name": "odd" } }] }))
        .runs()
        .env(&[("app.properties", "a=b"), ("log-level", "debug"), ("1st", "one")]);
    check_rows(&world, &node.name, vec![row]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pitfall_36_after_a_restart_no_pod_misses_the_services() -> Result<()> {
    let world = World::new("pitfall-36").await?;
    let mut node = world.node("node-pitfall-36").await?;
    node.kill()?;
    // Bound while nobody is there: the first things that the new process sees.
    let names = ["early-1", "early-2", "early-3", "early-4", "early-5"];
    let pods = names.map(|name| revealing(&node.name, name, &json!({}), &json!({ "nodeName": node.name })));
    world.create(&pods).await?;
    node.restart()?;
    let rows = names.map(|name| {
        Row::again(name, "it knows where the API server is")
            .runs()
            .env_has(&[("KUBERNETES_SERVICE_HOST", "10.0.0.1"), ("KUBERNETES_SERVICE_PORT", "443")])
    });
    check_rows(&world, &node.name, rows.into()).await
}
