//! The defects of the most used virtual kubelet (virtual-kubelet/virtual-kubelet at 7b1385b), each as a promise that pluglet keeps.
//!
//! | defect there | promise here |
//! |---|---|
//! | 1 a graceful delete lasts the whole grace period | `vk_defect_01_…` |
//! | 2 a delete missed by the watch leaks the pod | `vk_defect_02_…` |
//! | 3 a recreate under the same name looks like an update | `vk_defect_03_…` |
//! | 4 a pod that does not run yet is removed without telling the provider | `vk_defect_04_…` |
//! | 5 pods start before Secrets, ConfigMaps and Services are known | `vk_defect_05_…` |
//! | 6 an error of the status call leads to a second workload | `vk_defect_06_…` |
//! | 7 a provider that hangs looks healthy for ever | `vk_defect_07_…`; a loop inside it: `faults.rs`, `an_endless_loop_…` |
//! | 8 whole-object writes revert what others wrote | `vk_defect_08_…` |
//! | 9 a failed create changes the cached pod | `vk_defect_09_…` |
//! | 10 a resize loop spins on a closed channel until the exec returns | `vk_defect_10_…` |
//! | 11 an update of an unknown pod panics the process | `vk_defect_11_…` in `host/src/pods/dispatch/tests.rs` |
//! | 12 a container is terminated and running at once | `vk_defect_12_…` |
//! | 13 a flag that does nothing, documentation of what is gone | `vk_defect_13_…` in `host/src/args/tests.rs`; what flags do: `cli.rs` |
//! | 14 the shipped rights do not suffice | `kubelet/identity.rs`, `vk_defect_14_…` |

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};
use cluster::{
    Happened, History, Node, NodeOptions, Row, SOON, World, check_rows, condition, config_map, container, is_running,
    name, pod, revealing, secret, service, uid,
};
use controlplane::wait::{Answer, until};
use controlplane::{ControlPlane, Options};
use futures::SinkExt;
use k8s_openapi::api::core::v1::{ContainerState, Node as NodeObject, NodeCondition, Pod};
use kube::Api;
use kube::api::{AttachParams, Patch, PatchParams, TerminalSize};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Longer than any test: a pod that goes away under it did not wait it out.
const VERY_LONG: &str = "--grace-period=3600";

fn named<'a>(pods: &'a [Pod], wanted: &str) -> Option<&'a Pod> {
    pods.iter().find(|pod| name(pod) == wanted)
}

fn uids(node: &Node) -> Result<BTreeSet<String>> {
    Ok(node.workloads()?.into_iter().map(|workload| workload.uid).collect())
}

async fn provider_has(node: &Node, wanted: &[&str]) -> Result<()> {
    let wanted: BTreeSet<String> = wanted.iter().map(|uid| (*uid).to_owned()).collect();
    until("the provider to have exactly the pods of the API", SOON, async || {
        let has = uids(node)?;
        Ok(if has == wanted { Answer::Yes(()) } else { Answer::NotYet(format!("{has:?}, not {wanted:?}")) })
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vk_defect_01_a_graceful_delete_ends_when_the_containers_have_ended() -> Result<()> {
    let world = World::new("vk-01").await?;
    let node = world.node("node-vk-01").await?;
    world.apply(&pod(&node.name, "quick", &json!({}), "Always")).await?;
    world.until_pods("the pod to run", |pods| pods.iter().any(is_running)).await?;
    world.kubectl(&["delete", "pod", "quick", VERY_LONG, "--wait=false"]).await?;
    world.until_pods("the pod to be gone", <[_]>::is_empty).await?;
    Ok(())
}

/// The watch is broken by a new API server while pluglet is frozen, so that it sees nothing of the delete.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vk_defect_02_a_pod_deleted_while_the_watch_is_down_does_not_run_on() -> Result<()> {
    let plane: &'static ControlPlane = Box::leak(Box::new(ControlPlane::start(Options::default()).await?));
    let world = World::on(plane, "vk-02").await?;
    let node = world.node("node-vk-02").await?;
    for name in ["kept", "missed"] {
        world.apply(&pod(&node.name, name, &json!({}), "Always")).await?;
    }
    let pods = world.until_pods("both to run", |pods| pods.len() == 2 && pods.iter().all(is_running)).await?;
    let kept = named(&pods, "kept").map(uid).context("kept")?;
    node.freeze()?;
    plane.stop_apiserver()?;
    plane.start_apiserver().await?;
    world.kubectl(&["delete", "pod", "missed", "--force", "--grace-period=0"]).await?;
    node.thaw()?;
    provider_has(&node, &[kept]).await?;
    node.ready(&world.client).await?;
    world.until_pods("the other to run on", |pods| pods.len() == 1 && pods.iter().all(is_running)).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vk_defect_03_a_pod_of_the_same_name_is_another_pod_even_if_nobody_saw_the_first_go() -> Result<()> {
    let world = World::new("vk-03").await?;
    let mut node = world.node("node-vk-03").await?;
    let with = |color: &str| {
        let main = json!({ "name": "main", "image": "a", "env": [{ "name": "COLOR", "value": color }] });
        revealing(&node.name, "db-0", &json!({}), &json!({ "containers": [main] }))
    };
    let (first, second) = (with("red"), with("blue"));
    world.create(&[first]).await?;
    let before = world.until_pods("the first to run", |pods| pods.iter().any(is_running)).await?;
    node.kill()?;
    world.kubectl(&["delete", "pod", "db-0", "--force", "--grace-period=0"]).await?;
    world.create(&[second]).await?;
    node.restart()?;
    let after = world.until_pods("the second to run", |pods| pods.iter().any(is_running)).await?;
    ensure!(uid(&after[0]) != uid(&before[0]), "the API server has made no other pod");
    provider_has(&node, &[uid(&after[0])]).await?;
    let blue = |held: &Value| cluster::variable(held, "COLOR") == Some("blue");
    world.until_revealed("db-0", "the second pod's environment", blue).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vk_defect_04_a_pod_deleted_before_it_runs_is_gone_in_the_provider_before_its_object_is() -> Result<()> {
    let world = World::new("vk-04").await?;
    let node = world.node("node-vk-04").await?;
    let late = json!({ "mock.pluglet.dev/start-delay": "1h" });
    world.apply(&pod(&node.name, "late", &late, "Always")).await?;
    let pods = world.until_pods("the pod to be there", |pods| pods.len() == 1).await?;
    node.logged(&[uid(&pods[0]), "to=Running"]).await?;
    ensure!(uids(&node)?.contains(uid(&pods[0])), "the provider has taken the pod");
    world.kubectl(&["delete", "pod", "late", VERY_LONG, "--wait=false"]).await?;
    world.until_pods("the pod to be gone", <[_]>::is_empty).await?;
    // Not awaited: what the provider still had now, nobody would tell it about.
    assert_eq!(uids(&node)?, BTreeSet::new());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vk_defect_05_a_pod_that_waits_for_its_node_misses_nothing_when_the_node_comes() -> Result<()> {
    let world = World::new("vk-05").await?;
    let key = |kind: &str| json!({ kind: { "name": "early", "key": "color" } });
    let main = json!({ "name": "main", "image": "a", "env": [
        { "name": "A", "valueFrom": key("configMapKeyRef") }, { "name": "B", "valueFrom": key("secretKeyRef") } ] });
    let objects = [
        config_map("early", &json!({ "color": "red" })),
        secret("early", &json!({ "color": "blue" })),
        service("early", "None", &json!([{ "port": 80 }])),
        service("web", "10.0.0.13", &json!([{ "port": 80 }])),
        revealing("node-vk-05", "early", &json!({}), &json!({ "nodeName": "node-vk-05", "containers": [main] })),
    ];
    world.create(&objects).await?;
    let node = world.node("node-vk-05").await?;
    let row = Row::again("early", "a pod that was there before its node").runs().env_has(&[
        ("A", "red"),
        ("B", "blue"),
        ("WEB_SERVICE_HOST", "10.0.0.13"),
        ("KUBERNETES_SERVICE_HOST", "10.0.0.1"),
    ]);
    check_rows(&world, &node.name, vec![row]).await?;
    let warnings = world.events().await?.into_iter().filter(|event| event.type_.as_deref() == Some("Warning"));
    let about = warnings.filter(|event| event.involved_object.kind.as_deref() == Some("Pod"));
    let told: Vec<_> = about.map(|event| (event.reason, event.message)).collect();
    assert!(told.is_empty(), "nothing was ever missing: {told:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vk_defect_06_a_create_whose_answer_is_lost_makes_one_workload() -> Result<()> {
    let world = World::new("vk-06").await?;
    let node = world.node("node-vk-06").await?;
    let lost = json!({ "mock.pluglet.dev/create-lost-reply": "true" });
    world.create(&[revealing(&node.name, "twice-asked", &lost, &json!({}))]).await?;
    let pods = world.until_pods("the pod to run", |pods| pods.iter().any(is_running)).await?;
    provider_has(&node, &[uid(&pods[0])]).await?;
    let main = container(&pods[0], "main").context("its container")?;
    assert_eq!(main.restart_count, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vk_defect_07_a_provider_that_hangs_is_not_healthy_and_comes_back() -> Result<()> {
    let world = World::new("vk-07").await?;
    let config = "limits: { cpuStall: 1s }\n";
    let flags = vec!["--provider-tolerance".to_owned(), "0s".to_owned()];
    let node = world.node_with("node-vk-07", NodeOptions { config, flags, ..NodeOptions::default() }).await?;
    let mut history = History::begin(Api::<NodeObject>::all(world.client.clone()), Some(&node.name)).await?;
    world.apply(&pod(&node.name, "hang", &json!({ "mock.pluglet.dev/fault": "spin" }), "Always")).await?;
    history
        .until("the node to say that its provider is away", |happened| {
            let Happened::Applied(object) = happened else { bail!("the node was deleted") };
            let conditions = object.status.and_then(|status| status.conditions).unwrap_or_default();
            let unready = |condition: &&NodeCondition| condition.type_ == "Ready" && condition.status == "False";
            Ok(conditions.iter().find(unready).cloned())
        })
        .await?;
    world.kubectl(&["delete", "pod", "hang", "--force", "--grace-period=0"]).await?;
    node.ready(&world.client).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vk_defect_08_what_others_write_on_a_pod_stays() -> Result<()> {
    let world = World::new("vk-08").await?;
    let node = world.node("node-vk-08").await?;
    world.apply(&pod(&node.name, "shared", &json!({}), "Always")).await?;
    world.until_pods("the pod to run", |pods| pods.iter().any(is_running)).await?;
    let ours = json!({ "metadata": { "labels": { "team": "blue" }, "annotations": { "example.com/note": "mine" },
                                     "finalizers": ["example.com/hold"] } });
    world.pods().patch("shared", &PatchParams::default(), &Patch::Merge(ours)).await?;
    let condition_of_others = json!({ "status": { "conditions": [
        { "type": "example.com/checked", "status": "True", "reason": "Test", "message": "by a test" }] } });
    world.pods().patch_status("shared", &PatchParams::default(), &Patch::Strategic(condition_of_others)).await?;
    // Makes pluglet write: a restart of the container, then the end.
    world.kubectl(&["set", "image", "pod/shared", "main=example.com/main:2"]).await?;
    let restarted = |pod: &Pod| container(pod, "main").is_some_and(|main| main.restart_count == 1);
    world.until_pods("the container to be restarted", |pods| pods.iter().any(restarted)).await?;
    world.kubectl(&["delete", "pod", "shared", "--wait=false"]).await?;
    let ended = |pod: &Pod| cluster::phase(pod) == "Succeeded";
    let pods = world.until_pods("the pod to have ended", |pods| pods.iter().any(ended)).await?;
    let metadata = &pods[0].metadata;
    let has = |map: &Option<std::collections::BTreeMap<String, String>>, key: &str| map.as_ref()?.get(key).cloned();
    assert_eq!(has(&metadata.labels, "team").as_deref(), Some("blue"));
    assert_eq!(has(&metadata.annotations, "example.com/note").as_deref(), Some("mine"));
    assert_eq!(metadata.finalizers, Some(vec!["example.com/hold".to_owned()]));
    let theirs = condition(&pods[0], "example.com/checked").context("the condition of another writer")?;
    assert_eq!((theirs.status.as_str(), theirs.message.as_deref()), ("True", Some("by a test")));
    let freed = json!({ "metadata": { "finalizers": null } });
    world.pods().patch("shared", &PatchParams::default(), &Patch::Merge(freed)).await?;
    world.until_pods("the pod to be gone", <[_]>::is_empty).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vk_defect_09_a_create_that_failed_twice_hands_over_the_same_pod_the_third_time() -> Result<()> {
    let world = World::new("vk-09").await?;
    let node = world.node("node-vk-09").await?;
    let fails = json!({ "mock.pluglet.dev/create-error": "unavailable", "mock.pluglet.dev/create-error-times": "2" });
    let row = Row::new("third-time", "what a failed create was given is given again, unchanged")
        .with(config_map("settings", &json!({ "color": "red" })))
        .annotations(&fails)
        .spec(
            &json!({ "enableServiceLinks": false, "volumes": [{ "name": "v", "configMap": { "name": "settings" } }] }),
        )
        .main(&json!({ "env": [{ "name": "A", "value": "a" }, { "name": "B", "value": "$(A)b" }], "args": ["$(B)"] }))
        .runs()
        .env(&[("A", "a"), ("B", "ab")])
        .held("/args", json!(["ab"]))
        .held("/calls/create", json!(1))
        .files("v", json!([{ "path": "color", "mode": "0644", "text": "red" }]))
        .event("ProviderUnavailable", "");
    check_rows(&world, &node.name, vec![row]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vk_defect_10_a_terminal_whose_sizes_end_keeps_its_last_one() -> Result<()> {
    let world = World::new("vk-10").await?;
    let node = world.node("node-vk-10").await?;
    world.apply(&pod(&node.name, "shell", &json!({}), "Always")).await?;
    world.until_pods("the pod to run", |pods| pods.iter().any(is_running)).await?;
    let mut process = world.pods().exec("shell", ["sh"], &AttachParams::interactive_tty()).await?;
    let mut sizes = process.terminal_size().context("a terminal")?;
    let (mut stdin, mut stdout) = (process.stdin().context("stdin")?, process.stdout().context("stdout")?);
    let mut heard = String::new();
    for (width, height) in [(80, 24), (100, 40)] {
        sizes.send(TerminalSize { width, height }).await?;
        ask_size(&mut stdin, &mut stdout, &mut heard, &format!("{height} {width}\n")).await?;
    }
    // Nobody tells sizes any more.
    drop(sizes);
    heard.clear();
    ask_size(&mut stdin, &mut stdout, &mut heard, "40 100\n").await?;
    stdin.write_all(b"exit 7\r").await?;
    let status = tokio::time::timeout(SOON, process.take_status().context("status")?).await?.context("an end")?;
    assert_eq!(status.reason.as_deref(), Some("NonZeroExitCode"), "{status:?}");
    Ok(())
}

/// Asks the shell how large its terminal is, until it answers so: sizes and what is typed travel side by side.
async fn ask_size(
    stdin: &mut (impl AsyncWrite + Unpin),
    stdout: &mut (impl AsyncRead + Unpin),
    heard: &mut String,
    wanted: &str,
) -> Result<()> {
    let mut buffer = [0; 1024];
    let asked = async {
        stdin.write_all(b"stty size\r").await?;
        loop {
            let read = stdout.read(&mut buffer).await?;
            ensure!(read > 0, "the shell has ended: {heard:?}");
            heard.push_str(&String::from_utf8_lossy(buffer.get(..read).unwrap_or_default()));
            if heard.contains(wanted) {
                return Ok(());
            }
            // An answer, and not this one.
            if heard.ends_with("$ ") {
                heard.clear();
                stdin.write_all(b"stty size\r").await?;
            }
        }
    };
    tokio::time::timeout(SOON, asked).await.with_context(|| format!("no {wanted:?}"))?
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vk_defect_12_a_container_is_in_one_state_at_a_time_all_its_life() -> Result<()> {
    let world = World::new("vk-12").await?;
    let node = world.node("node-vk-12").await?;
    let mut history = History::begin(world.pods(), None).await?;
    let script = json!({ "mock.pluglet.dev/start-delay": "500ms", "mock.pluglet.dev/run-for": "500ms" });
    world.apply(&pod(&node.name, "busy", &script, "Always")).await?;
    let looping = |pod: &Pod| format!("{:?}", container(pod, "main")).contains("CrashLoopBackOff");
    world.until_pods("the container to be restarted and to wait", |pods| pods.iter().any(looping)).await?;
    world.kubectl(&["delete", "pod", "busy", "--wait=false"]).await?;
    let mut states = vec![];
    history
        .until("the pod's end", |happened| {
            let (Happened::Applied(pod) | Happened::Deleted(pod)) = happened;
            let status = pod.status.clone().unwrap_or_default();
            for container in status.container_statuses.iter().flatten() {
                let state = container.state.clone().unwrap_or_default();
                ensure!(members(&state) == 1, "{state:?}");
                states.push(state);
            }
            Ok(["Succeeded", "Failed"].contains(&cluster::phase(&pod)).then_some(()))
        })
        .await?;
    assert!(
        states.iter().any(|state| state.running.is_some()) && states.iter().any(|state| state.terminated.is_some())
    );
    Ok(())
}

fn members(state: &ContainerState) -> usize {
    usize::from(state.waiting.is_some())
        + usize::from(state.running.is_some())
        + usize::from(state.terminated.is_some())
}
