//! Status translation against the kubelet's rules.

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::*;

fn time(second: i64) -> Time {
    Time(Timestamp::from_second(second).unwrap())
}

fn pod(spec: Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": { "name": "p", "namespace": "n", "uid": "u", "generation": 1 },
        "spec": spec,
    }))
    .unwrap()
}

fn simple(restart_policy: &str) -> Pod {
    pod(
        json!({ "restartPolicy": restart_policy, "containers": [{ "name": "a", "image": "i" }, { "name": "b", "image": "i" }] }),
    )
}

fn status(value: Value) -> PodStatus {
    serde_json::from_value(value).unwrap()
}

fn state(name: &str, state: &Value) -> Value {
    json!({ "name": name, "image": "i", "imageID": "", "ready": state.get("running").is_some(), "restartCount": 0, "state": state })
}

fn ran(code: i32) -> Value {
    json!({ "terminated": { "exitCode": code, "reason": "x", "finishedAt": "2026-01-01T00:00:00Z" } })
}

fn runs() -> Value {
    json!({ "running": { "startedAt": "2026-01-01T00:00:00Z" } })
}

fn facts<'a>(pod: &'a Pod, baseline: &'a PodStatus, report: Option<&'a PodStatus>, now: &'a Time) -> Facts<'a> {
    Facts { report, host_ip: "10.0.0.1", generation: pod.metadata.generation, ..Facts::of(pod, baseline, now) }
}

fn held<'a>(reason: &'a str, message: &'a str) -> Held<'a> {
    Held { reason, message, container: None, creating: false }
}

fn phase_of(pod: &Pod, containers: &[Value]) -> String {
    let report = status(json!({ "containerStatuses": containers }));
    let (baseline, now) = (PodStatus::default(), time(0));
    translate(&facts(pod, &baseline, Some(&report), &now)).phase.unwrap()
}

#[test]
fn the_phase_follows_from_the_containers_and_the_restart_policy() {
    let waiting = json!({ "waiting": { "reason": "ContainerCreating" } });
    let table = [
        ("Always", runs(), runs(), "Running"),
        ("Always", runs(), waiting.clone(), "Pending"),
        ("Always", ran(0), ran(1), "Running"),
        ("OnFailure", ran(0), ran(0), "Succeeded"),
        ("OnFailure", ran(0), ran(1), "Running"),
        ("Never", ran(0), ran(1), "Failed"),
        ("Never", ran(0), ran(0), "Succeeded"),
        ("Never", ran(0), runs(), "Running"),
        ("Never", waiting.clone(), waiting, "Pending"),
    ];
    for (policy, a, b, wanted) in table {
        let phase = phase_of(&simple(policy), &[state("a", &a), state("b", &b)]);
        assert_eq!(phase, wanted, "{policy} {a} {b}");
    }
}

#[test]
fn a_failed_init_container_fails_a_pod_that_never_restarts() {
    let pod = pod(json!({
        "restartPolicy": "Never",
        "initContainers": [{ "name": "init", "image": "i" }],
        "containers": [{ "name": "a", "image": "i" }],
    }));
    let report = status(json!({
        "initContainerStatuses": [state("init", &ran(1))],
        "containerStatuses": [state("a", &json!({ "waiting": { "reason": "PodInitializing" } }))],
    }));
    let (baseline, now) = (PodStatus::default(), time(0));
    let wanted = translate(&facts(&pod, &baseline, Some(&report), &now));
    assert_eq!(wanted.phase.as_deref(), Some("Failed"));
}

#[test]
fn a_container_that_is_started_again_by_its_own_policy_or_rule_does_not_end_its_pod() {
    let rule = json!([{ "action": "Restart", "exitCodes": { "operator": "In", "values": [42] } }]);
    let table = [
        (json!({ "restartPolicy": "OnFailure" }), 1, "Running"),
        (json!({ "restartPolicy": "OnFailure" }), 0, "Succeeded"),
        (json!({ "restartPolicy": "Never", "restartPolicyRules": rule }), 42, "Running"),
        (json!({ "restartPolicy": "Never", "restartPolicyRules": rule }), 1, "Failed"),
    ];
    for (own, code, wanted) in table {
        let mut container = json!({ "name": "a", "image": "i" });
        container.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
        let pod = pod(json!({ "restartPolicy": "Never", "containers": [container] }));
        assert_eq!(phase_of(&pod, &[state("a", &ran(code))]), wanted, "{own} {code}");
    }
}

#[test]
fn a_sidecar_that_is_not_ready_keeps_its_pod_from_being_so_and_one_that_runs_keeps_it_running() {
    let init = json!({ "name": "side", "image": "i", "restartPolicy": "Always" });
    let pod = pod(
        json!({ "restartPolicy": "Never", "initContainers": [init], "containers": [{ "name": "a", "image": "i" }] }),
    );
    let (baseline, now) = (PodStatus::default(), time(0));
    let wanted = |main: &Value, ready: bool| {
        let mut side = state("side", &runs());
        side["ready"] = json!(ready);
        let mut main = state("a", main);
        main["ready"] = json!(true);
        let report = status(json!({ "initContainerStatuses": [side], "containerStatuses": [main] }));
        let wanted = translate(&facts(&pod, &baseline, Some(&report), &now));
        let conditions = wanted.conditions.unwrap();
        let ready = conditions.into_iter().find(|condition| condition.type_ == "Ready").unwrap().status;
        format!("{} {ready}", wanted.phase.unwrap())
    };
    assert_eq!(wanted(&runs(), true), "Running True");
    assert_eq!(wanted(&runs(), false), "Running False");
    assert_eq!(wanted(&ran(0), true), "Running False", "it is stopped before the pod has ended");
}

#[test]
fn a_phase_without_containers_is_completed_from_the_spec() {
    let pod = simple("Always");
    let report = status(json!({ "phase": "Running", "podIP": "10.1.2.3", "startTime": "2026-01-01T00:00:00Z" }));
    let (baseline, now) = (PodStatus::default(), time(1_800_000_000));
    let wanted = translate(&facts(&pod, &baseline, Some(&report), &now));
    insta::assert_json_snapshot!(wanted);
}

#[test]
fn a_pod_that_waits_says_what_for() {
    let pod = simple("Always");
    let (baseline, now) = (PodStatus::default(), time(0));
    let mut facts = facts(&pod, &baseline, None, &now);
    facts.held = Some(held("ProviderQuotaExceeded", "no room"));
    let wanted = translate(&facts);
    assert_eq!(wanted.phase.as_deref(), Some("Pending"));
    let first = &wanted.container_statuses.unwrap()[0];
    let waiting = first.state.as_ref().unwrap().waiting.as_ref().unwrap();
    assert_eq!(
        (waiting.reason.as_deref(), waiting.message.as_deref()),
        (Some("ProviderQuotaExceeded"), Some("no room"))
    );
}

#[test]
fn a_terminal_phase_is_never_left() {
    let pod = simple("Always");
    let baseline = status(json!({ "phase": "Failed", "reason": "Evicted", "message": "why" }));
    let report = status(json!({ "containerStatuses": [state("a", &runs()), state("b", &runs())] }));
    let now = time(0);
    let wanted = translate(&facts(&pod, &baseline, Some(&report), &now));
    assert_eq!((wanted.phase.as_deref(), wanted.reason.as_deref()), (Some("Failed"), Some("Evicted")));
}

#[test]
fn after_a_deletion_nothing_looks_alive() {
    let pod = simple("Always");
    let report = status(json!({ "containerStatuses": [state("a", &runs()), state("b", &ran(0))] }));
    let (baseline, now) = (PodStatus::default(), time(100));
    let mut facts = facts(&pod, &baseline, Some(&report), &now);
    facts.stopped = true;
    let wanted = translate(&facts);
    assert_eq!(wanted.phase.as_deref(), Some("Failed"));
    let containers = wanted.container_statuses.unwrap();
    let ended = containers[0].state.as_ref().unwrap().terminated.as_ref().unwrap();
    assert_eq!((ended.exit_code, ended.reason.as_deref()), (137, Some("ContainerStatusUnknown")));
    assert!(containers.iter().all(|container| !container.ready));
}

#[test]
fn a_pod_that_stops_cleanly_for_a_deletion_succeeds_whatever_its_policy() {
    let pod = simple("Always");
    let report = status(json!({ "containerStatuses": [state("a", &ran(0)), state("b", &ran(0))] }));
    let (baseline, now) = (PodStatus::default(), time(100));
    let mut facts = facts(&pod, &baseline, Some(&report), &now);
    assert_eq!(translate(&facts).phase.as_deref(), Some("Running"), "until then it would be restarted");
    facts.stopped = true;
    assert_eq!(translate(&facts).phase.as_deref(), Some("Succeeded"));
}

#[test]
fn readiness_gates_of_others_hold_ready_back() {
    let mut pod = simple("Always");
    pod.spec.as_mut().unwrap().readiness_gates =
        Some(vec![serde_json::from_value(json!({ "conditionType": "example.com/gate" })).unwrap()]);
    let report = status(json!({ "containerStatuses": [state("a", &runs()), state("b", &runs())] }));
    let now = time(0);
    let ready = |baseline: &PodStatus| {
        let wanted = translate(&facts(&pod, baseline, Some(&report), &now));
        wanted.conditions.unwrap().into_iter().find(|condition| condition.type_ == "Ready").unwrap().status
    };
    assert_eq!(ready(&PodStatus::default()), "False");
    let open = status(json!({ "conditions": [{ "type": "example.com/gate", "status": "True" }] }));
    assert_eq!(ready(&open), "True");
}

#[test]
fn translating_what_was_written_gives_no_further_patch() {
    let pod = simple("Always");
    let reports = [
        status(json!({ "phase": "Running" })),
        status(json!({ "phase": "Failed" })),
        status(json!({ "containerStatuses": [state("a", &runs()), state("b", &ran(0))], "podIP": "10.0.0.9" })),
    ];
    for (report, stopped) in reports.iter().flat_map(|report| [(report, false), (report, true)]) {
        let (mut baseline, first) = (PodStatus::default(), time(100));
        let mut now = facts(&pod, &baseline, Some(report), &first);
        now.stopped = stopped;
        let wanted = translate(&now);
        assert!(patch::between("u", &baseline, &wanted).is_some());
        patch::apply(&mut baseline, &wanted);
        let later = time(200);
        let mut again = facts(&pod, &baseline, Some(report), &later);
        again.stopped = stopped;
        assert_eq!(patch::between("u", &baseline, &translate(&again)), None, "{report:?}");
    }
}

#[test]
fn a_pod_that_failed_because_it_was_lost_does_not_look_alive_and_keeps_its_restarts() {
    let pod = simple("Never");
    let mut running = state("a", &runs());
    running["restartCount"] = json!(3);
    let baseline = status(json!({ "phase": "Running", "containerStatuses": [running, state("b", &ran(0))] }));
    let now = time(100);
    let mut facts = facts(&pod, &baseline, None, &now);
    (facts.failed, facts.held) = (true, Some(held("ProviderLostPod", "lost")));
    let wanted = translate(&facts);
    assert_eq!((wanted.phase.as_deref(), wanted.reason.as_deref()), (Some("Failed"), Some("ProviderLostPod")));
    let first = &wanted.container_statuses.unwrap()[0];
    let ended = first.state.as_ref().unwrap().terminated.as_ref().unwrap();
    assert_eq!((ended.exit_code, first.restart_count, first.ready), (137, 3, false));
}

#[test]
fn an_init_container_that_runs_keeps_the_pod_uninitialized_and_a_started_sidecar_does_not() {
    let initialized = |policy: Option<&str>| {
        let init = json!({ "name": "init", "image": "i", "restartPolicy": policy });
        let pod = pod(json!({ "initContainers": [init], "containers": [{ "name": "a", "image": "i" }] }));
        let waiting = json!({ "waiting": { "reason": "PodInitializing" } });
        let report = status(json!({
            "initContainerStatuses": [state("init", &runs())], "containerStatuses": [state("a", &waiting)],
        }));
        let (baseline, now) = (PodStatus::default(), time(0));
        let conditions = translate(&facts(&pod, &baseline, Some(&report), &now)).conditions.unwrap();
        conditions.into_iter().find(|condition| condition.type_ == "Initialized").unwrap().status
    };
    assert_eq!(initialized(None), "False");
    assert_eq!(initialized(Some("Always")), "True");
}

#[test]
fn an_address_that_is_none_is_left_out_instead_of_spoiling_the_status() {
    let pod = simple("Always");
    let report = status(json!({ "phase": "Running", "podIP": "nowhere" }));
    let (baseline, now) = (PodStatus::default(), time(0));
    assert_eq!(translate(&facts(&pod, &baseline, Some(&report), &now)).pod_ip, None);
}

#[test]
fn what_the_api_server_makes_of_a_status_is_not_a_difference() {
    let pod = simple("Always");
    let state = json!({ "running": { "startedAt": "2026-01-01T00:00:00.123456Z" } });
    let container = |name: &str| json!({ "name": name, "image": "i", "imageID": "", "ready": true, "restartCount": 0, "state": state });
    let report =
        status(json!({ "containerStatuses": [container("a"), container("b")], "startTime": "2026-01-01T00:00:00.9Z" }));
    let (empty, now) = (PodStatus::default(), time(100));
    let wanted = translate(&facts(&pod, &empty, Some(&report), &now));
    // Times lose their fractions and an empty lastState stays.
    let mut held = serde_json::to_value(&wanted).unwrap();
    held["containerStatuses"][0]["lastState"] = json!({});
    let held = status(held);
    assert_eq!(patch::between("u", &held, &translate(&facts(&pod, &held, Some(&report), &now))), None);
}

#[test]
fn a_patch_carries_the_uid_and_only_what_differs() {
    let held = status(json!({
        "phase": "Pending", "reason": "Old", "qosClass": "BestEffort", "podIPs": [{ "ip": "10.0.0.1" }],
        "conditions": [{ "type": "Ready", "status": "False", "reason": "Old" }, { "type": "mine", "status": "True" }],
    }));
    let wanted = status(json!({
        "phase": "Running", "podIPs": [{ "ip": "10.0.0.2" }],
        "conditions": [{ "type": "Ready", "status": "True" }],
    }));
    assert_eq!(
        patch::between("u", &held, &wanted).unwrap(),
        json!({ "metadata": { "uid": "u" }, "status": {
            "phase": "Running",
            "reason": null,
            "podIPs": [{ "$patch": "replace" }, { "ip": "10.0.0.2" }],
            "conditions": [{ "type": "Ready", "status": "True", "reason": null, "message": null }],
        }})
    );
}

#[test]
fn transition_times_move_only_when_the_condition_does() {
    let pod = simple("Always");
    let running = status(json!({ "phase": "Running" }));
    let (empty, first, later) = (PodStatus::default(), time(100), time(200));
    let baseline = translate(&facts(&pod, &empty, Some(&running), &first));
    let again = translate(&facts(&pod, &baseline, Some(&running), &later));
    let kubelets = |status: &PodStatus| status.conditions.iter().flatten().take(4).cloned().collect::<Vec<_>>();
    assert_eq!(kubelets(&again), kubelets(&baseline));
}

#[test]
fn a_report_of_terminated_containers_means_stopped_and_one_of_waiting_does_not() {
    assert!(has_stopped(&status(json!({ "containerStatuses": [state("a", &ran(0))] }))));
    assert!(!has_stopped(&status(json!({ "containerStatuses": [state("a", &ran(0)), state("b", &runs())] }))));
    assert!(has_stopped(&status(json!({ "phase": "Succeeded" }))));
    assert!(!has_stopped(&status(json!({ "phase": "Running" }))));
}

#[test]
fn an_ipv4_address_in_ipv6_clothes_is_undressed_and_what_is_no_address_is_left_out() {
    let pod = simple("Always");
    let ips = json!([{ "ip": "::ffff:10.0.0.7" }, { "ip": "nowhere" }, { "ip": "fd00::7" }]);
    let report = status(json!({ "phase": "Running", "podIPs": ips }));
    let (baseline, now) = (PodStatus::default(), time(0));
    let translated = translate(&facts(&pod, &baseline, Some(&report), &now));
    let ips: Vec<_> = translated.pod_ips.unwrap().into_iter().map(|ip| ip.ip).collect();
    assert_eq!(
        (translated.pod_ip.as_deref(), ips),
        (Some("10.0.0.7"), vec!["10.0.0.7".to_owned(), "fd00::7".to_owned()])
    );
}
