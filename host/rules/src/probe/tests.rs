//! The kubelet's own tests (`worker_test.go`), what it does besides, and any order of events.

mod explore;

use super::*;

const ZERO: Duration = Duration::ZERO;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn container(yaml: &str) -> Container {
    let container = serde_json::from_str(yaml).unwrap();
    Container::new(&container, ZERO).unwrap()
}

fn running(id: &str) -> Seen {
    let instance = Instance { id: Some(id.to_owned()), ..Instance::default() };
    Seen { instance, running: true, starting: false, age: ZERO }
}

fn stopped(id: &str) -> Seen {
    Seen { running: false, ..running(id) }
}

/// A check of the probe that is due at that second, with its outcome.
fn check(container: &mut Container, kind: Kind, at: u64, success: bool) -> Effect {
    let ticket = container.begin(kind, seconds(at)).unwrap();
    container.finished(ticket, seconds(at), Some(success))
}

#[test]
fn a_probe_without_numbers_has_the_defaults_of_the_api() {
    // https://kubernetes.io/docs/tasks/configure-pod-container/configure-liveness-readiness-startup-probes/#configure-probes
    let expected = Settings {
        initial_delay: seconds(0),
        period: seconds(10),
        timeout: seconds(1),
        success_threshold: 1,
        failure_threshold: 3,
        grace: None,
    };
    assert_eq!(Settings::of(Kind::Liveness, &Probe::default()), expected);
    let nonsense = Probe { period_seconds: Some(0), timeout_seconds: Some(-1), ..Probe::default() };
    assert_eq!(Settings::of(Kind::Liveness, &nonsense), expected);
}

#[test]
fn the_numbers_of_a_probe_are_taken_where_the_api_allows_them() {
    let probe = Probe {
        initial_delay_seconds: Some(5),
        period_seconds: Some(2),
        timeout_seconds: Some(3),
        success_threshold: Some(4),
        failure_threshold: Some(6),
        termination_grace_period_seconds: Some(60),
        ..Probe::default()
    };
    let readiness = Settings::of(Kind::Readiness, &probe);
    assert_eq!((readiness.initial_delay, readiness.period, readiness.timeout), (seconds(5), seconds(2), seconds(3)));
    assert_eq!((readiness.success_threshold, readiness.failure_threshold, readiness.grace), (4, 6, None));
    let liveness = Settings::of(Kind::Liveness, &probe);
    assert_eq!((liveness.success_threshold, liveness.failure_threshold), (1, 6));
    assert_eq!(liveness.grace, Some(seconds(60)));
}

#[test]
fn a_container_without_probes_has_no_machine() {
    assert!(Container::new(&k8s_openapi::api::core::v1::Container::default(), ZERO).is_none());
}

/// `TestDoProbe`.
#[test]
fn nothing_is_checked_and_nothing_stands_before_a_container_is_seen() {
    for (kind, json) in [(Kind::Liveness, r#"{"name":"c","livenessProbe":{}}"#), (Kind::Readiness, READINESS)] {
        let mut none = container(json);
        assert_eq!((none.standing(kind), none.due()), (None, None), "no status");
        none.observe(ZERO, None);
        assert_eq!((none.standing(kind), none.due()), (None, None), "no container status");

        let mut waiting = container(json);
        waiting.observe(ZERO, Some(&stopped("test://a")));
        assert_eq!((waiting.standing(kind), waiting.due()), (Some(Standing::Failure), None), "container waiting");

        let mut successful = container(json);
        successful.observe(ZERO, Some(&running("test://a")));
        check(&mut successful, kind, 0, true);
        assert_eq!(successful.standing(kind), Some(Standing::Success), "probe successful");
    }
}

const READINESS: &str = r#"{"name":"c","readinessProbe":{}}"#;

/// `TestInitialDelay`.
#[test]
fn the_initial_delay_counts_from_the_start_of_the_container() {
    for (kind, json, at_first) in [
        (Kind::Liveness, r#"{"name":"c","livenessProbe":{"initialDelaySeconds":10}}"#, Standing::Success),
        (Kind::Readiness, r#"{"name":"c","readinessProbe":{"initialDelaySeconds":10}}"#, Standing::Failure),
        (Kind::Startup, r#"{"name":"c","startupProbe":{"initialDelaySeconds":10}}"#, Standing::Unknown),
    ] {
        let mut young = container(json);
        young.observe(ZERO, Some(&running("test://a")));
        assert_eq!(young.standing(kind), Some(at_first));
        assert_eq!(young.begin(kind, seconds(9)), None, "during initial delay");
        assert_eq!(young.due(), Some((seconds(10), kind)));

        let mut old = container(json);
        old.observe(ZERO, Some(&Seen { age: seconds(100), ..running("test://a") }));
        check(&mut old, kind, 0, true);
        assert_eq!(old.standing(kind), Some(Standing::Success), "after initial delay");
    }
}

/// `TestFailureThreshold`.
#[test]
fn a_standing_turns_with_the_third_failure_in_a_row() {
    let mut one =
        container(r#"{"name":"c","readinessProbe":{"successThreshold":1,"failureThreshold":3,"periodSeconds":1}}"#);
    one.observe(ZERO, Some(&running("test://a")));
    let mut at = 0..;
    for _ in 0..2 {
        for (success, expected) in [
            (true, Standing::Success),
            (true, Standing::Success),
            (true, Standing::Success),
            (false, Standing::Success),
            (false, Standing::Success),
            (false, Standing::Failure),
            (false, Standing::Failure),
            (false, Standing::Failure),
        ] {
            check(&mut one, Kind::Readiness, at.next().unwrap(), success);
            assert_eq!(one.standing(Kind::Readiness), Some(expected));
        }
    }
}

/// `TestSuccessThreshold`.
#[test]
fn a_standing_turns_with_the_third_success_in_a_row() {
    let mut one =
        container(r#"{"name":"c","readinessProbe":{"successThreshold":3,"failureThreshold":1,"periodSeconds":1}}"#);
    one.observe(ZERO, Some(&running("test://a")));
    let mut at = 0..;
    for _ in 0..2 {
        for (success, expected) in [
            (true, Standing::Failure),
            (true, Standing::Failure),
            (true, Standing::Success),
            (true, Standing::Success),
            (true, Standing::Success),
            (false, Standing::Failure),
        ] {
            check(&mut one, Kind::Readiness, at.next().unwrap(), success);
            assert_eq!(one.standing(Kind::Readiness), Some(expected));
        }
    }
}

/// `TestOnHoldOnLivenessCheckFailure`, `TestOnHoldOnStartupCheckFailure`.
#[test]
fn after_a_fatal_failure_nothing_is_checked_until_the_container_is_another() {
    for (kind, json) in [
        (Kind::Liveness, r#"{"name":"c","livenessProbe":{"failureThreshold":1}}"#),
        (Kind::Startup, r#"{"name":"c","startupProbe":{"failureThreshold":1}}"#),
    ] {
        let mut one = container(json);
        one.observe(ZERO, Some(&running("test://a")));
        assert_eq!(check(&mut one, kind, 0, false), Effect::Restart);
        assert_eq!((one.standing(kind), one.due()), (Some(Standing::Failure), None), "on hold");
        one.observe(seconds(20), Some(&running("test://a")));
        one.observe(seconds(21), Some(&stopped("test://a")));
        assert_eq!(one.due(), None, "while on hold");
        one.observe(seconds(25), Some(&running("test://b")));
        assert_eq!(one.due(), Some((seconds(30), kind)), "hold lifted");
        check(&mut one, kind, 30, true);
        assert_eq!(one.standing(kind), Some(Standing::Success));
    }
}

/// `TestStartupProbeDisabledByStarted`, `TestStartupProbeSuccessThreshold`.
#[test]
fn a_startup_probe_gates_the_others_and_ends_with_its_success() {
    let mut one =
        container(r#"{"name":"c","startupProbe":{"failureThreshold":5},"readinessProbe":{},"livenessProbe":{}}"#);
    one.observe(ZERO, Some(&running("test://a")));
    assert_eq!(one.verdict(), Verdict { started: Some(false), ready: Some(false) });
    assert_eq!((one.begin(Kind::Readiness, ZERO), one.begin(Kind::Liveness, ZERO)), (None, None));
    assert_eq!(check(&mut one, Kind::Startup, 0, false), Effect::Unchanged);
    assert_eq!(check(&mut one, Kind::Startup, 10, true), Effect::Changed);
    assert_eq!(one.verdict(), Verdict { started: Some(true), ready: Some(false) });
    assert_eq!(one.begin(Kind::Startup, seconds(20)), None);
    // Readiness is looked at without delay (`UpdatePodStatus` triggers it), liveness with its next tick.
    assert_eq!(check(&mut one, Kind::Readiness, 10, true), Effect::Changed);
    assert_eq!(one.verdict(), Verdict { started: Some(true), ready: Some(true) });
    assert_eq!(check(&mut one, Kind::Liveness, 10, true), Effect::Unchanged);
    one.observe(seconds(15), Some(&running("test://b")));
    assert_eq!(one.verdict(), Verdict { started: Some(false), ready: Some(false) });
    assert_eq!(one.due(), Some((seconds(20), Kind::Startup)));
}

#[test]
fn a_startup_probe_alone_keeps_back_the_readiness_and_then_lets_it_be() {
    let mut one = container(r#"{"name":"c","startupProbe":{}}"#);
    one.observe(ZERO, Some(&running("test://a")));
    assert_eq!(one.verdict(), Verdict { started: Some(false), ready: Some(false) });
    check(&mut one, Kind::Startup, 0, true);
    assert_eq!(one.verdict(), Verdict { started: Some(true), ready: None });
}

#[test]
fn a_container_whose_hook_still_runs_is_not_checked() {
    let mut one = container(READINESS);
    one.observe(ZERO, Some(&Seen { starting: true, ..running("test://a") }));
    assert_eq!(one.due(), None);
    one.observe(seconds(3), Some(&running("test://a")));
    assert_eq!(one.due(), Some((seconds(3), Kind::Readiness)));
}

#[test]
fn readiness_is_looked_at_as_soon_as_the_container_runs_and_then_by_its_period() {
    let mut one = container(READINESS);
    one.observe(seconds(3), Some(&running("test://a")));
    check(&mut one, Kind::Readiness, 3, false);
    assert_eq!(one.due(), Some((seconds(13), Kind::Readiness)));
}

#[test]
fn liveness_ticks_from_its_first_moment_whenever_the_container_starts() {
    let mut one = container(r#"{"name":"c","livenessProbe":{}}"#);
    one.observe(seconds(3), Some(&running("test://a")));
    assert_eq!(one.due(), Some((seconds(10), Kind::Liveness)));
}

#[test]
fn a_check_that_outlasts_its_period_is_followed_by_one_more_at_once() {
    // As a ticker of Go keeps one tick for a reader that is late.
    let mut one = container(r#"{"name":"c","livenessProbe":{"periodSeconds":5,"timeoutSeconds":60}}"#);
    one.observe(ZERO, Some(&running("test://a")));
    let ticket = one.begin(Kind::Liveness, ZERO).unwrap();
    assert_eq!((one.due(), one.begin(Kind::Liveness, seconds(11))), (None, None), "never two at a time");
    one.finished(ticket, seconds(12), Some(true));
    assert!(one.due().unwrap().0 <= seconds(12));
    one.begin(Kind::Liveness, seconds(12)).map(|ticket| one.finished(ticket, seconds(12), Some(true))).unwrap();
    assert_eq!(one.due(), Some((seconds(15), Kind::Liveness)));
}

#[test]
fn reports_do_not_put_off_a_check_that_is_due() {
    let mut one = container(r#"{"name":"c","livenessProbe":{}}"#);
    for at in 0..25 {
        one.observe(seconds(at), Some(&running("test://a")));
    }
    assert_eq!(one.due(), Some((ZERO, Kind::Liveness)));
}

#[test]
fn an_error_of_the_prober_counts_neither_way() {
    let mut one = container(r#"{"name":"c","livenessProbe":{"failureThreshold":2}}"#);
    one.observe(ZERO, Some(&running("test://a")));
    assert_eq!(check(&mut one, Kind::Liveness, 0, false), Effect::Unchanged);
    for at in [10, 20, 30] {
        let ticket = one.begin(Kind::Liveness, seconds(at)).unwrap();
        assert_eq!(one.finished(ticket, seconds(at), None), Effect::Unchanged);
    }
    assert_eq!(check(&mut one, Kind::Liveness, 40, false), Effect::Restart);
}

#[test]
fn an_outcome_of_the_container_before_is_void() {
    let mut one = container(r#"{"name":"c","livenessProbe":{"failureThreshold":1},"readinessProbe":{}}"#);
    one.observe(ZERO, Some(&running("test://a")));
    let (liveness, readiness) = (one.begin(Kind::Liveness, ZERO).unwrap(), one.begin(Kind::Readiness, ZERO).unwrap());
    one.observe(seconds(1), Some(&running("test://b")));
    assert_eq!(one.finished(liveness, seconds(2), Some(false)), Effect::Void);
    assert_eq!(one.finished(readiness, seconds(2), Some(true)), Effect::Void);
    assert_eq!(one.verdict().ready, Some(false));
}

#[test]
fn what_stops_is_not_ready_and_what_it_said_last_is_void() {
    let mut one = container(READINESS);
    one.observe(ZERO, Some(&running("test://a")));
    check(&mut one, Kind::Readiness, 0, true);
    let ticket = one.begin(Kind::Readiness, seconds(10)).unwrap();
    one.observe(seconds(11), Some(&stopped("test://a")));
    assert_eq!(one.verdict().ready, Some(false));
    assert_eq!(one.finished(ticket, seconds(11), Some(true)), Effect::Void);
    assert_eq!((one.verdict().ready, one.due()), (Some(false), None));
}

#[test]
fn another_container_is_told_by_its_id_its_start_its_restarts_or_by_having_stopped() {
    let instance = |id: Option<&str>, started_at, restarts| Seen {
        instance: Instance { id: id.map(str::to_owned), started_at, restarts },
        ..running("")
    };
    let gone = |seen: &Seen| Seen { running: false, ..seen.clone() };
    let ready = |steps: &[Seen]| {
        let mut one = container(READINESS);
        one.observe(ZERO, steps.first());
        check(&mut one, Kind::Readiness, 0, true);
        steps.iter().for_each(|seen| one.observe(seconds(1), Some(seen)));
        one.verdict().ready == Some(true)
    };
    let first = instance(Some("a"), Some(100), 0);
    assert!(ready(&[first.clone(), first.clone()]));
    assert!(ready(&[first.clone(), instance(None, Some(100), 0), instance(Some("a"), None, 0)]), "less is told");
    assert!(!ready(&[first.clone(), instance(Some("b"), Some(100), 0)]), "another ID");
    assert!(!ready(&[first.clone(), instance(Some("a"), Some(101), 0)]), "another start");
    assert!(!ready(&[first.clone(), instance(Some("a"), Some(100), 1)]), "another restart");
    let bare = instance(None, None, 0);
    assert!(ready(&[bare.clone(), bare.clone()]));
    assert!(!ready(&[bare.clone(), gone(&bare), bare.clone()]), "it had stopped");
}

#[test]
fn a_run_of_failures_ends_with_its_container() {
    let mut one = container(r#"{"name":"c","livenessProbe":{"failureThreshold":2}}"#);
    one.observe(ZERO, Some(&running("test://a")));
    check(&mut one, Kind::Liveness, 0, false);
    one.observe(seconds(5), Some(&running("test://b")));
    assert_eq!(check(&mut one, Kind::Liveness, 10, false), Effect::Unchanged);
    assert_eq!(check(&mut one, Kind::Liveness, 20, false), Effect::Restart);
}

#[test]
fn a_pod_that_is_deleted_is_not_restarted_but_may_lose_its_readiness() {
    let json = r#"{"name":"c","livenessProbe":{"failureThreshold":1},"readinessProbe":{"failureThreshold":1}}"#;
    let mut one = container(json);
    one.observe(ZERO, Some(&running("test://a")));
    let liveness = one.begin(Kind::Liveness, ZERO).unwrap();
    check(&mut one, Kind::Readiness, 0, true);
    one.terminating(seconds(1));
    assert_eq!(one.finished(liveness, seconds(1), Some(false)), Effect::Void);
    assert_eq!(one.due(), Some((seconds(10), Kind::Readiness)));
    assert_eq!(check(&mut one, Kind::Readiness, 10, false), Effect::Changed);
    assert_eq!(one.verdict().ready, Some(false));
}

#[test]
fn a_host_that_starts_again_leaves_started_and_ready_what_was() {
    let json = r#"{"name":"c","startupProbe":{},"readinessProbe":{"failureThreshold":2}}"#;
    let verdict = Verdict { started: Some(true), ready: Some(true) };
    let before = running("test://a").instance;

    let mut same = container(json);
    same.remember(before.clone(), verdict);
    same.observe(ZERO, Some(&running("test://a")));
    assert_eq!(same.verdict(), verdict);
    assert_eq!(check(&mut same, Kind::Readiness, 0, false), Effect::Unchanged);
    assert_eq!(check(&mut same, Kind::Readiness, 10, false), Effect::Changed);

    let mut unstarted = container(json);
    unstarted.remember(before.clone(), Verdict { started: Some(false), ready: Some(true) });
    unstarted.observe(ZERO, Some(&running("test://a")));
    assert_eq!(unstarted.verdict(), Verdict { started: Some(false), ready: Some(false) });

    let mut another = container(json);
    another.remember(before, verdict);
    another.observe(ZERO, Some(&running("test://b")));
    assert_eq!(another.verdict(), Verdict { started: Some(false), ready: Some(false) });
}

#[test]
fn a_provider_that_reports_ever_new_containers_does_not_make_the_host_hammer() {
    let mut one = container(READINESS);
    let mut checks = 0;
    for millisecond in 0..5000 {
        let now = Duration::from_millis(millisecond);
        one.observe(now, Some(&running(&format!("test://{millisecond}"))));
        if let Some(ticket) = one.begin(Kind::Readiness, now) {
            one.finished(ticket, now, Some(false));
            checks += 1;
        }
    }
    assert_eq!(checks, 5);
}
