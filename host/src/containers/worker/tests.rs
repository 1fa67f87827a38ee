//! Workers above an engine of the test's own, which does as it is told, on a clock that jumps to what is waited for.

mod engine;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodStatus};
use pluglet_model::provider::ProviderEvent;
use pluglet_model::{PodKey, PodPlan};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::*;
use engine::Engine;

/// A pod, its worker, and what that tells.
struct Test {
    engine: Arc<Engine>,
    handle: Arc<Handle>,
    told: mpsc::Receiver<ProviderEvent>,
    events: Vec<String>,
    status: PodStatus,
    _state: tempfile::TempDir,
    cancel: CancellationToken,
}

fn plan(spec: &Value) -> Arc<PodPlan> {
    let mut whole = json!({"restartPolicy": "Always", "terminationGracePeriodSeconds": 30});
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    for list in ["containers", "initContainers"] {
        for container in whole[list].as_array_mut().into_iter().flatten() {
            container["image"] = json!("img");
        }
    }
    let metadata = json!({"uid": "u", "name": "web", "namespace": "default", "generation": 1});
    let pod: Pod = serde_json::from_value(json!({"metadata": metadata, "spec": whole})).unwrap();
    Arc::new(PodPlan {
        key: PodKey::new("u", "default", "web"),
        generation: 1,
        pod: Arc::new(pod),
        volumes: vec![],
        registry_credentials: vec![],
    })
}

impl Test {
    fn new(spec: &Value) -> Self {
        Self::on(Engine::new(), spec)
    }

    fn on(engine: Arc<Engine>, spec: &Value) -> Self {
        let test = Self::adopted(engine);
        let plan = plan(spec);
        test.handle.order(|orders| orders.plan = Some(plan));
        test
    }

    /// Of a pod that this process has found.
    fn adopted(engine: Arc<Engine>) -> Self {
        let state = tempfile::tempdir().unwrap();
        let (events, told) = mpsc::channel(1024);
        let handle = Arc::new(Handle::new(PodKey::new("u", "default", "web")));
        let worker = Worker::new(handle.clone(), Arc::new(engine.tools(events, state.path())));
        let cancel = CancellationToken::new();
        tokio::task::spawn_local(worker.run(cancel.clone()));
        engine.listen(handle.clone());
        Self { engine, handle, told, events: vec![], status: PodStatus::default(), _state: state, cancel }
    }

    /// Takes in what is told until the status is as wanted.
    async fn until(&mut self, what: &str, wanted: impl Fn(&PodStatus) -> bool) {
        let deadline = Duration::from_secs(3600);
        let waiting = async {
            while !wanted(&self.status) {
                match self.told.recv().await.unwrap() {
                    ProviderEvent::Status(_, status) => self.status = *status,
                    ProviderEvent::PodEvent { container, reason, .. } => {
                        self.events.push(format!("{} {reason}", container.unwrap_or_default()));
                    }
                    ProviderEvent::Gone(_) => self.events.push("gone".to_owned()),
                    other => panic!("{other:?}"),
                }
            }
        };
        timeout(deadline, waiting).await.unwrap_or_else(|_| panic!("{what}: {:?}", self.engine.journal()));
    }

    async fn until_gone(&mut self) {
        while !self.events.iter().any(|event| event == "gone") {
            match self.told.recv().await.unwrap() {
                ProviderEvent::Gone(_) => self.events.push("gone".to_owned()),
                ProviderEvent::Status(_, status) => self.status = *status,
                ProviderEvent::PodEvent { container, reason, .. } => {
                    self.events.push(format!("{} {reason}", container.unwrap_or_default()));
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

fn of<'a>(status: &'a PodStatus, name: &str) -> Option<&'a ContainerStatus> {
    let all = [&status.container_statuses, &status.init_container_statuses];
    all.into_iter().flatten().flatten().find(|status| status.name == name)
}

fn runs(name: &'static str) -> impl Fn(&PodStatus) -> bool {
    move |status| of(status, name).is_some_and(|it| it.state.as_ref().is_some_and(|state| state.running.is_some()))
}

fn waits(name: &'static str, reason: &'static str) -> impl Fn(&PodStatus) -> bool {
    move |status| {
        let state = of(status, name).and_then(|it| it.state.as_ref()?.waiting.as_ref());
        state.is_some_and(|waiting| waiting.reason.as_deref() == Some(reason))
    }
}

fn restarts(name: &'static str, count: i32) -> impl Fn(&PodStatus) -> bool {
    move |status| of(status, name).is_some_and(|it| it.restart_count == count) && runs(name)(status)
}

macro_rules! local {
    ($body:expr) => {
        tokio::task::LocalSet::new().run_until($body).await
    };
}

#[tokio::test(start_paused = true)]
async fn containers_start_in_their_order_and_each_step_is_told() {
    local!(async {
        let mut test = Test::new(&json!({"initContainers": [{"name": "a"}], "containers": [{"name": "main"}]}));
        test.until("a to run", runs("a")).await;
        test.engine.exit("a", 0);
        test.until("main to run", runs("main")).await;
        assert_eq!(test.engine.journal(), ["sandbox 0", "create a 0", "start a 0", "create main 0", "start main 0"]);
        assert_eq!(test.events, ["a Pulled", "a Created", "a Started", "main Pulled", "main Created", "main Started"]);
        assert_eq!(test.status.pod_ip.as_deref(), Some("10.0.0.7"));
    });
}

#[tokio::test(start_paused = true)]
async fn a_container_that_crashes_waits_longer_each_time() {
    local!(async {
        let mut test = Test::new(&json!({"containers": [{"name": "main"}]}));
        let mut pauses = vec![];
        for count in 0..5 {
            test.until("it to run", restarts("main", count)).await;
            let ended = Instant::now();
            test.engine.exit("main", 1);
            test.until("it to run again", restarts("main", count + 1)).await;
            pauses.push(ended.elapsed().as_secs());
            let last = of(&test.status, "main").unwrap().last_state.clone().unwrap().terminated.unwrap();
            assert_eq!((last.exit_code, last.reason.as_deref()), (1, Some("Error")));
        }
        assert_eq!(pauses, [0, 10, 20, 40, 80]);
        assert_eq!(test.engine.attempts("main"), [4, 5], "only the run before this one is kept");
        assert!(test.events.contains(&"main BackOff".to_owned()));
    });
}

#[tokio::test(start_paused = true)]
async fn another_process_goes_on_where_the_first_has_stopped() {
    local!(async {
        let mut test = Test::new(&json!({"containers": [{"name": "main"}]}));
        test.until("it to run", restarts("main", 0)).await;
        test.engine.exit("main", 1);
        test.until("it to run again", restarts("main", 1)).await;
        test.engine.exit("main", 1);
        test.until("it to wait", waits("main", "CrashLoopBackOff")).await;
        test.cancel.cancel();
        let before = test.engine.journal().len();
        let mut other = Test::on(test.engine.clone(), &json!({"containers": [{"name": "main"}]}));
        other.until("it to wait still", waits("main", "CrashLoopBackOff")).await;
        other.until("it to run a third time", restarts("main", 2)).await;
        assert_eq!(other.engine.journal().split_off(before), ["create main 2", "start main 2"]);
    });
}

#[tokio::test(start_paused = true)]
async fn a_hook_and_the_containers_own_end_share_the_grace_and_sidecars_end_last() {
    local!(async {
        let hook = json!({"preStop": {"sleep": {"seconds": 12}}});
        let mut test = Test::new(&json!({
            "initContainers": [{"name": "side", "restartPolicy": "Always"}],
            "containers": [{"name": "main", "lifecycle": hook}, {"name": "other"}],
        }));
        test.until("all to run", |status| runs("main")(status) && runs("other")(status) && runs("side")(status)).await;
        let before = test.engine.journal().len();
        test.handle.delete(Instant::now() + Duration::from_secs(30));
        test.until_gone().await;
        let did = test.engine.journal().split_off(before);
        assert_eq!(did, ["stop other 30", "stop main 18", "stop side 18", "remove sandbox"], "{did:?}");
        assert!(test.engine.is_empty());
    });
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_ends_right_after_a_restart_has_its_hooks_and_its_order_all_the_same() {
    local!(async {
        let hook = json!({"preStop": {"sleep": {"seconds": 5}}});
        let spec = json!({
            "initContainers": [{"name": "side", "restartPolicy": "Always"}],
            "containers": [{"name": "main", "lifecycle": hook}],
        });
        let mut test = Test::new(&spec);
        test.until("all to run", |status| runs("main")(status) && runs("side")(status)).await;
        test.cancel.cancel();
        let before = test.engine.journal().len();
        let mut other = Test::adopted(test.engine.clone());
        let pod = plan(&spec).pod.clone();
        other.handle.order(|orders| orders.recalled = Some(pod));
        other.handle.delete(Instant::now() + Duration::from_secs(30));
        other.until_gone().await;
        assert_eq!(other.engine.journal().split_off(before), ["stop main 25", "stop side 25", "remove sandbox"]);
    });
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_to_go_does_not_wait_for_a_container_that_is_restarted() {
    local!(async {
        let mut test = Test::new(&json!({"containers": [{"name": "main"}]}));
        test.until("it to run", runs("main")).await;
        test.engine.ignore_termination();
        let id = test.handle.running("main").unwrap();
        test.handle.order(|orders| orders.failed.extend([(id, Duration::from_secs(300))]));
        tokio::time::sleep(Duration::from_secs(1)).await;
        let begun = Instant::now();
        test.handle.delete(begun);
        test.until_gone().await;
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    });
}

#[tokio::test(start_paused = true)]
async fn new_files_reach_a_pod_that_runs() {
    local!(async {
        let volumes = json!([{"name": "v", "configMap": {"name": "m"}}]);
        let mounts = json!([{"name": "v", "mountPath": "/v"}]);
        let mut test =
            Test::new(&json!({"volumes": volumes, "containers": [{"name": "main", "volumeMounts": mounts}]}));
        test.until("it to run", runs("main")).await;
        let file = pluglet_model::pod::VolumeFile { path: "k".to_owned(), mode: 0o644, bytes: b"new".to_vec() };
        let volume = pluglet_model::pod::Volume { name: "v".to_owned(), files: vec![file] };
        test.handle.order(|orders| drop(orders.volumes.insert("v".to_owned(), volume)));
        let path = test._state.path().join("pods/u/volumes/v/k");
        while !path.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), "new");
    });
}

#[tokio::test(start_paused = true)]
async fn a_shorter_grace_reaches_those_that_are_being_stopped() {
    local!(async {
        let mut test = Test::new(&json!({"containers": [{"name": "main"}]}));
        test.until("it to run", runs("main")).await;
        test.engine.ignore_termination();
        let begun = Instant::now();
        test.handle.delete(begun + Duration::from_secs(600));
        tokio::time::sleep(Duration::from_secs(5)).await;
        test.handle.delete(Instant::now() + Duration::from_secs(3));
        test.until_gone().await;
        assert_eq!(begun.elapsed().as_secs(), 8);
        assert!(test.engine.is_empty());
    });
}

#[tokio::test(start_paused = true)]
async fn an_image_that_cannot_be_pulled_is_asked_for_ever_less_often() {
    local!(async {
        let mut test = Test::new(&json!({"containers": [{"name": "main", "imagePullPolicy": "Always"}]}));
        test.engine.refuse_pulls(3);
        test.until("the first error", waits("main", "ErrImagePull")).await;
        test.until("the pause", waits("main", "ImagePullBackOff")).await;
        test.until("it to run", runs("main")).await;
        let pulls: Vec<u64> = test.engine.times("pull");
        let pauses: Vec<u64> = pulls.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(pauses, [10, 20, 40]);
    });
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_ends_while_its_image_is_pulled_does_not_wait_for_it() {
    local!(async {
        let mut test = Test::new(&json!({"containers": [{"name": "main", "imagePullPolicy": "Always"}]}));
        test.engine.hang_pulls();
        test.until("its address", |status| status.pod_ip.is_some()).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let begun = Instant::now();
        test.handle.delete(begun + Duration::from_secs(30));
        test.until_gone().await;
        assert!(begun.elapsed() < Duration::from_secs(1));
        assert!(test.engine.is_empty());
    });
}

#[tokio::test(start_paused = true)]
async fn a_container_that_may_not_run_as_root_says_so_and_is_not_made() {
    local!(async {
        let context = json!({"runAsNonRoot": true});
        let mut test = Test::new(&json!({"containers": [{"name": "main", "securityContext": context}]}));
        test.until("the refusal", waits("main", "CreateContainerConfigError")).await;
        assert_eq!(test.engine.journal(), ["sandbox 0"]);
        assert!(test.events.contains(&"main Failed".to_owned()));
    });
}

#[tokio::test(start_paused = true)]
async fn a_container_that_cannot_be_started_has_ended_and_its_policy_says_what_follows() {
    local!(async {
        for policy in ["Never", "Always"] {
            let engine = Engine::new();
            engine.fail_starts();
            let mut test = Test::on(engine, &json!({"restartPolicy": policy, "containers": [{"name": "main"}]}));
            let ended = |status: &PodStatus| {
                let main = of(status, "main").cloned().unwrap_or_default();
                let state = if policy == "Never" { main.state } else { main.last_state };
                state.and_then(|state| state.terminated)
            };
            test.until("the end", |status| ended(status).is_some()).await;
            let ended = ended(&test.status).unwrap();
            assert_eq!((ended.exit_code, ended.reason.as_deref()), (128, Some("StartError")), "{policy}");
            assert_eq!(ended.message.as_deref(), Some("no such command"));
            tokio::time::sleep(Duration::from_secs(60)).await;
            let runs = test.engine.journal().iter().filter(|did| did.starts_with("create")).count();
            // At once, and after 10 and 20 seconds.
            assert_eq!(runs, if policy == "Never" { 1 } else { 4 }, "{:?}", test.engine.journal());
        }
    });
}

#[tokio::test(start_paused = true)]
async fn a_container_whose_start_hook_fails_is_stopped_and_started_again() {
    local!(async {
        let hook = json!({"postStart": {"exec": {"command": ["false"]}}});
        let mut test = Test::new(&json!({"containers": [{"name": "main", "lifecycle": hook}]}));
        test.until("a second run", restarts("main", 1)).await;
        assert!(test.events.contains(&"main FailedPostStartHook".to_owned()));
        assert!(test.engine.journal().contains(&"stop main 30".to_owned()));
    });
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_done_keeps_its_containers_and_lets_its_sandbox_go() {
    local!(async {
        let mut test = Test::new(&json!({"restartPolicy": "Never", "containers": [{"name": "main"}]}));
        test.until("it to run", runs("main")).await;
        test.engine.exit("main", 0);
        test.until("its end", |status| {
            of(status, "main").is_some_and(|it| it.state.as_ref().is_some_and(|state| state.terminated.is_some()))
        })
        .await;
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert_eq!(test.engine.journal().last().map(String::as_str), Some("stop sandbox"));
        assert_eq!(test.engine.attempts("main"), [0]);
    });
}

#[tokio::test(start_paused = true)]
async fn a_container_that_failed_its_probe_is_stopped_in_the_time_it_has_and_started_again() {
    local!(async {
        let mut test = Test::new(&json!({"containers": [{"name": "main"}]}));
        test.until("it to run", restarts("main", 0)).await;
        let id = test.handle.running("main").unwrap();
        test.handle.order(|orders| orders.failed.extend([(id, Duration::from_secs(5))]));
        test.until("it to run again", restarts("main", 1)).await;
        assert!(test.engine.journal().contains(&"stop main 5".to_owned()), "{:?}", test.engine.journal());
    });
}

#[tokio::test(start_paused = true)]
async fn what_comes_after_a_sidecar_waits_for_its_startup_probe_and_one_that_fails_it_is_started_again() {
    local!(async {
        let probe = json!({"exec": {"command": ["true"]}});
        let side = json!({"name": "side", "restartPolicy": "Always", "startupProbe": probe});
        let mut test = Test::new(&json!({"initContainers": [side], "containers": [{"name": "main"}]}));
        test.until("the sidecar to run", restarts("side", 0)).await;
        let id = test.handle.running("side").unwrap();
        test.handle.order(|orders| orders.failed.extend([(id, Duration::from_secs(10))]));
        test.until("the sidecar to run again", restarts("side", 1)).await;
        assert!(test.engine.journal().contains(&"stop side 10".to_owned()), "{:?}", test.engine.journal());
        assert!(test.engine.attempts("main").is_empty());
        let id = test.handle.running("side").unwrap();
        test.handle.order(|orders| orders.started.extend([id]));
        test.until("main to run", runs("main")).await;
    });
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_that_dies_takes_its_containers_along_and_all_begin_anew() {
    local!(async {
        let mut test = Test::new(&json!({"containers": [{"name": "main"}]}));
        test.until("it to run", restarts("main", 0)).await;
        test.engine.lose_sandbox();
        test.until("it to run again", restarts("main", 1)).await;
        assert!(test.engine.journal().contains(&"sandbox 1".to_owned()), "{:?}", test.engine.journal());
        assert!(test.events.contains(&" SandboxChanged".to_owned()));
    });
}
