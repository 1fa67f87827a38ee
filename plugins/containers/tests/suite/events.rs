//! What happens to our containers.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use pluglet_sdk::testing::{World, json};
use pluglet_sdk::{Event, HttpError, Request};
use serde_json::Value;

use super::{PODMAN, asked, main_labels, start_in, world};

/// As both engines write it.
fn event(action: &str, id: &str, labels: &Value) -> Vec<u8> {
    format!("{}\n", json!({"Type": "container", "Action": action, "Actor": {"ID": id, "Attributes": labels}}))
        .into_bytes()
}

/// An engine that tells these events to whoever connects, `times` times.
fn telling(events: Vec<Vec<u8>>, times: usize) -> World {
    let told = Rc::new(Cell::new(0));
    let world = world(PODMAN, |_, _| None);
    world.serve_stream("engine", async move |_: Request, responder| {
        if told.get() == times {
            return responder.fail(HttpError::Connect("refused".to_owned()));
        }
        told.set(told.get() + 1);
        let (mut writer, _body) = responder.respond(200, Vec::new());
        for event in &events {
            writer.send(event.clone()).await;
        }
        if told.get() == times {
            return futures::future::pending().await;
        }
        writer.finish().await;
    });
    world
}

fn told(events: &[Event]) -> Vec<String> {
    let word = |event: &Event| match event {
        Event::ContainerChanged(pod, id) => format!("{} {id}", pod.uid),
        Event::Resync => "resync".to_owned(),
        other => panic!("{other:?}"),
    };
    events.iter().map(word).collect()
}

#[test]
fn what_changes_a_container_is_told_and_nothing_else() {
    let ours = main_labels();
    let theirs = json!({"dev.pluglet.cluster": "c", "dev.pluglet.node": "other", "dev.pluglet.uid": "v"});
    let events = vec![
        event("create", "m", &ours),
        event("die", "m", &ours),
        event("exec_died", "m", &ours),
        // Podman's filter lets through whatever fits any of its labels.
        event("die", "x", &theirs),
        event("die", "m", &ours),
        b"no JSON\n".to_vec(),
        event("remove", "m2", &ours),
    ];
    let engines = start_in(telling(events, 1));
    let told = told(&engines.events());
    assert_eq!(told.first().map(String::as_str), Some("resync"));
    assert!(told.contains(&"u m".to_owned()) && told.contains(&"u m2".to_owned()), "{told:?}");
    assert!(told.iter().all(|what| !what.contains('x') || what == "resync" || !what.starts_with('v')), "{told:?}");
    let asked: Vec<_> = engines.world().requests().iter().map(asked).collect();
    let filter = r#"filters={"label":["dev.pluglet.node=n"],"type":["container"]}"#;
    assert!(asked.contains(&("GET /events".to_owned(), filter.to_owned())), "{asked:?}");
}

#[test]
fn after_each_connection_the_host_lists() {
    let engines = start_in(telling(Vec::new(), 2));
    assert_eq!(told(&engines.events()), ["resync"]);
    engines.advance(Duration::from_millis(250));
    assert_eq!(told(&engines.events()), ["resync"]);
}

#[test]
fn an_engine_that_is_away_is_tried_again_and_less_and_less_often() {
    let engines = start_in(telling(Vec::new(), 0));
    engines.advance(Duration::from_secs(60));
    let tries = engines.world().requests().iter().filter(|request| request.target.contains("/events")).count();
    assert!((12..=18).contains(&tries), "{tries}");
    assert!(engines.events().is_empty());
}
