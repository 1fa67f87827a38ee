use k8s_openapi::serde_json::{Value, from_value, json};
use proptest::prelude::*;

use super::*;

struct Node {
    labels: Labels,
    taints: Vec<Taint>,
    operating_system: &'static str,
    supplemental_groups_policy: bool,
    allocatable: Resources,
}

impl Node {
    fn view(&self) -> NodeView<'_> {
        NodeView {
            name: "node-1",
            labels: &self.labels,
            taints: &self.taints,
            operating_system: self.operating_system,
            supplemental_groups_policy: self.supplemental_groups_policy,
            allocatable: &self.allocatable,
        }
    }
}

/// By a node with room for two pods, 4 cores and 8 gibibytes, and no GPU although it could have had one.
fn check(pod: &Pod, used: &Ledger, change: impl FnOnce(&mut Node)) -> Result<(), Rejection> {
    let allocatable = json!({
        "cpu": "4", "memory": "8Gi", "ephemeral-storage": "10Gi", "pods": "2", "hugepages-2Mi": "0",
        "example.com/gpu": "0", "example.com/fpga": "2",
    });
    let mut node = Node {
        labels: [("zone".to_owned(), "a".to_owned())].into(),
        taints: vec![],
        operating_system: "linux",
        supplemental_groups_policy: false,
        allocatable: Resources::from_list(&from_value(allocatable).unwrap()),
    };
    change(&mut node);
    admit(pod, &node.view(), used)
}

fn pod(pod: Value) -> Pod {
    from_value(pod).unwrap()
}

fn requesting(amounts: Value) -> Pod {
    pod(json!({ "spec": { "containers": [{ "name": "app", "resources": { "requests": amounts } }] } }))
}

fn rejected(pod: &Pod, used: &Ledger) -> (String, String) {
    let rejection = check(pod, used, |_| ()).unwrap_err();
    (rejection.reason.into_owned(), rejection.message)
}

fn strings(reason: &str, message: &str) -> (String, String) {
    (reason.to_owned(), message.to_owned())
}

fn used(amounts: Value) -> Ledger {
    let mut ledger = Ledger::default();
    ledger.add(&requests(&requesting(amounts)));
    ledger
}

#[test]
fn a_pod_that_asks_for_nothing_special_is_taken() {
    let free = Ledger::default();
    assert_eq!(check(&Pod::default(), &free, |_| ()), Ok(()));
    let all = json!({ "cpu": "4", "memory": "8Gi", "ephemeral-storage": "10Gi", "example.com/fpga": "2" });
    assert_eq!(check(&requesting(all), &free, |_| ()), Ok(()), "all there is");
}

#[test]
fn a_pod_for_another_operating_system_is_refused() {
    let labelled = pod(json!({ "metadata": { "labels": { "kubernetes.io/os": "windows" } } }));
    assert_eq!(
        rejected(&labelled, &Ledger::default()),
        strings(
            "PodOSSelectorNodeLabelDoesNotMatch",
            "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label"
        )
    );
    let windows = pod(json!({ "spec": { "containers": [], "os": { "name": "windows" } } }));
    assert_eq!(
        rejected(&windows, &Ledger::default()),
        strings("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS")
    );
    assert_eq!(check(&windows, &Ledger::default(), |node| node.operating_system = "windows"), Ok(()));
}

#[test]
fn strict_supplemental_groups_need_a_node_that_has_them() {
    let policy = |policy: &str| {
        pod(json!({ "spec": { "containers": [], "securityContext": { "supplementalGroupsPolicy": policy } } }))
    };
    let free = Ledger::default();
    assert_eq!(
        rejected(&policy("Strict"), &free),
        strings(
            "SupplementalGroupsPolicyNotSupported",
            "SupplementalGroupsPolicy=Strict is not supported in this node"
        )
    );
    assert_eq!(check(&policy("Merge"), &free, |_| ()), Ok(()));
    assert_eq!(check(&policy("Strict"), &free, |node| node.supplemental_groups_policy = true), Ok(()));
}

/// The message of `InsufficientResourceError`; a CPU in thousandths, the rest in wholes.
#[test]
fn what_does_not_fit_is_told_in_the_units_of_the_kubelet() {
    let used = used(json!({ "cpu": "100m", "memory": "1Gi", "example.com/fpga": "1" }));
    for (amounts, reason, message) in [
        (
            json!({ "cpu": "500", "memory": "1Ti" }),
            "OutOfcpu",
            "Node didn't have enough resource: cpu, requested: 500000, used: 100, capacity: 4000",
        ),
        (
            json!({ "ephemeral-storage": "1Ti", "memory": "8Gi" }),
            "OutOfmemory",
            "Node didn't have enough resource: memory, requested: 8589934592, used: 1073741824, capacity: 8589934592",
        ),
        (
            json!({ "ephemeral-storage": "11Gi" }),
            "OutOfephemeral-storage",
            "Node didn't have enough resource: ephemeral-storage, requested: 11811160064, used: 0, capacity: 10737418240",
        ),
        (
            json!({ "example.com/fpga": "2" }),
            "OutOfexample.com/fpga",
            "Node didn't have enough resource: example.com/fpga, requested: 2, used: 1, capacity: 2",
        ),
        (
            json!({ "hugepages-2Mi": "2Mi" }),
            "OutOfhugepages-2Mi",
            "Node didn't have enough resource: hugepages-2Mi, requested: 2097152, used: 0, capacity: 0",
        ),
    ] {
        assert_eq!(rejected(&requesting(amounts), &used), strings(reason, message));
    }
}

#[test]
fn there_is_room_for_so_many_pods_and_for_none_where_nobody_says_how_many() {
    let mut full = Ledger::default();
    full.add(&Resources::default());
    full.add(&Resources::default());
    assert_eq!(
        rejected(&Pod::default(), &full),
        strings("OutOfpods", "Node didn't have enough resource: pods, requested: 1, used: 2, capacity: 2")
    );
    full.sub(&Resources::default());
    assert_eq!(check(&Pod::default(), &full, |_| ()), Ok(()));
    let silent = |node: &mut Node| node.allocatable = Resources::default();
    let rejection = check(&Pod::default(), &Ledger::default(), silent).unwrap_err();
    assert_eq!(rejection.message, "Node didn't have enough resource: pods, requested: 1, used: 0, capacity: 0");
}

/// As the comment on `removeMissingExtendedResources` has it.
#[test]
fn an_extended_resource_that_the_node_does_not_name_is_no_reason_but_a_named_zero_is() {
    let free = Ledger::default();
    assert_eq!(check(&requesting(json!({ "example.com/unknown": "1" })), &free, |_| ()), Ok(()));
    assert_eq!(rejected(&requesting(json!({ "example.com/gpu": "1" })), &free).0, "OutOfexample.com/gpu");
    assert_eq!(
        rejected(&requesting(json!({ "kubernetes.io/batch": "1" })), &free).0,
        "OutOfkubernetes.io/batch",
        "one of Kubernetes itself is not extended"
    );
    let uncounted = json!({ "storage": "1Gi", "requests.example.com/gpu": "1" });
    assert_eq!(check(&requesting(uncounted), &free, |_| ()), Ok(()), "nothing that a node counts");
}

#[test]
fn a_node_that_takes_nothing_more_still_takes_what_asks_for_nothing() {
    let over = used(json!({ "cpu": "5", "memory": "9Gi" }));
    assert_eq!(check(&requesting(json!({ "cpu": "0" })), &over, |_| ()), Ok(()));
    assert_eq!(
        rejected(&requesting(json!({ "cpu": "1m" })), &over).1,
        "Node didn't have enough resource: cpu, requested: 1, used: 5000, capacity: 4000"
    );
}

#[test]
fn a_pod_for_another_node_is_refused() {
    let free = Ledger::default();
    let selecting = pod(json!({ "spec": { "containers": [], "nodeSelector": { "zone": "b" }, "nodeName": "node-2" } }));
    assert_eq!(
        rejected(&selecting, &free),
        strings("NodeAffinity", "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector")
    );
    let named = pod(json!({ "spec": { "containers": [], "nodeSelector": { "zone": "a" }, "nodeName": "node-2" } }));
    assert_eq!(
        rejected(&named, &free),
        strings("NodeName", "Predicate NodeName failed: node(s) didn't match the requested node name")
    );
}

#[test]
fn only_taints_that_drive_pods_away_count() {
    let free = Ledger::default();
    let taint = |effect: &str| Taint { key: "away".to_owned(), effect: effect.to_owned(), ..Taint::default() };
    let gentle = vec![taint("NoSchedule"), taint("PreferNoSchedule")];
    assert_eq!(check(&Pod::default(), &free, |node| node.taints = gentle), Ok(()));
    let strict = vec![taint("NoSchedule"), taint("NoExecute")];
    let rejection = check(&Pod::default(), &free, |node| node.taints = strict.clone()).unwrap_err();
    assert_eq!(rejection.reason, "TaintToleration");
    assert_eq!(rejection.message, "Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate");
    let tolerant =
        pod(json!({ "spec": { "containers": [], "tolerations": [{ "key": "away", "operator": "Exists" }] } }));
    assert_eq!(check(&tolerant, &free, |node| node.taints = strict), Ok(()));
}

#[test]
fn the_first_failure_is_told_in_the_order_of_the_kubelet() {
    let mut full = Ledger::default();
    full.add(&Resources::default());
    full.add(&Resources::default());
    let wrong = json!({ "metadata": { "labels": { "kubernetes.io/os": "windows" } }, "spec": {
        "containers": [{ "name": "app", "resources": { "requests": { "memory": "9Gi" } } }],
        "os": { "name": "windows" },
        "securityContext": { "supplementalGroupsPolicy": "Strict" },
        "nodeSelector": { "zone": "b" },
        "nodeName": "node-2",
    } });
    let mut pod = pod(wrong);
    let mut told = Vec::new();
    for _ in 0..7 {
        told.push(rejected(&pod, &full).0);
        let spec = pod.spec.as_mut().unwrap();
        match told.last().unwrap().as_str() {
            "PodOSSelectorNodeLabelDoesNotMatch" => pod.metadata.labels = None,
            "PodOSNotSupported" => spec.os = None,
            "SupplementalGroupsPolicyNotSupported" => spec.security_context = None,
            "OutOfpods" => full.sub(&Resources::default()),
            "OutOfmemory" => spec.containers.clear(),
            "NodeAffinity" => spec.node_selector = None,
            _ => spec.node_name = None,
        }
    }
    assert_eq!(
        told,
        [
            "PodOSSelectorNodeLabelDoesNotMatch",
            "PodOSNotSupported",
            "SupplementalGroupsPolicyNotSupported",
            "OutOfpods",
            "OutOfmemory",
            "NodeAffinity",
            "NodeName",
        ]
    );
    assert_eq!(check(&pod, &full, |_| ()), Ok(()));
}

#[test]
fn the_status_says_that_the_pod_was_rejected_and_the_event_only_why() {
    let rejection = Rejection::new("OutOfpods", "Node didn't have enough resource: pods");
    assert_eq!(rejection.status_message(), "Pod was rejected: Node didn't have enough resource: pods");
}

#[test]
fn what_pluglet_never_does_is_refused_everywhere() {
    let certificate = pod(json!({ "spec": { "containers": [], "volumes": [
        { "name": "config", "projected": { "sources": [{ "configMap": { "name": "a" } }] } },
        { "name": "tls", "projected": { "sources": [
            { "configMap": { "name": "a" } },
            { "podCertificate": { "signerName": "example.com/signer", "keyType": "ED25519" } },
        ] } },
    ] } }));
    let expected = "volume \"tls\": podCertificate sources are not supported on this node";
    assert_eq!(unsupported(&certificate), Some(Rejection::new("UnexpectedAdmissionError", expected)));
    let claims =
        pod(json!({ "spec": { "containers": [], "resourceClaims": [{ "name": "gpu", "resourceClaimName": "one" }] } }));
    let extended = pod(json!({ "spec": { "containers": [] }, "status": {
        "extendedResourceClaimStatus": { "resourceClaimName": "one", "requestMappings": [] },
    } }));
    for pod in [claims, extended] {
        let expected = "resource claims are not supported on this node";
        assert_eq!(unsupported(&pod), Some(Rejection::new("UnexpectedAdmissionError", expected)));
    }
    let usual = pod(json!({ "spec": { "containers": [], "hostUsers": false, "resourceClaims": [], "volumes": [
        { "name": "token", "projected": { "sources": [{ "serviceAccountToken": { "path": "token" } }] } },
    ] } }));
    assert_eq!((unsupported(&usual), unsupported(&Pod::default())), (None, None));
}

#[test]
fn a_daemon_set_pod_is_one_that_a_daemon_set_controls() {
    let owned = |api_version: &str, kind: &str, controller: Value| {
        let owner =
            json!({ "apiVersion": api_version, "kind": kind, "name": "o", "uid": "u", "controller": controller });
        is_daemon_set_pod(&pod(json!({ "metadata": { "ownerReferences": [owner] } })))
    };
    assert!(owned("apps/v1", "DaemonSet", json!(true)));
    assert!(!owned("apps/v1", "DaemonSet", Value::Null));
    assert!(!owned("apps/v1", "ReplicaSet", json!(true)));
    assert!(!owned("example.com/v1", "DaemonSet", json!(true)));
    assert!(!is_daemon_set_pod(&Pod::default()));
}

proptest! {
    /// Whoever is admitted one after the other fits together.
    #[test]
    fn no_more_is_admitted_than_there_is(millis in prop::collection::vec(0_i64..3000, 0..6)) {
        let mut ledger = Ledger::default();
        for milli in millis {
            let pod = requesting(json!({ "cpu": format!("{milli}m") }));
            if check(&pod, &ledger, |_| ()).is_ok() {
                ledger.add(&requests(&pod));
            }
        }
        prop_assert!(ledger.pods() <= 2 && ledger.amount("cpu") <= Quantity::from_value(4));
    }
}
