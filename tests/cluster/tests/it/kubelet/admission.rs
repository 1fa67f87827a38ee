//! What a node does not take: the kubelet's phase, reason and message.
//!
//! Pods come by `spec.nodeName`, past the scheduler, which would not send most of them. Messages are those of pkg/kubelet/lifecycle/predicate.go.

use anyhow::Result;
use cluster::{NodeOptions, Row, World, check_rows};
use serde_json::{Value, json};

const SMALL: &str = "config: { cpu: \"2\", memory: 8Gi, pods: \"40\", labels: { example.com/disk: ssd } }\n";
const TWO_PODS: &str = "config: { pods: \"2\" }\n";

fn requests(resource: &str, quantity: &str) -> Value {
    // Extended resources need a limit that equals the request.
    json!({ "resources": { "requests": { resource: quantity }, "limits": { resource: quantity } } })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_rejects_what_a_kubelet_rejects_and_runs_what_it_runs() -> Result<()> {
    let world = World::new("admission").await?;
    let node = world.node_with("node-admission", NodeOptions { config: SMALL, ..NodeOptions::default() }).await?;
    let rows = [resources(), placement(), operating_systems()];
    check_rows(&world, &node.name, rows.into_iter().flatten().collect()).await?;

    // From here on part of the node is in use.
    let first = Row::new("first", "a pod that fits runs").bound().main(&requests("cpu", "1500m")).runs();
    check_rows(&world, &node.name, vec![first]).await?;
    let second = Row::new("second", "what other pods request is in use").bound().main(&requests("cpu", "1")).rejected(
        "OutOfcpu",
        "Pod was rejected: Node didn't have enough resource: cpu, requested: 1000, used: 1500, capacity: 2000",
    );
    check_rows(&world, &node.name, vec![second]).await?;
    world.kubectl(&["delete", "pod", "first"]).await?;
    let third =
        Row::new("third", "what a deleted pod requested is free again").bound().main(&requests("cpu", "2")).runs();
    check_rows(&world, &node.name, vec![third]).await
}

fn resources() -> Vec<Row> {
    let init = json!([{ "name": "setup", "resources": { "requests": { "cpu": "3" } } }]);
    vec![
        Row::new("too-much-cpu", "more CPU than the node has")
            .bound()
            .main(&requests("cpu", "3"))
            .rejected(
                "OutOfcpu",
                "Pod was rejected: Node didn't have enough resource: cpu, requested: 3000, used: 0, capacity: 2000",
            )
            .event("OutOfcpu", "Node didn't have enough resource: cpu, requested: 3000, used: 0, capacity: 2000"),
        Row::new("too-much-memory", "more memory than the node has").bound().main(&requests("memory", "16Gi")).rejected(
            "OutOfmemory",
            "Pod was rejected: Node didn't have enough resource: memory, requested: 17179869184, used: 0, capacity: 8589934592",
        ),
        Row::new("too-much-storage", "more ephemeral storage than the node has")
            .bound()
            .main(&requests("ephemeral-storage", "200Ti"))
            .rejected(
                "OutOfephemeral-storage",
                "Pod was rejected: Node didn't have enough resource: ephemeral-storage, requested: 219902325555200, used: 0, capacity: 109951162777600",
            ),
        Row::new("greedy-init", "an init container needs its share before the others start")
            .bound()
            .spec(&json!({ "initContainers": init }))
            .rejected(
                "OutOfcpu",
                "Pod was rejected: Node didn't have enough resource: cpu, requested: 3000, used: 0, capacity: 2000",
            ),
        // removeMissingExtendedResources: it may be a resource of the cluster and not of the node.
        Row::new("unknown-resource", "an extended resource that the node does not name is not its business")
            .bound()
            .main(&requests("example.com/gpu", "1"))
            .runs(),
        Row::new("no-toleration", "a taint NoSchedule is the scheduler's business").bound().runs(),
    ]
}

fn placement() -> Vec<Row> {
    const MISMATCH: &str =
        "Pod was rejected: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector";
    let affinity = |operator: &str, values: Value| {
        let expression = json!({ "key": "example.com/disk", "operator": operator, "values": values });
        let terms = json!([{ "matchExpressions": [expression] }]);
        json!({ "affinity": { "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": terms } } } })
    };
    let selector = |value: &str| json!({ "nodeSelector": { "example.com/disk": value } });
    let with = |name, sentence, spec: &Value| Row::new(name, sentence).bound().spec(spec);
    vec![
        with("right-selector", "a node selector that matches", &selector("ssd")).runs(),
        with("wrong-selector", "a node selector that does not match", &selector("hdd"))
            .rejected("NodeAffinity", MISMATCH),
        with("right-affinity", "a required affinity that matches", &affinity("In", json!(["ssd", "nvme"]))).runs(),
        with("right-not-in", "an affinity against others", &affinity("NotIn", json!(["hdd"]))).runs(),
        with("wrong-affinity", "a required affinity that does not match", &affinity("NotIn", json!(["ssd"])))
            .rejected("NodeAffinity", MISMATCH),
        with("wrong-exists", "an affinity against the label itself", &affinity("DoesNotExist", Value::Null))
            .rejected("NodeAffinity", MISMATCH),
    ]
}

fn operating_systems() -> Vec<Row> {
    let of = |name, sentence, os: &str| Row::new(name, sentence).bound().spec(&json!({ "os": { "name": os } }));
    vec![
        of("linux", "a pod for the node's operating system", "linux").runs(),
        of("windows", "a pod for another operating system", "windows").rejected(
            "PodOSNotSupported",
            "Pod was rejected: Failed to admit pod as the OS field doesn't match node OS",
        ),
        Row::new("os-label", "a label of the pod that names another operating system")
            .bound()
            .labels(&json!({ "kubernetes.io/os": "windows" }))
            .rejected(
                "PodOSSelectorNodeLabelDoesNotMatch",
                "Pod was rejected: Failed to admit pod as the `kubernetes.io/os` label doesn't match node label",
            ),
        Row::new("strict-groups", "a policy for groups that the node does not have")
            .bound()
            .spec(&json!({ "securityContext": { "supplementalGroupsPolicy": "Strict" } }))
            .rejected(
                "SupplementalGroupsPolicyNotSupported",
                "Pod was rejected: SupplementalGroupsPolicy=Strict is not supported in this node",
            ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_node_takes_no_more_pods_until_one_has_ended() -> Result<()> {
    let world = World::new("full").await?;
    let node = world.node_with("node-full", NodeOptions { config: TWO_PODS, ..NodeOptions::default() }).await?;
    let short = json!({ "mock.pluglet.dev/run-for": "1s" });
    let rows = vec![
        Row::new("one", "the first pod runs").bound().runs(),
        Row::new("two", "the second pod runs").bound().runs(),
    ];
    check_rows(&world, &node.name, rows).await?;
    let third = Row::new("three", "the third finds the node full").bound().rejected(
        "OutOfpods",
        "Pod was rejected: Node didn't have enough resource: pods, requested: 1, used: 2, capacity: 2",
    );
    check_rows(&world, &node.name, vec![third]).await?;
    world.kubectl(&["delete", "pod", "two"]).await?;
    let brief =
        Row::new("brief", "a pod that ends").bound().annotations(&short).spec(&json!({ "restartPolicy": "Never" }));
    check_rows(&world, &node.name, vec![brief.api("/status/phase", json!("Succeeded"))]).await?;
    let fourth = Row::new("four", "one that has ended takes no room, though it is still there").bound().runs();
    check_rows(&world, &node.name, vec![fourth]).await
}
