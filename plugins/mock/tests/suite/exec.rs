//! Commands in containers.

use pluglet_sdk::testing::{Harness, TestPod};
use pluglet_sdk::{Error, Event, ExecRequest, Provider as _, Result, SessionInput};

use super::{scripted, seconds, start};
use mock::Mock;

fn request(container: &str) -> ExecRequest {
    ExecRequest { container: container.to_owned(), command: vec!["probe".to_owned()], tty: false }
}

fn run(harness: &Harness<Mock>, pod: &TestPod) -> Result<(i32, String)> {
    let ended = harness.exec(pod, request("main"), b"")?;
    Ok((ended.exit_code, String::from_utf8(ended.stdout).unwrap()))
}

#[test]
fn exit_codes_come_one_after_the_other_and_the_last_one_stays() {
    let script = [("exec-exit-code", "1, 2,0"), ("exec-output", "not yet\n")];
    let (harness, pod) = (start(), scripted("Always", &script));
    harness.create(&pod).unwrap();
    let codes: Vec<i32> = (0..5).map(|_| run(&harness, &pod).unwrap().0).collect();
    assert_eq!(codes, [1, 2, 0, 0, 0]);
    assert_eq!(run(&harness, &pod), Ok((0, "not yet\n".to_owned())));
}

#[test]
fn other_exit_codes_begin_anew_when_the_pod_is_updated() {
    let (harness, pod) = (start(), scripted("Always", &[("exec-exit-code", "1,0")]));
    harness.create(&pod).unwrap();
    assert_eq!([run(&harness, &pod).unwrap().0, run(&harness, &pod).unwrap().0], [1, 0]);
    harness.update(&scripted("Always", &[("exec-exit-code", "1,0"), ("exec-output", "x")])).unwrap();
    assert_eq!(run(&harness, &pod), Ok((0, "x".to_owned())));
    harness.update(&scripted("Always", &[("exec-exit-code", "7,8")])).unwrap();
    assert_eq!([run(&harness, &pod).unwrap().0, run(&harness, &pod).unwrap().0], [7, 8]);
}

#[test]
fn a_container_that_is_unknown_or_does_not_run_is_not_found() {
    let (harness, pod) = (start(), scripted("Never", &[("start-delay", "1s"), ("run-for", "1s")]));
    assert_eq!(run(&harness, &pod), Err(Error::NotFound));
    harness.create(&pod).unwrap();
    assert_eq!(run(&harness, &pod), Err(Error::NotFound));
    harness.advance(seconds(1));
    assert!(run(&harness, &pod).is_ok());
    assert_eq!(harness.exec(&pod, request("other"), b""), Err(Error::NotFound));
    harness.advance(seconds(1));
    assert_eq!(run(&harness, &pod), Err(Error::NotFound));
}

#[test]
fn a_command_that_is_given_up_is_told_and_one_that_ends_is_not() {
    let (harness, pod) = (start(), scripted("Always", &[("exec-delay", "30s")]));
    harness.create(&pod).unwrap();
    run(&harness, &pod).unwrap();
    assert_eq!(harness.events(), []);
    let pod_ref = pod.pod_ref.clone();
    let session = harness.call(async move |mock| {
        let stream = || Box::pin(futures::stream::empty());
        let input = SessionInput { stdin: stream(), resize: Box::pin(futures::stream::empty()) };
        mock.exec(pod_ref, request("main"), input).await
    });
    drop(session.unwrap());
    let events = harness.events();
    assert!(matches!(&events[..], [Event::Pod(event)] if event.reason == "CommandAbandoned"), "{events:?}");
}
