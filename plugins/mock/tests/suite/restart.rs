//! The provider is killed and starts again.

use pluglet_sdk::testing::TestPod;

use super::{reported, scripted, seconds, shown, start};

fn named(uid: &str, mut pod: TestPod) -> TestPod {
    pod.pod_ref.uid = uid.to_owned();
    pod
}

#[test]
fn every_status_is_the_same_to_the_byte_after_a_restart() {
    let pods = [
        named("a", scripted("Always", &[])),
        named("b", scripted("Always", &[("run-for", "5s"), ("exit-code", "1")])),
        named("c", scripted("Never", &[("run-for", "5s"), ("exit-code", "1")])),
        named("d", scripted("OnFailure", &[("run-for", "90s"), ("log", "hello")])),
        named("e", scripted("Always", &[("start-delay", "40s"), ("pod-ip", "192.0.2.1")])),
    ];
    let mut harness = start();
    for pod in &pods {
        harness.create(pod).unwrap();
        harness.advance(seconds(3));
    }
    for _ in 0..30 {
        let before = harness.list().unwrap();
        assert_eq!(before.len(), pods.len());
        harness = harness.restart("{}").unwrap();
        assert_eq!(harness.list().unwrap(), before);
        harness.advance(seconds(7));
    }
}

#[test]
fn timers_go_on_by_the_wall_clock() {
    let (harness, pod) = (start(), scripted("Never", &[("start-delay", "10s"), ("run-for", "10s")]));
    harness.create(&pod).unwrap();
    harness.advance(seconds(4));
    let harness = harness.restart("{}").unwrap();
    harness.advance(seconds(6));
    assert_eq!(reported(&harness).0.iter().map(shown).collect::<Vec<_>>(), ["Running: running, 0 restarts"]);

    let world = harness.world().clone();
    let harness = harness.restart("{}").unwrap();
    assert_eq!(world.kv_writes(), 1, "a restart writes nothing");
    harness.advance(seconds(10));
    assert_eq!(reported(&harness).0.iter().map(shown).collect::<Vec<_>>(), ["Succeeded: Completed 0, 0 restarts"]);
}

#[test]
fn what_was_deleted_stays_deleted() {
    let (harness, pod) = (start(), scripted("Always", &[]));
    harness.create(&pod).unwrap();
    harness.delete(&pod, 30).unwrap();
    assert_eq!(harness.restart("{}").unwrap().list().unwrap(), []);
}

#[test]
fn addresses_are_not_given_to_others_after_a_restart() {
    let harness = start();
    let ip = |status: pluglet_sdk::kubernetes::PodStatus| status.pod_ip.unwrap();
    let first = ip(harness.create(&named("a", scripted("Always", &[]))).unwrap());
    let harness = harness.restart("{}").unwrap();
    let taken = scripted("Always", &[("pod-ip", &first)]);
    assert_eq!(ip(harness.create(&named("b", taken)).unwrap()), first, "whoever chooses an address gets it");
    assert_ne!(ip(harness.create(&named("c", scripted("Always", &[]))).unwrap()), first);
}
