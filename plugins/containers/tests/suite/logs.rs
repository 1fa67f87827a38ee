//! Logs of containers.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use pluglet_sdk::testing::World;
use pluglet_sdk::{Error, LogItem, LogOptions, LogSource, Request};
use serde_json::{Value, json};

use super::{
    DOCKER, PODMAN, created, exited, inspected, log_of, main_labels, requests, running, start, start_in, test_pod,
    world,
};

fn frames(lines: &[(u8, &str)]) -> Vec<u8> {
    let frame = |(stream, text): &(u8, &str)| {
        let head = [*stream, 0, 0, 0].into_iter().chain(u32::try_from(text.len()).unwrap().to_be_bytes());
        head.chain(text.bytes()).collect::<Vec<u8>>()
    };
    lines.iter().flat_map(frame).collect()
}

/// An engine in which container `m` runs.
fn world_with_container(engine: &'static str) -> World {
    world(engine, |what, _| {
        (what == "GET /containers/m/json").then(|| (200, inspected("m", &main_labels(), &running())))
    })
}

/// An engine with a container whose log is `log`, and goes on with `more` where it is followed.
fn logging(engine: &'static str, log: Vec<u8>, more: &'static [Vec<u8>]) -> World {
    let world = world_with_container(engine);
    let clock = world.clone();
    world.serve_stream("engine", async move |request: Request, responder| {
        if !request.target.contains("/logs") {
            return futures::future::pending().await;
        }
        let (mut writer, _body) = responder.respond(200, Vec::new());
        writer.send(log.clone()).await;
        if request.target.contains("follow=1") {
            for piece in more {
                writer.send(piece.clone()).await;
            }
            return futures::future::pending().await;
        }
        writer.finish().await;
    });
    clock
}

#[test]
fn a_log_is_read_to_its_end_without_the_engines_marks() {
    let log = frames(&[
        (1, "2026-01-01T00:00:01.5Z one\n"),
        (2, "2026-01-01T00:00:02Z two\n"),
        (1, "2026-01-01T00:00:03Z no end"),
    ]);
    let engines = start_in(logging(DOCKER, log, &[]));
    let options = LogOptions { tail_lines: Some(5), since_unix_ns: Some(1_500_000_000), ..log_of("m") };
    assert_eq!(engines.logs(&test_pod(), options), Ok("one\ntwo\nno end".to_owned()));
    let asked = requests(&engines).pop().unwrap();
    assert_eq!(asked, "GET /containers/m/logs?stdout=1&stderr=1&timestamps=1&since=1.500000000&tail=5");
}

#[test]
fn podman_is_not_asked_for_the_last_lines_because_it_counts_pieces() {
    let engines = start_in(logging(PODMAN, frames(&[(1, "2026-01-01T00:00:01Z one\n")]), &[]));
    engines.logs(&test_pod(), LogOptions { tail_lines: Some(1), ..log_of("m") }).unwrap();
    assert_eq!(requests(&engines).pop().unwrap(), "GET /containers/m/logs?stdout=1&stderr=1&timestamps=1");
}

#[test]
fn a_follower_hears_when_all_that_was_there_has_been_told() {
    let log = frames(&[(1, "2026-01-01T00:00:01Z one\n"), (2, "2026-01-01T00:00:02Z two\n")]);
    let more: &'static [Vec<u8>] = Box::leak(Box::new([frames(&[(1, "2026-01-01T00:00:03Z three\n")])]));
    let engines = start_in(logging(PODMAN, log, more));
    let followed = engines.follow(&test_pod(), LogOptions { follow: true, ..log_of("m") }).unwrap();
    let items = followed.take();
    let told: Vec<_> = items
        .iter()
        .map(|item| match item {
            LogItem::Line(line) => String::from_utf8(line.bytes.clone()).unwrap(),
            LogItem::CaughtUp => "caught up".to_owned(),
        })
        .collect();
    assert_eq!(told, ["one\n", "two\n", "caught up", "three\n"]);
    assert!(
        matches!(&items[1], LogItem::Line(line) if line.source == LogSource::Stderr && line.time_unix_ns == Some(1_767_225_602_000_000_000))
    );
    assert_eq!(followed.ended(), None);
}

#[test]
fn an_empty_log_has_been_told_at_once_though_podman_does_not_answer_before_the_first_line() {
    let world = world_with_container(PODMAN);
    let tries = Rc::new(Cell::new(0));
    let clock = world.clone();
    world.serve_stream("engine", async move |request: Request, responder| {
        if request.target.contains("follow=1") {
            tries.set(tries.get() + 1);
            if tries.get() < 3 {
                return responder.fail(pluglet_sdk::HttpError::Timeout);
            }
            let (mut writer, _body) = responder.respond(200, Vec::new());
            writer.send(frames(&[(1, "2026-01-01T00:00:03Z first\n")])).await;
            return writer.finish().await;
        }
        if request.target.contains("/logs") {
            return responder.respond(200, Vec::new()).0.finish().await;
        }
        futures::future::pending().await
    });
    let engines = start_in(clock);
    let followed = engines.follow(&test_pod(), LogOptions { follow: true, ..log_of("m") }).unwrap();
    let items = followed.take();
    assert_eq!(items[0], LogItem::CaughtUp);
    assert!(matches!(&items[1], LogItem::Line(line) if line.bytes == b"first\n"));
    assert_eq!(followed.ended(), Some(Ok(())));
}

#[test]
fn a_log_that_was_cut_since_it_was_counted_does_not_keep_a_follower_waiting() {
    let counted = Rc::new(Cell::new(false));
    let world = world_with_container(DOCKER);
    let clock = world.clone();
    world.serve_stream("engine", async move |request: Request, responder| {
        if !request.target.contains("/logs") {
            return futures::future::pending().await;
        }
        let (mut writer, _body) = responder.respond(200, Vec::new());
        if counted.replace(true) {
            return futures::future::pending().await;
        }
        writer.send(frames(&[(1, "2026-01-01T00:00:03Z old\n")])).await;
        writer.finish().await;
    });
    let engines = start_in(clock);
    let followed = engines.follow(&test_pod(), LogOptions { follow: true, ..log_of("m") }).unwrap();
    assert!(followed.take().is_empty());
    engines.advance(Duration::from_secs(3));
    assert_eq!(followed.take(), [LogItem::CaughtUp]);
}

#[test]
fn what_was_never_started_has_no_log() {
    let engines = start(DOCKER, |what, _| {
        (what == "GET /containers/m/json").then(|| (200, inspected("m", &main_labels(), &created())))
    });
    assert_eq!(engines.logs(&test_pod(), log_of("m")), Err(Error::NotFound));
    assert_eq!(engines.logs(&test_pod(), log_of("gone")), Err(Error::NotFound));
}

#[test]
fn podmans_log_of_a_terminal_is_asked_for_without_times() {
    let engines = start(PODMAN, |what, _| match what {
        "GET /containers/m/json" => {
            let mut found = inspected("m", &main_labels(), &exited(0));
            found["Config"]["Tty"] = json!(true);
            Some((200, found))
        }
        "GET /containers/m/logs" => Some((200, Value::String("2026-01-01T00:00:00Z said\r\n".to_owned()))),
        _ => None,
    });
    assert_eq!(engines.logs(&test_pod(), log_of("m")), Ok("2026-01-01T00:00:00Z said\r\n".to_owned()));
    assert!(!requests(&engines).pop().unwrap().contains("timestamps"));
}
