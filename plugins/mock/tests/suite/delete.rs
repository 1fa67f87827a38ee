//! The end of a pod.

use pluglet_sdk::Error;

use super::{reported, scripted, seconds, shown, start};

#[test]
fn a_pod_stops_at_once_unless_it_is_told_otherwise() {
    let (harness, pod) = (start(), scripted("Always", &[]));
    harness.create(&pod).unwrap();
    harness.delete(&pod, 30).unwrap();
    let (statuses, gone) = reported(&harness);
    assert_eq!(statuses.iter().map(shown).collect::<Vec<_>>(), ["Succeeded: Completed 0, 0 restarts"]);
    assert!(gone && statuses[0].has_ended());
    assert_eq!(harness.list().unwrap(), []);
    assert_eq!(harness.world().kv().len(), 0);
    assert_eq!(harness.world().kv_writes(), 2, "one at the creation, one at the end");
}

#[test]
fn a_pod_that_is_not_there_is_not_found() {
    let (harness, pod) = (start(), scripted("Always", &[]));
    assert_eq!(harness.delete(&pod, 30), Err(Error::NotFound));
    assert_eq!(harness.status(&pod), Err(Error::NotFound));
}

#[test]
fn a_pod_that_takes_its_time_stays_in_the_list_until_it_has_stopped() {
    let (harness, pod) = (start(), scripted("Always", &[("delete-delay", "5s"), ("stop-exit-code", "143")]));
    harness.create(&pod).unwrap();
    harness.delete(&pod, 30).unwrap();
    harness.advance(seconds(4));
    assert_eq!(reported(&harness), (vec![], false));
    assert_eq!(shown(&harness.status(&pod).unwrap()), "Running: running, 0 restarts");

    harness.advance(seconds(1));
    let (statuses, gone) = reported(&harness);
    assert_eq!(statuses.iter().map(shown).collect::<Vec<_>>(), ["Failed: Error 143, 0 restarts"]);
    assert!(gone);
}

#[test]
fn a_pod_that_takes_longer_than_its_grace_period_is_killed() {
    let (harness, pod) = (start(), scripted("Always", &[("delete-delay", "1m")]));
    harness.create(&pod).unwrap();
    harness.delete(&pod, 10).unwrap();
    harness.advance(seconds(10));
    let (statuses, gone) = reported(&harness);
    assert_eq!((shown(&statuses[0]).as_str(), gone), ("Failed: Error 137, 0 restarts", true));
}

#[test]
fn a_later_delete_shortens_the_grace_period_and_never_lengthens_it() {
    let (harness, pod) = (start(), scripted("Always", &[("delete-delay", "1m")]));
    harness.create(&pod).unwrap();
    harness.delete(&pod, 30).unwrap();
    harness.delete(&pod, 50).unwrap();
    harness.advance(seconds(10));
    harness.delete(&pod, 5).unwrap();
    harness.advance(seconds(4));
    assert_eq!(reported(&harness), (vec![], false));
    harness.advance(seconds(1));
    assert!(reported(&harness).1);

    harness.create(&pod).unwrap();
    harness.delete(&pod, 30).unwrap();
    harness.delete(&pod, 0).unwrap();
    let (statuses, gone) = reported(&harness);
    assert_eq!((shown(&statuses[0]).as_str(), gone), ("Failed: Error 137, 0 restarts", true));
}

#[test]
fn a_pod_whose_containers_have_ended_is_gone_at_once() {
    let (harness, pod) = (start(), scripted("Never", &[("run-for", "1s"), ("exit-code", "2"), ("delete-delay", "1m")]));
    harness.create(&pod).unwrap();
    harness.advance(seconds(2));
    let before = reported(&harness).0;
    harness.delete(&pod, 30).unwrap();
    assert_eq!(reported(&harness), (before, true), "its status does not change any more");
}

#[test]
fn a_container_that_ends_while_it_is_stopped_is_not_restarted() {
    let (harness, pod) = (start(), scripted("Always", &[("run-for", "10s"), ("delete-delay", "1m")]));
    harness.create(&pod).unwrap();
    harness.advance(seconds(5));
    harness.delete(&pod, 60).unwrap();
    harness.advance(seconds(5));
    let (statuses, gone) = reported(&harness);
    assert_eq!((shown(&statuses[0]).as_str(), gone), ("Succeeded: Completed 0, 0 restarts", true));
}

#[test]
fn a_pod_that_never_started_ends_as_the_kubelet_tells_it() {
    let (harness, pod) = (start(), scripted("Always", &[("start-delay", "1m")]));
    harness.create(&pod).unwrap();
    harness.delete(&pod, 30).unwrap();
    let (statuses, gone) = reported(&harness);
    assert_eq!((shown(&statuses[0]).as_str(), gone), ("Failed: ContainerStatusUnknown 137, 0 restarts", true));
}

#[test]
fn a_pod_whose_record_cannot_be_deleted_is_not_gone() {
    let (harness, pod) = (start(), scripted("Always", &[]));
    harness.create(&pod).unwrap();
    harness.world().break_kv(true);
    assert!(matches!(harness.delete(&pod, 30), Err(Error::Unavailable(_))));
    assert_eq!(reported(&harness), (vec![], false));
    assert_eq!(harness.list().unwrap().len(), 1);
    harness.world().break_kv(false);
    harness.delete(&pod, 30).unwrap();
    assert!(reported(&harness).1);
}

#[test]
fn a_delete_fails_as_often_as_it_is_told_to() {
    let script = [("delete-error", "unavailable"), ("delete-error-times", "2"), ("delete-error-message", "no luck")];
    let (harness, pod) = (start(), scripted("Always", &script));
    harness.create(&pod).unwrap();
    for _ in 0..2 {
        let error = harness.delete(&pod, 30).unwrap_err();
        assert!(matches!(&error, Error::Unavailable(retry) if retry.message == "no luck"), "{error}");
        assert_eq!(harness.list().unwrap().len(), 1);
    }
    harness.delete(&pod, 30).unwrap();
    assert!(reported(&harness).1);
}

#[test]
fn a_delete_that_fails_for_ever_can_be_mended_by_an_update() {
    let (harness, pod) = (start(), scripted("Always", &[("delete-error", "denied")]));
    harness.create(&pod).unwrap();
    assert!((0..5).all(|_| matches!(harness.delete(&pod, 30), Err(Error::Denied(_)))));
    harness.update(&scripted("Always", &[])).unwrap();
    harness.delete(&pod, 30).unwrap();
    assert!(reported(&harness).1);
}

#[test]
fn a_slow_delete_call_begins_to_stop_the_pod_when_it_returns() {
    let (harness, pod) = (start(), scripted("Always", &[("delete-call-delay", "2s"), ("delete-delay", "5s")]));
    harness.create(&pod).unwrap();
    let pod_ref = pod.pod_ref.clone();
    let call = harness.begin(async move |mock| {
        use pluglet_sdk::Provider;
        mock.delete(pod_ref, seconds(30)).await
    });
    let call = call.unwrap();
    harness.advance(seconds(1));
    assert!(call.take().is_none());
    harness.advance(seconds(1));
    assert_eq!(call.take(), Some(Ok(())));
    harness.advance(seconds(4));
    assert!(!reported(&harness).1);
    harness.advance(seconds(1));
    assert!(reported(&harness).1);
}
