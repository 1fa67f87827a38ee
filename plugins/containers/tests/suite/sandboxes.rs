//! Sandboxes: made, stopped, removed.

use std::cell::Cell;
use std::rc::Rc;

use pluglet_sdk::testing::json;
use pluglet_sdk::{Error, Runtime};
use serde_json::Value;

use super::{DOCKER, PODMAN, call, inspected, labels, main_labels, requests, running, runtime, sandbox, start};

const NAME: &str = "pluglet_SANDBOX_web_default_u_0";

#[test]
fn a_sandbox_is_made_started_and_looked_at() {
    let engines = start(PODMAN, |what, _| match what {
        "POST /containers/create" => Some((201, json!({"Id": "s", "Warnings": []}))),
        "POST /containers/s/start" => Some((204, Value::Null)),
        "GET /containers/s/json" => Some((200, inspected("s", &labels("sandbox", &[]), &running()))),
        _ => None,
    });
    let made = call(&engines, async |calls| runtime(calls).create_sandbox(sandbox()).await).unwrap();
    assert_eq!((made.id.as_str(), made.ready, made.attempt), ("s", true, 0));
    assert_eq!((made.addresses, made.created_unix_ns), (vec!["10.88.0.6".to_owned()], 1_767_225_600_000_000_001));
    assert_eq!(requests(&engines)[0], format!("POST /containers/create?name={NAME}"));
}

#[test]
fn a_sandbox_image_that_is_missing_is_pulled() {
    let pulled = Rc::new(Cell::new(false));
    let engines = start(DOCKER, move |what, _| match what {
        "POST /containers/create" if pulled.get() => Some((201, json!({"Id": "s"}))),
        "POST /containers/create" => Some((404, json!({"message": "No such image: localhost/pause:1"}))),
        "POST /images/create" => {
            pulled.set(true);
            Some((200, json!("{\"status\":\"Pulling\"}\n")))
        }
        "GET /images/localhost/pause:1/json" => Some((200, json!({"Id": "sha256:1"}))),
        "POST /containers/s/start" => Some((204, Value::Null)),
        "GET /containers/s/json" => Some((200, inspected("s", &labels("sandbox", &[]), &running()))),
        _ => None,
    });
    call(&engines, async |calls| runtime(calls).create_sandbox(sandbox()).await).unwrap();
    assert!(requests(&engines).contains(&"POST /images/create?fromImage=localhost/pause&tag=1".to_owned()));
}

#[test]
fn a_network_that_does_not_exist_is_no_missing_sandbox() {
    let engines = start(DOCKER, |what, _| match what {
        "POST /containers/create" => Some((404, json!({"message": "network pods not found"}))),
        _ => None,
    });
    let error = call(&engines, async |calls| runtime(calls).create_sandbox(sandbox()).await).unwrap_err();
    assert!(matches!(error, Error::Unavailable(retry) if retry.message.contains("network pods")));
}

/// What both engines say when the name is taken, each in its own way.
fn taken(engine: &'static str, labels: Option<Value>) -> super::Engines {
    start(engine, move |what, _| match what {
        "POST /containers/create" if engine == DOCKER => Some((
            409,
            json!({"message": format!("Conflict. The container name \"/{NAME}\" is already in use by container \"s\".")}),
        )),
        "POST /containers/create" => Some((
            500,
            json!({"cause": "that name is already in use", "message": "the container name is already in use by s: that name is already in use", "response": 500}),
        )),
        "POST /containers/s/start" => Some((304, Value::Null)),
        _ if what == format!("GET /containers/{NAME}/json") || what == "GET /containers/s/json" => {
            Some((200, inspected("s", &labels.clone().unwrap_or_default(), &running())))
        }
        _ => None,
    })
}

#[test]
fn a_sandbox_that_exists_is_success() {
    for engine in [DOCKER, PODMAN] {
        let engines = taken(engine, Some(labels("sandbox", &[])));
        let made = call(&engines, async |calls| runtime(calls).create_sandbox(sandbox()).await).unwrap();
        assert_eq!(made.id, "s", "{engine}");
    }
}

#[test]
fn a_name_that_somebody_else_has_taken_is_not_used() {
    for other in [None, Some(json!({"dev.pluglet.cluster": "c", "dev.pluglet.node": "other"}))] {
        let engines = taken(DOCKER, other);
        let error = call(&engines, async |calls| runtime(calls).create_sandbox(sandbox()).await).unwrap_err();
        assert!(matches!(error, Error::Internal(text) if text.contains(NAME)));
        assert!(!requests(&engines).contains(&"POST /containers/s/start".to_owned()));
    }
}

#[test]
fn a_sandbox_goes_after_what_is_in_it_and_before_its_volumes() {
    let engines = start(PODMAN, |what, _| match what {
        "GET /containers/s/json" => Some((200, inspected("s", &labels("sandbox", &[]), &running()))),
        "GET /containers/json" => Some((200, json!([{"Id": "m", "Labels": main_labels()}]))),
        "DELETE /containers/m" | "DELETE /containers/s" | "DELETE /volumes/pluglet_u_mem" => Some((204, Value::Null)),
        // Podman's filter by labels gives those of other pods, too.
        "GET /volumes" => Some((
            200,
            json!({"Volumes": [
                {"Name": "pluglet_other_mem", "Labels": labels("", &[("dev.pluglet.uid", "other")])},
                {"Name": "pluglet_u_mem", "Labels": labels("", &[])},
            ]}),
        )),
        _ => None,
    });
    call(&engines, async |calls| runtime(calls).remove_sandbox("s".into()).await).unwrap();
    let deleted: Vec<_> =
        requests(&engines).into_iter().filter(|what| what.starts_with("DELETE /containers")).collect();
    assert_eq!(deleted, ["DELETE /containers/m?force=1&v=1", "DELETE /containers/s?force=1&v=1"]);
    let last = requests(&engines).pop().unwrap();
    assert_eq!(last, "DELETE /volumes/pluglet_u_mem");
}

#[test]
fn a_container_that_is_just_ending_is_removed_all_the_same() {
    let tries = Rc::new(Cell::new(0));
    let counted = Rc::clone(&tries);
    let engines = start(PODMAN, move |what, _| match what {
        "GET /containers/s/json" => Some((200, inspected("s", &labels("sandbox", &[]), &running()))),
        "DELETE /containers/s" => {
            counted.set(counted.get() + 1);
            let message = "container s could not be stopped: container state improper";
            Some(if counted.get() < 3 { (500, json!({"message": message})) } else { (204, Value::Null) })
        }
        _ => None,
    });
    call(&engines, async |calls| runtime(calls).remove_sandbox("s".into()).await).unwrap();
    assert_eq!(tries.get(), 3);
}

#[test]
fn nothing_of_others_is_ever_touched() {
    for foreign in [Value::Null, json!({"dev.pluglet.cluster": "c", "dev.pluglet.kind": "sandbox"})] {
        let engines = start(DOCKER, move |what, _| match what {
            "GET /containers/s/json" => Some((200, inspected("s", &foreign, &running()))),
            _ => None,
        });
        let gone = Err(Error::NotFound);
        assert_eq!(call(&engines, async |calls| runtime(calls).remove_sandbox("s".into()).await), gone);
        assert_eq!(call(&engines, async |calls| runtime(calls).stop_sandbox("s".into()).await), gone);
        assert_eq!(call(&engines, async |calls| runtime(calls).remove_container("s".into()).await), gone);
        let (id, grace) = ("s".to_owned(), std::time::Duration::ZERO);
        assert_eq!(call(&engines, async move |calls| runtime(calls).stop_container(id, grace).await), gone);
        assert!(requests(&engines).iter().all(|what| what.starts_with("GET")), "{:?}", requests(&engines));
    }
}

#[test]
fn an_id_is_never_more_than_an_id() {
    let engines = start(DOCKER, |_, _| None);
    for id in ["../images/x", "a/b", "s?force=1", ""] {
        let asked = id.to_owned();
        assert!(call(&engines, async move |calls| runtime(calls).container(asked).await).is_err(), "{id}");
    }
    assert!(requests(&engines).is_empty());
}
