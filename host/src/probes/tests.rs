//! A pod's probes against a runner that answers from a script, in tokio's own time.

use std::collections::HashMap;
use std::sync::Mutex;

use async_trait::async_trait;
use futures::poll;
use prometheus_client::encoding::text::encode;
use serde_json::{Value, json};

use super::*;

/// What a check is answered, by the port of a `tcpSocket` probe. Hangs where nothing is written.
#[derive(Default)]
struct Script {
    answers: Mutex<HashMap<u16, Outcome>>,
    /// Port and second of each check.
    asked: Mutex<Vec<(u16, u64)>>,
    origin: Mutex<Option<Instant>>,
}

impl Script {
    fn new(answers: &[(u16, Outcome)]) -> Arc<Self> {
        let script = Self { answers: Mutex::new(answers.iter().cloned().collect()), ..Self::default() };
        *script.origin.lock().unwrap() = Some(Instant::now());
        Arc::new(script)
    }

    fn answer(&self, port: u16, outcome: Outcome) {
        self.answers.lock().unwrap().insert(port, outcome);
    }

    fn asked(&self) -> Vec<(u16, u64)> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

#[async_trait]
impl Runner for Script {
    async fn check(&self, _: &PodKey, _: &str, check: &Check, pod_ip: Option<IpAddr>, _: Duration) -> Outcome {
        let Check::Tcp { port, .. } = check else { panic!("{check:?}") };
        assert_eq!(pod_ip, Some("10.0.0.1".parse().unwrap()));
        let second = self.origin.lock().unwrap().unwrap().elapsed().as_secs();
        self.asked.lock().unwrap().push((*port, second));
        let answer = self.answers.lock().unwrap().get(port).cloned();
        match answer {
            Some(answer) => answer,
            None => pending().await,
        }
    }
}

fn good() -> Outcome {
    Outcome::Success
}

fn bad() -> Outcome {
    Outcome::failure("connection refused")
}

/// A pod with these containers.
fn pod(containers: Value) -> Arc<Pod> {
    Arc::new(serde_json::from_value(json!({ "spec": { "containers": containers } })).unwrap())
}

/// One container `c` with a probe of each kind in `ports`: startup, readiness, liveness.
fn probes(kinds: &[(&str, Value)], script: &Arc<Script>) -> Probes {
    let mut container = json!({ "name": "c" });
    for (kind, probe) in kinds {
        container[kind] = probe.clone();
    }
    of(&pod(json!([container])), script)
}

fn of(pod: &Arc<Pod>, script: &Arc<Script>) -> Probes {
    Probes::new(PodKey::new("uid", "default", "pod"), pod, pod.status.as_ref(), prober(script)).unwrap()
}

fn prober(script: &Arc<Script>) -> Prober {
    Prober { runner: script.clone(), results: Results::default() }
}

fn tcp(port: u16) -> Value {
    json!({ "tcpSocket": { "port": port } })
}

fn status(containers: Value) -> PodStatus {
    serde_json::from_value(json!({ "podIP": "10.0.0.1", "containerStatuses": containers })).unwrap()
}

fn running(id: &str) -> PodStatus {
    status(json!([state(id, json!({ "running": {} }))]))
}

fn state(id: &str, state: Value) -> Value {
    json!({ "name": "c", "containerID": id, "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state })
}

fn unhealthy(message: &str) -> Finding {
    Finding::Unhealthy { container: "c".to_owned(), message: message.to_owned() }
}

/// Runs the probes for that long; what they found.
async fn run(probes: &mut Probes, seconds: u64) -> Vec<Finding> {
    let end = sleep_until(Instant::now() + Duration::from_secs(seconds));
    tokio::pin!(end);
    let mut findings = vec![];
    loop {
        tokio::select! {
            biased;
            finding = probes.next() => findings.push(finding),
            () = &mut end => return findings,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_without_probes_needs_nothing() {
    let script = Script::new(&[]);
    let key = PodKey::new("uid", "default", "pod");
    assert!(Probes::new(key, &pod(json!([{ "name": "c" }])), None, prober(&script)).is_none());
}

#[tokio::test(start_paused = true)]
async fn readiness_comes_and_goes() {
    let script = Script::new(&[(1, bad())]);
    let mut probes = probes(&[("readinessProbe", tcp(1))], &script);
    assert_eq!(run(&mut probes, 3).await, vec![]);
    assert_eq!(script.asked(), vec![], "nothing runs yet");
    probes.observe(&running("a"));
    assert_eq!(probes.verdict("c"), Verdict { started: None, ready: Some(false) });
    assert_eq!(run(&mut probes, 1).await, vec![unhealthy("Readiness probe failed: connection refused")]);
    script.answer(1, good());
    assert_eq!(run(&mut probes, 10).await, vec![Finding::Changed]);
    assert_eq!(probes.verdict("c"), Verdict { started: None, ready: Some(true) });
    assert_eq!(script.asked(), vec![(1, 3), (1, 13)]);
    script.answer(1, bad());
    let failed = || unhealthy("Readiness probe failed: connection refused");
    assert_eq!(run(&mut probes, 30).await, vec![failed(), failed(), failed(), Finding::Changed]);
    assert_eq!(probes.verdict("c").ready, Some(false));
    assert_eq!(probes.verdict("other"), Verdict { started: None, ready: None });
}

#[tokio::test(start_paused = true)]
async fn a_container_that_fails_to_live_is_restarted_once() {
    let script = Script::new(&[(1, bad())]);
    let liveness = json!({ "tcpSocket": { "port": 1 }, "failureThreshold": 2, "terminationGracePeriodSeconds": 7 });
    let mut probes = probes(&[("livenessProbe", liveness)], &script);
    probes.observe(&running("a"));
    let restart = Finding::Restart {
        container: "c".to_owned(),
        message: "Container c failed liveness probe, will be restarted".to_owned(),
        grace: Some(Duration::from_secs(7)),
        again: true,
    };
    let failed = || unhealthy("Liveness probe failed: connection refused");
    assert_eq!(run(&mut probes, 100).await, vec![failed(), failed(), restart]);
    assert_eq!(script.asked(), vec![(1, 0), (1, 10)]);
    probes.observe(&running("b"));
    script.answer(1, good());
    assert_eq!(run(&mut probes, 10).await, vec![]);
    assert_eq!(script.asked(), vec![(1, 100), (1, 110)]);
}

#[tokio::test(start_paused = true)]
async fn under_the_policy_never_a_container_is_only_stopped() {
    let script = Script::new(&[(1, bad())]);
    let startup = json!({ "tcpSocket": { "port": 1 }, "failureThreshold": 1 });
    let pod: Pod = serde_json::from_value(json!({ "spec": {
        "restartPolicy": "Never", "containers": [{ "name": "c", "startupProbe": startup }],
    } }))
    .unwrap();
    let mut probes = of(&Arc::new(pod), &script);
    probes.observe(&running("a"));
    let stop = Finding::Restart {
        container: "c".to_owned(),
        message: "Container c failed startup probe".to_owned(),
        grace: None,
        again: false,
    };
    assert_eq!(run(&mut probes, 1).await, vec![unhealthy("Startup probe failed: connection refused"), stop]);
}

#[tokio::test(start_paused = true)]
async fn the_others_wait_for_the_startup_probe() {
    let script = Script::new(&[(1, bad()), (2, good()), (3, good())]);
    let kinds = [("startupProbe", tcp(1)), ("readinessProbe", tcp(2)), ("livenessProbe", tcp(3))];
    let mut probes = probes(&kinds, &script);
    probes.observe(&running("a"));
    run(&mut probes, 5).await;
    script.answer(1, good());
    assert_eq!(run(&mut probes, 20).await, vec![Finding::Changed, Finding::Changed]);
    assert_eq!(probes.verdict("c"), Verdict { started: Some(true), ready: Some(true) });
    assert_eq!(script.asked(), vec![(1, 0), (1, 10), (2, 10), (3, 10), (2, 20), (3, 20)]);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_checked_is_tried_three_times_and_told_once() {
    let script = Script::new(&[(1, Outcome::Unknown { error: "no exec here".to_owned() })]);
    let mut probes = probes(&[("livenessProbe", tcp(1))], &script);
    probes.observe(&running("a"));
    let told = unhealthy("Liveness probe errored and resulted in unknown state: no exec here");
    assert_eq!(run(&mut probes, 15).await, vec![told.clone()]);
    assert_eq!(script.asked(), vec![(1, 0), (1, 0), (1, 0), (1, 10), (1, 10), (1, 10)]);
    script.answer(1, good());
    assert_eq!(run(&mut probes, 10).await, vec![]);
    script.answer(1, Outcome::Unknown { error: "no exec here".to_owned() });
    assert_eq!(run(&mut probes, 10).await, vec![told], "it had gone in between");
}

#[tokio::test(start_paused = true)]
async fn a_warning_is_told_and_counts_as_success() {
    let script = Script::new(&[(1, Outcome::Warning { output: "Probe terminated redirects".to_owned() })]);
    let mut probes = probes(&[("readinessProbe", tcp(1))], &script);
    probes.observe(&running("a"));
    let message = "Readiness probe warning: Probe terminated redirects".to_owned();
    let warning = Finding::Warning { container: "c".to_owned(), message };
    assert_eq!(run(&mut probes, 1).await, vec![warning, Finding::Changed]);
}

#[tokio::test(start_paused = true)]
async fn what_came_of_a_container_that_is_gone_is_not_told() {
    let script = Script::new(&[]);
    let mut probes =
        probes(&[("livenessProbe", json!({ "tcpSocket": { "port": 1 }, "failureThreshold": 1 }))], &script);
    probes.observe(&running("a"));
    assert!(poll!(std::pin::pin!(probes.next())).is_pending(), "the check hangs");
    probes.observe(&status(json!([state("a", json!({ "terminated": { "exitCode": 1 } }))])));
    // Cancelled above and polled again here, the check is still the same.
    assert_eq!(run(&mut probes, 60).await, vec![]);
    assert_eq!(script.asked(), vec![(1, 0)]);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_deleted_is_not_restarted() {
    let script = Script::new(&[(1, bad()), (2, bad())]);
    let kinds = [("livenessProbe", tcp(1)), ("readinessProbe", tcp(2))];
    let mut probes = probes(&kinds, &script);
    probes.observe(&running("a"));
    probes.terminating();
    run(&mut probes, 60).await;
    assert!(script.asked().iter().all(|(port, _)| *port == 2));
}

#[tokio::test(start_paused = true)]
async fn a_restart_that_is_not_told_yet_is_dropped_when_the_pod_is_deleted() {
    let script = Script::new(&[(1, bad())]);
    let liveness = json!({ "tcpSocket": { "port": 1 }, "failureThreshold": 1 });
    let mut probes = probes(&[("livenessProbe", liveness)], &script);
    probes.observe(&running("a"));
    assert_eq!(probes.next().await, unhealthy("Liveness probe failed: connection refused"));
    probes.terminating();
    assert_eq!(run(&mut probes, 60).await, vec![]);
}

#[tokio::test(start_paused = true)]
async fn a_report_without_address_does_not_take_it_away() {
    let script = Script::new(&[(1, good())]);
    let mut probes = probes(&[("readinessProbe", tcp(1))], &script);
    probes.observe(&running("a"));
    probes.observe(&PodStatus { pod_ip: None, ..running("a") });
    // The script checks where the check goes.
    assert_eq!(run(&mut probes, 1).await, vec![Finding::Changed]);
}

#[tokio::test(start_paused = true)]
async fn a_pod_with_many_slow_probes_has_few_checks_under_way() {
    let script = Script::new(&[]);
    let container = |at: usize| json!({ "name": format!("c{at}"), "readinessProbe": tcp(at as u16 + 1) });
    let all: Vec<_> = (0..100).map(container).collect();
    let mut probes = of(&pod(json!(all)), &script);
    // Each runs: the provider tells no more than the phase.
    probes.observe(&serde_json::from_value(json!({ "podIP": "10.0.0.1", "phase": "Running" })).unwrap());
    run(&mut probes, 600).await;
    assert_eq!(script.asked().len(), 8);
}

#[tokio::test(start_paused = true)]
async fn sidecars_are_probed_and_other_init_containers_are_not() {
    let script = Script::new(&[(1, good()), (2, good())]);
    let pod: Pod = serde_json::from_value(json!({ "spec": {
        "containers": [{ "name": "app" }],
        "initContainers": [
            { "name": "c", "restartPolicy": "Always", "readinessProbe": tcp(1) },
            { "name": "init", "readinessProbe": tcp(2) },
        ],
    } }))
    .unwrap();
    let mut probes = of(&Arc::new(pod), &script);
    let mut report = running("a");
    report.init_container_statuses = report.container_statuses.take();
    probes.observe(&report);
    assert_eq!(run(&mut probes, 1).await, vec![Finding::Changed]);
    assert_eq!(script.asked(), vec![(1, 0)]);
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_of_the_host_what_was_ready_stays_so() {
    let script = Script::new(&[(1, bad())]);
    let mut held = state("a", json!({ "running": { "startedAt": "2026-01-01T00:00:00Z" } }));
    held["ready"] = true.into();
    let pod: Pod = serde_json::from_value(json!({
        "spec": { "containers": [{ "name": "c", "readinessProbe": tcp(1) }] },
        "status": { "containerStatuses": [held] },
    }))
    .unwrap();
    let mut probes = of(&Arc::new(pod), &script);
    probes.observe(&status(json!([state("a", json!({ "running": { "startedAt": "2026-01-01T00:00:00.5Z" } }))])));
    assert_eq!(probes.verdict("c").ready, Some(true));
    let findings = run(&mut probes, 25).await;
    assert_eq!((findings.len(), findings.last()), (4, Some(&Finding::Changed)));
}

#[tokio::test(start_paused = true)]
async fn the_initial_delay_counts_from_the_reported_start() {
    let script = Script::new(&[(1, good())]);
    let liveness = json!({ "tcpSocket": { "port": 1 }, "initialDelaySeconds": 3600 });
    let report = |start: &str| status(json!([state("a", json!({ "running": { "startedAt": start } }))]));
    let mut old = probes(&[("livenessProbe", liveness.clone())], &script);
    old.observe(&report("2020-01-01T00:00:00Z"));
    run(&mut old, 5).await;
    assert_eq!(script.asked(), vec![(1, 0)]);
    // A clock that is ahead: the delay counts from when it was first seen.
    let mut ahead = probes(&[("livenessProbe", liveness)], &script);
    ahead.observe(&report("2999-01-01T00:00:00Z"));
    run(&mut ahead, 3599).await;
    assert_eq!(script.asked(), vec![]);
    run(&mut ahead, 2).await;
    assert_eq!(script.asked(), vec![(1, 3605)]);
}

#[tokio::test(start_paused = true)]
async fn results_are_counted_under_the_kubelets_names_and_go_with_the_pod() {
    let script = Script::new(&[(1, good()), (2, bad())]);
    let prober = prober(&script);
    let registry = prober.results.registry();
    let shown = || {
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<std::collections::BTreeSet<_>>()
    };
    let pod = pod(json!([{ "name": "c", "readinessProbe": tcp(1), "livenessProbe": tcp(2) }]));
    let key = PodKey::new("uid", "default", "pod");
    let mut probes = Probes::new(key, &pod, None, prober.clone()).unwrap();
    probes.observe(&running("1"));
    run(&mut probes, 15).await;
    let labels = r#"container="c",pod="pod",namespace="default",pod_uid="uid""#;
    let expected = [("Liveness", "failed"), ("Readiness", "successful")]
        .map(|(kind, result)| format!(r#"prober_probe_total{{probe_type="{kind}",result="{result}",{labels}}} 2"#));
    assert_eq!(shown(), expected.into());
    drop(probes);
    assert_eq!(shown(), [].into());
}
