//! What the API shows of a pod in each situation of its life.

mod changes;

use anyhow::Result;
use cluster::{Row, World, check_rows};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_situation_of_a_pod_has_the_status_that_a_kubelet_writes() -> Result<()> {
    let world = World::new("status").await?;
    let node = world.node("node-status").await?;
    let rows = [alive(), starting(), ended(), with_helpers()];
    check_rows(&world, &node.name, rows.into_iter().flatten().collect()).await
}

fn scripted(name: &'static str, sentence: &'static str, policy: &str, script: &Value) -> Row {
    Row::new(name, sentence).annotations(script).spec(&json!({ "restartPolicy": policy }))
}

/// <https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-conditions>, .../pod-qos/ for the classes.
fn alive() -> Vec<Row> {
    vec![
        Row::new("running", "a pod that runs, with everything that a kubelet tells of it")
            .annotations(&json!({ "mock.pluglet.dev/pod-ip": "10.1.2.3" }))
            .runs()
            .condition("PodScheduled", "True", "")
            .condition("PodReadyToStartContainers", "True", "")
            .condition("Initialized", "True", "")
            .condition("ContainersReady", "True", "")
            .api("/status/hostIP", json!("127.0.0.1"))
            .api("/status/hostIPs", json!([{ "ip": "127.0.0.1" }]))
            .api("/status/podIP", json!("10.1.2.3"))
            .api("/status/podIPs", json!([{ "ip": "10.1.2.3" }]))
            .api("/status/observedGeneration", json!(1))
            .api("/status/qosClass", json!("BestEffort"))
            .api_says("/status/startTime", "T")
            .api("/status/containerStatuses/0/name", json!("main"))
            .api("/status/containerStatuses/0/image", json!("example.com/main:1"))
            .api("/status/containerStatuses/0/ready", json!(true))
            .api("/status/containerStatuses/0/started", json!(true))
            .api("/status/containerStatuses/0/restartCount", json!(0))
            .api("/status/containerStatuses/0/containerID", json!("mock://{uid}/main/0"))
            .api_says("/status/containerStatuses/0/state/running/startedAt", "T")
            .api("/status/containerStatuses/0/lastState", json!({})),
        Row::new("burstable", "the class of a pod with requests")
            .main(&json!({ "resources": { "requests": { "memory": "100Mi" } } }))
            .runs()
            .api("/status/qosClass", json!("Burstable")),
        Row::new("guaranteed", "the class of a pod whose limits are its requests")
            .main(&json!({ "resources": { "limits": { "memory": "200Mi", "cpu": "700m" } } }))
            .runs()
            .api("/status/qosClass", json!("Guaranteed")),
        scripted(
            "crash-loop",
            "a pod that crashes again and again is Running, its container waits",
            "Always",
            &json!({ "mock.pluglet.dev/run-for": "300ms", "mock.pluglet.dev/exit-code": "3" }),
        )
        .api("/status/phase", json!("Running"))
        .condition("Ready", "False", "ContainersNotReady")
        .api("/status/containerStatuses/0/state/waiting/reason", json!("CrashLoopBackOff"))
        .api("/status/containerStatuses/0/lastState/terminated/exitCode", json!(3))
        .api("/status/containerStatuses/0/lastState/terminated/reason", json!("Error"))
        .api("/status/containerStatuses/0/ready", json!(false)),
        // pkg/kubelet/status/generate.go
        Row::new("gated", "a readiness gate that nobody has opened")
            .spec(&json!({ "readinessGates": [{ "conditionType": "example.com/ready" }] }))
            .api("/status/phase", json!("Running"))
            .condition("ContainersReady", "True", "")
            .condition("Ready", "False", "ReadinessGatesNotReady"),
    ]
}

fn starting() -> Vec<Row> {
    let late = json!({ "mock.pluglet.dev/start-delay": "1h" });
    let full = json!({ "mock.pluglet.dev/create-error": "quota", "mock.pluglet.dev/create-error-message": "no room" });
    vec![
        scripted("creating", "a container that is being created", "Always", &late)
            .waits("ContainerCreating")
            .condition("PodReadyToStartContainers", "False", "")
            .condition("Initialized", "True", "")
            .condition("ContainersReady", "False", "ContainersNotReady")
            .condition("Ready", "False", "ContainersNotReady")
            .api("/status/hostIP", json!("127.0.0.1"))
            .api("/status/containerStatuses/0/started", json!(false)),
        scripted("initializing", "an init container that is being created", "Always", &late)
            .spec(&json!({ "initContainers": [{ "name": "setup" }] }))
            .waits("PodInitializing")
            .condition("Initialized", "False", "ContainersNotInitialized")
            .condition("Ready", "False", "ContainersNotReady")
            .api("/status/initContainerStatuses/0/ready", json!(false)),
        scripted("no-room", "a pod that the backend has no room for", "Always", &full)
            .waits("ProviderQuotaExceeded")
            .event("ProviderQuotaExceeded", "no room"),
    ]
}

/// <https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-phase>
fn ended() -> Vec<Row> {
    let brief = |code: &str| json!({ "mock.pluglet.dev/run-for": "300ms", "mock.pluglet.dev/exit-code": code });
    vec![
        scripted("succeeded", "a pod that has done its work", "Never", &brief("0"))
            .api("/status/phase", json!("Succeeded"))
            .condition("Initialized", "True", "PodCompleted")
            .condition("ContainersReady", "False", "PodCompleted")
            .condition("Ready", "False", "PodCompleted")
            .condition("PodReadyToStartContainers", "False", "")
            .api("/status/containerStatuses/0/state/terminated/exitCode", json!(0))
            .api("/status/containerStatuses/0/state/terminated/reason", json!("Completed")),
        scripted("succeeded-on-failure", "one that would have been restarted on a failure", "OnFailure", &brief("0"))
            .api("/status/phase", json!("Succeeded")),
        scripted("failed", "a pod that has failed", "Never", &brief("7"))
            .api("/status/phase", json!("Failed"))
            .condition("ContainersReady", "False", "PodFailed")
            .condition("Ready", "False", "PodFailed")
            .api("/status/containerStatuses/0/state/terminated/exitCode", json!(7))
            .api("/status/containerStatuses/0/state/terminated/reason", json!("Error"))
            .api_says("/status/containerStatuses/0/state/terminated/finishedAt", "T")
            .api("/status/containerStatuses/0/state/terminated/containerID", json!("mock://{uid}/main/0")),
        scripted(
            "refused",
            "a pod that the provider refuses",
            "Always",
            &json!({ "mock.pluglet.dev/run-for": "soon" }),
        )
        .api("/status/phase", json!("Failed"))
        .api("/status/reason", json!("ProviderInvalid"))
        .api_says("/status/message", "mock.pluglet.dev/run-for"),
        // pkg/kubelet/active_deadline.go
        Row::new("too-long", "a pod that was active for longer than it may")
            .spec(&json!({ "activeDeadlineSeconds": 2 }))
            .api("/status/phase", json!("Failed"))
            .api("/status/reason", json!("DeadlineExceeded"))
            .api("/status/message", json!("Pod was active on the node longer than the specified deadline"))
            .event("DeadlineExceeded", "Pod was active on the node longer than the specified deadline"),
    ]
}

/// <https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/>
fn with_helpers() -> Vec<Row> {
    let helpers = json!([{ "name": "setup" }, { "name": "proxy", "restartPolicy": "Always" }]);
    let brief = json!({ "mock.pluglet.dev/run-for": "300ms" });
    vec![
        Row::new("helped", "an init container that is done, and a sidecar that runs beside the pod")
            .spec(&json!({ "initContainers": helpers }))
            .runs()
            .api("/status/initContainerStatuses/0/state/terminated/reason", json!("Completed"))
            .api("/status/initContainerStatuses/0/ready", json!(true))
            .api("/status/initContainerStatuses/1/name", json!("proxy"))
            .api("/status/initContainerStatuses/1/started", json!(true))
            .api("/status/initContainerStatuses/1/ready", json!(true)),
        scripted("helped-and-done", "a sidecar does not keep a pod from its end", "Never", &brief)
            .spec(&json!({ "initContainers": helpers }))
            .api("/status/phase", json!("Succeeded")),
    ]
}
