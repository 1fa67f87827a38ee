//! What containers write.

use pluglet_sdk::{Error, LogItem, LogOptions, LogSource};

use super::{scripted, seconds, start};

fn main_log() -> LogOptions {
    LogOptions { container: "main".to_owned(), ..LogOptions::default() }
}

fn followed() -> LogOptions {
    LogOptions { follow: true, ..main_log() }
}

#[test]
fn a_log_begins_with_its_lines_and_goes_on_with_periodic_ones() {
    let script = [("log", "one\ntwo\n"), ("log-every", "1s"), ("log-line", "tick {n}")];
    let (harness, pod) = (start(), scripted("Always", &script));
    harness.create(&pod).unwrap();
    assert_eq!(harness.logs(&pod, main_log()).unwrap(), "one\ntwo\n");
    harness.advance(seconds(2));
    assert_eq!(harness.logs(&pod, main_log()).unwrap(), "one\ntwo\ntick 1\ntick 2\n");
    let tail = LogOptions { tail_lines: Some(1), ..main_log() };
    assert_eq!(harness.logs(&pod, tail).unwrap(), "tick 2\n");
}

#[test]
fn lines_have_times_and_may_go_to_standard_error() {
    let (harness, pod) = (start(), scripted("Always", &[("log", "out\nstderr: err")]));
    harness.create(&pod).unwrap();
    let created = pluglet_sdk::kubernetes::Time::parse("2026-01-01T00:00:00Z").unwrap().unix_ns();
    let items = harness.follow(&pod, followed()).unwrap().take();
    let [LogItem::Line(out), LogItem::Line(err), LogItem::CaughtUp] = &items[..] else { panic!("{items:?}") };
    assert_eq!((out.source, err.source), (LogSource::Stdout, LogSource::Stderr));
    assert_eq!((out.bytes.as_slice(), err.bytes.as_slice()), (&b"out\n"[..], &b"err\n"[..]));
    assert_eq!((out.time_unix_ns, err.time_unix_ns), (Some(created), Some(created)));
}

#[test]
fn lines_that_are_too_old_are_left_out() {
    let (harness, pod) = (start(), scripted("Always", &[("log", "first"), ("log-every", "1s")]));
    harness.create(&pod).unwrap();
    harness.advance(seconds(3));
    let since = pluglet_sdk::kubernetes::Time::parse("2026-01-01T00:00:02Z").unwrap().unix_ns();
    let options = LogOptions { since_unix_ns: Some(since), ..main_log() };
    assert_eq!(harness.logs(&pod, options).unwrap(), "tick 2\ntick 3\n");
}

#[test]
fn a_followed_log_ends_with_its_run() {
    let (harness, pod) = (start(), scripted("Never", &[("log-every", "1s"), ("run-for", "3500ms")]));
    harness.create(&pod).unwrap();
    harness.advance(seconds(1));
    let log = harness.follow(&pod, followed()).unwrap();
    let items = log.take();
    assert!(matches!(&items[..], [LogItem::Line(_), LogItem::CaughtUp]), "{items:?}");
    harness.advance(seconds(1));
    assert_eq!(log.take_text(), "tick 2\n");
    assert_eq!(log.ended(), None);
    harness.advance(seconds(2));
    assert_eq!(log.take_text(), "tick 3\n");
    assert_eq!(log.ended(), Some(Ok(())));
    assert_eq!(harness.logs(&pod, followed()).unwrap(), "tick 1\ntick 2\ntick 3\n", "also after the end");
}

#[test]
fn a_followed_log_without_lines_ends_when_the_pod_is_deleted() {
    let (harness, pod) = (start(), scripted("Always", &[]));
    harness.create(&pod).unwrap();
    let log = harness.follow(&pod, followed()).unwrap();
    harness.advance(seconds(100));
    assert_eq!(log.ended(), None);
    harness.delete(&pod, 30).unwrap();
    harness.advance(seconds(0));
    assert_eq!(log.ended(), Some(Ok(())));
}

#[test]
fn each_run_has_a_log_of_its_own() {
    let (harness, pod) = (start(), scripted("Always", &[("run-for", "3s"), ("log-every", "1s")]));
    let previous = LogOptions { previous: true, ..main_log() };
    harness.create(&pod).unwrap();
    assert_eq!(harness.logs(&pod, previous.clone()), Err(Error::NotFound));
    harness.advance(seconds(3));
    assert_eq!(harness.logs(&pod, main_log()).unwrap(), "");
    assert_eq!(harness.logs(&pod, previous.clone()).unwrap(), "tick 1\ntick 2\n");
    // In back-off the run that has just ended is the present and the previous one, as for the kubelet.
    harness.advance(seconds(4));
    assert_eq!(harness.logs(&pod, main_log()), harness.logs(&pod, previous));
}

#[test]
fn a_container_that_has_not_started_or_is_unknown_has_no_log() {
    let (harness, pod) = (start(), scripted("Always", &[("start-delay", "1s")]));
    assert_eq!(harness.logs(&pod, main_log()), Err(Error::NotFound));
    harness.create(&pod).unwrap();
    assert_eq!(harness.logs(&pod, main_log()), Err(Error::NotFound));
    harness.advance(seconds(1));
    assert_eq!(harness.logs(&pod, main_log()).unwrap(), "");
    let other = LogOptions { container: "other".to_owned(), ..main_log() };
    assert_eq!(harness.logs(&pod, other), Err(Error::NotFound));
}

#[test]
fn a_long_log_keeps_its_newest_256_kib() {
    let (harness, pod) = (start(), scripted("Always", &[("log", "first"), ("log-every", "1ms"), ("log-line", "{n}")]));
    harness.create(&pod).unwrap();
    harness.advance(seconds(30 * 86_400));
    let log = harness.logs(&pod, main_log()).unwrap();
    assert!(log.len() <= 256 << 10 && log.len() > 255 << 10, "{}", log.len());
    assert!(log.ends_with("2592000000\n") && !log.starts_with("first"));
}

#[test]
fn a_followed_log_ends_when_an_update_restarts_its_container() {
    let (harness, pod) = (start(), scripted("Always", &[("log", "hello")]));
    harness.create(&pod).unwrap();
    let log = harness.follow(&pod, followed()).unwrap();
    let mut newer = pod.clone();
    newer.spec.json = newer.spec.json.replace("image:1", "image:2");
    harness.update(&newer).unwrap();
    harness.advance(seconds(0));
    assert_eq!(log.ended(), Some(Ok(())));
}
