//! The end of a container.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use pluglet_sdk::testing::json;
use pluglet_sdk::{Error, Runtime};
use serde_json::Value;

use super::{DOCKER, Engines, PODMAN, call, exited, inspected, main_labels, requests, running, runtime, start};

fn stop(engines: &Engines, grace: u64) -> Result<(), Error> {
    call(engines, async move |calls| runtime(calls).stop_container("m".into(), Duration::from_secs(grace)).await)
}

#[test]
fn a_container_is_told_to_end_with_its_grace() {
    let engines = start(DOCKER, |what, _| match what {
        "GET /containers/m/json" => Some((200, inspected("m", &main_labels(), &exited(0)))),
        "POST /containers/m/stop" => Some((304, Value::Null)),
        _ => None,
    });
    assert_eq!(stop(&engines, 30), Ok(()));
    assert!(requests(&engines).contains(&"POST /containers/m/stop?t=30".to_owned()));
}

#[test]
fn a_grace_longer_than_a_request_may_take_is_waited_for_all_the_same() {
    let asked = Rc::new(Cell::new(0));
    let engines = start(PODMAN, move |what, _| match what {
        "GET /containers/m/json" => {
            asked.set(asked.get() + 1);
            let state = if asked.get() < 20 { json!({"Status": "stopping"}) } else { exited(137) };
            Some((200, inspected("m", &main_labels(), &state)))
        }
        "POST /containers/m/stop" => Some((0, Value::Null)),
        _ => None,
    });
    assert_eq!(stop(&engines, 60), Ok(()));
    let stops = requests(&engines).iter().filter(|what| what.contains("/stop")).count();
    assert_eq!(stops, 1, "a second one would signal the container again");
}

#[test]
fn whatever_the_engine_says_a_container_that_has_ended_is_stopped() {
    let asked = Rc::new(Cell::new(false));
    let engines = start(PODMAN, move |what, _| match what {
        "GET /containers/m/json" => {
            let state = if asked.replace(true) { exited(137) } else { running() };
            Some((200, inspected("m", &main_labels(), &state)))
        }
        "POST /containers/m/stop" => {
            Some((500, json!({"message": "timed out waiting for file: internal libpod error"})))
        }
        _ => None,
    });
    assert_eq!(stop(&engines, 0), Ok(()));
}

#[test]
fn a_container_that_is_gone_is_stopped() {
    let asked = Rc::new(Cell::new(false));
    let engines = start(DOCKER, move |what, _| match what {
        "GET /containers/m/json" if !asked.replace(true) => Some((200, inspected("m", &main_labels(), &running()))),
        _ => None,
    });
    assert_eq!(stop(&engines, 0), Ok(()));
}

#[test]
fn one_that_goes_on_whatever_is_done_is_an_error() {
    let engines = start(DOCKER, |what, _| match what {
        "GET /containers/m/json" => Some((200, inspected("m", &main_labels(), &running()))),
        "POST /containers/m/stop" => Some((
            500,
            json!({"message": "cannot stop container: tried to kill container, but did not receive an exit event"}),
        )),
        _ => None,
    });
    assert!(matches!(stop(&engines, 1), Err(Error::Unavailable(_))));
}
