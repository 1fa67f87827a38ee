//! From Pending to the end.

use super::{reported, scripted, seconds, shown, start};

#[test]
fn a_pod_without_annotations_runs_for_ever_under_every_restart_policy() {
    for policy in ["Always", "OnFailure", "Never"] {
        let (harness, pod) = (start(), scripted(policy, &[]));
        let created = harness.create(&pod).unwrap();
        assert_eq!(shown(&created), "Running: running, 0 restarts");
        harness.advance(seconds(1_000_000));
        assert_eq!(harness.status(&pod).unwrap(), created);
        assert_eq!(reported(&harness), (vec![], false));
    }
}

#[test]
fn a_pod_with_a_start_delay_is_created_at_once_and_runs_later() {
    let (harness, pod) = (start(), scripted("Always", &[("start-delay", "2s")]));
    let status = harness.create(&pod).unwrap();
    assert_eq!(shown(&status), "Pending: ContainerCreating, 0 restarts");
    assert_eq!(status.pod_ip, None);

    harness.advance(seconds(2));
    let (statuses, _) = reported(&harness);
    assert_eq!(statuses.iter().map(shown).collect::<Vec<_>>(), ["Running: running, 0 restarts"]);
    assert!(statuses[0].pod_ip.as_ref().is_some_and(|ip| ip.starts_with("10.")));
    assert!(statuses[0].container_statuses[0].ready);
}

#[test]
fn a_run_that_ends_well_completes_the_pod() {
    for policy in ["OnFailure", "Never"] {
        let (harness, pod) = (start(), scripted(policy, &[("run-for", "5s")]));
        harness.create(&pod).unwrap();
        harness.advance(seconds(5));
        let (statuses, gone) = reported(&harness);
        assert_eq!(statuses.iter().map(shown).collect::<Vec<_>>(), ["Succeeded: Completed 0, 0 restarts"]);
        assert!(!gone, "it stays until it is deleted");
        let end = statuses[0].container_statuses[0].state.terminated.clone().unwrap();
        assert_eq!(end.finished_at.unwrap().unix_seconds() - end.started_at.unwrap().unix_seconds(), 5);
        assert_eq!(end.container_id.as_deref(), Some("mock://uid-web/main/0"));
    }
}

#[test]
fn a_run_that_ends_badly_fails_a_pod_that_never_restarts() {
    let (harness, pod) = (start(), scripted("Never", &[("run-for", "5s"), ("exit-code", "3")]));
    harness.create(&pod).unwrap();
    harness.advance(seconds(5));
    assert_eq!(shown(&harness.status(&pod).unwrap()), "Failed: Error 3, 0 restarts");
}

#[test]
fn a_container_that_crashes_again_waits_longer_each_time() {
    let (harness, pod) = (start(), scripted("OnFailure", &[("run-for", "5s"), ("exit-code", "1")]));
    harness.create(&pod).unwrap();
    let mut seen = Vec::new();
    for second in 1..=60 {
        harness.advance(seconds(1));
        seen.extend(reported(&harness).0.iter().map(|status| format!("{second}s {}", shown(status))));
    }
    assert_eq!(
        seen,
        [
            "5s Running: running, 1 restarts",
            "10s Running: CrashLoopBackOff, 1 restarts",
            "20s Running: running, 2 restarts",
            "25s Running: CrashLoopBackOff, 2 restarts",
            "45s Running: running, 3 restarts",
            "50s Running: CrashLoopBackOff, 3 restarts",
        ]
    );
    let container = harness.status(&pod).unwrap().container_statuses[0].clone();
    assert_eq!(container.last_state.terminated.unwrap().exit_code, 1);
    assert!(!container.ready);
}

#[test]
fn always_restarts_a_run_that_ended_well_too() {
    let (harness, pod) = (start(), scripted("Always", &[("run-for", "5s")]));
    harness.create(&pod).unwrap();
    harness.advance(seconds(6));
    let status = harness.status(&pod).unwrap();
    assert_eq!(shown(&status), "Running: running, 1 restarts");
    assert_eq!(status.container_statuses[0].container_id.as_deref(), Some("mock://uid-web/main/1"));
}

#[test]
fn a_pod_that_has_crashed_for_a_month_is_told_as_fast_as_a_new_one() {
    let (harness, pod) = (start(), scripted("Always", &[("run-for", "5s")]));
    harness.create(&pod).unwrap();
    harness.advance(seconds(20_000));
    // The first six restarts take 340 seconds, each one after that 305.
    assert_eq!(shown(&harness.status(&pod).unwrap()), "Running: CrashLoopBackOff, 70 restarts");
    harness.advance(seconds(30 * 86_400));
    assert!(shown(&harness.status(&pod).unwrap()).starts_with("Running: "));
}

#[test]
fn a_run_of_more_than_ten_minutes_is_restarted_without_back_off() {
    let (harness, pod) = (start(), scripted("Always", &[("run-for", "11m")]));
    harness.create(&pod).unwrap();
    harness.advance(seconds(11 * 60 * 5 + 1));
    assert_eq!(shown(&harness.status(&pod).unwrap()), "Running: running, 5 restarts");
}

#[test]
fn init_containers_have_completed_and_sidecars_run_when_the_pod_does() {
    let mut pod = scripted("Never", &[("run-for", "5s")]);
    pod.spec.json = pod.spec.json.replacen(
        "\"containers\"",
        "\"initContainers\":[{\"name\":\"first\",\"image\":\"i\"},{\"name\":\"side\",\"image\":\"s\",\"restartPolicy\":\"Always\"}],\"containers\"",
        1,
    );
    let harness = start();
    let status = harness.create(&pod).unwrap();
    let [first, side] = &status.init_container_statuses[..] else { panic!("two init containers") };
    assert_eq!(first.state.terminated.as_ref().unwrap().reason.as_deref(), Some("Completed"));
    assert!(first.ready && side.ready && side.state.running.is_some());

    harness.advance(seconds(5));
    let status = harness.status(&pod).unwrap();
    assert!(status.has_ended(), "sidecars end with the last container");
    assert_eq!(shown(&status), "Succeeded: Completed 0, 0 restarts");
}

#[test]
fn an_address_can_be_chosen() {
    let (harness, pod) = (start(), scripted("Always", &[("pod-ip", "192.0.2.7")]));
    let status = harness.create(&pod).unwrap();
    assert_eq!(status.pod_ip.as_deref(), Some("192.0.2.7"));
    assert_eq!(status.pod_ips[0].ip, "192.0.2.7");
}

#[test]
fn a_lie_makes_a_pod_that_has_ended_run_again() {
    let script = [("run-for", "5s"), ("exit-code", "3"), ("status-wrong", "running-after-end")];
    let (harness, pod) = (start(), scripted("Never", &script));
    harness.create(&pod).unwrap();
    harness.advance(seconds(5));
    assert_eq!(reported(&harness).0.iter().map(shown).collect::<Vec<_>>(), ["Failed: Error 3, 0 restarts"]);
    harness.advance(seconds(1));
    assert_eq!(reported(&harness).0.iter().map(shown).collect::<Vec<_>>(), ["Running: running, 0 restarts"]);
    let harness = harness.restart("{}").unwrap();
    assert_eq!(shown(&harness.status(&pod).unwrap()), "Running: running, 0 restarts");
    harness.delete(&pod, 30).unwrap();
    let (statuses, gone) = reported(&harness);
    assert_eq!((shown(&statuses[0]).as_str(), gone), ("Failed: Error 3, 0 restarts", true));
}
