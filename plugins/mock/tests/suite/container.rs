//! The restart of one container.

use pluglet_sdk::testing::{json, pod};
use pluglet_sdk::{Error, LogOptions};

use super::{reported, scripted, seconds, shown, start};

#[test]
fn a_container_ends_with_its_stop_code_and_runs_again() {
    let (harness, pod) = (start(), scripted("Never", &[("stop-exit-code", "143"), ("run-for", "10s")]));
    harness.create(&pod).unwrap();
    harness.advance(seconds(5));
    harness.restart_container(&pod, "main", 30).unwrap();
    let (statuses, _) = reported(&harness);
    assert_eq!(statuses.iter().map(shown).collect::<Vec<_>>(), ["Running: running, 1 restarts"]);
    let end = statuses[0].container_statuses[0].last_state.terminated.clone().unwrap();
    assert_eq!((end.exit_code, end.container_id.as_deref()), (143, Some("mock://uid-web/main/0")));

    let listed = harness.list().unwrap();
    let harness = harness.restart("{}").unwrap();
    assert_eq!(harness.list().unwrap(), listed);
    harness.advance(seconds(10));
    assert_eq!(shown(&harness.status(&pod).unwrap()), "Succeeded: Completed 0, 1 restarts");
}

#[test]
fn each_call_is_a_restart_and_the_others_run_on() {
    let (harness, pod) = (
        start(),
        pod(json!({"spec": {
            "initContainers": [{"name": "proxy", "image": "proxy:1", "restartPolicy": "Always"}],
            "containers": [{"name": "one", "image": "image:1"}, {"name": "two", "image": "image:1"}],
        }})),
    );
    harness.create(&pod).unwrap();
    for name in ["one", "one", "proxy"] {
        harness.advance(seconds(5));
        harness.restart_container(&pod, name, 0).unwrap();
    }
    let status = harness.status(&pod).unwrap();
    let counts = status.container_statuses.iter().chain(&status.init_container_statuses);
    assert_eq!(counts.map(|container| container.restart_count).collect::<Vec<_>>(), [2, 0, 1]);
    let proxy = &status.init_container_statuses[0];
    assert!(proxy.state.running.is_some() && proxy.last_state.terminated.is_some());
    assert_eq!(proxy.container_id.as_deref(), Some("mock://uid-pod/proxy/1"));
}

#[test]
fn what_does_not_run_cannot_be_restarted() {
    let (harness, pod) = (start(), scripted("Never", &[("run-for", "5s"), ("delete-delay", "1m")]));
    assert_eq!(harness.restart_container(&pod, "main", 30), Err(Error::NotFound));
    harness.create(&pod).unwrap();
    assert_eq!(harness.restart_container(&pod, "other", 30), Err(Error::NotFound));
    harness.delete(&pod, 30).unwrap();
    assert_eq!(harness.restart_container(&pod, "main", 30), Err(Error::NotFound), "it is being stopped");
    harness.advance(seconds(5));
    assert_eq!(harness.restart_container(&pod, "main", 30), Err(Error::NotFound));
}

#[test]
fn a_followed_log_ends_with_the_run_and_becomes_the_previous_one() {
    let (harness, pod) = (start(), scripted("Always", &[("log", "hello")]));
    let main = LogOptions { container: "main".to_owned(), ..LogOptions::default() };
    harness.create(&pod).unwrap();
    let log = harness.follow(&pod, LogOptions { follow: true, ..main.clone() }).unwrap();
    harness.restart_container(&pod, "main", 30).unwrap();
    harness.advance(seconds(0));
    assert_eq!(log.ended(), Some(Ok(())));
    assert_eq!(harness.logs(&pod, LogOptions { previous: true, ..main }), Ok("hello\n".to_owned()));
}
