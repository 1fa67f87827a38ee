//! Images.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use pluglet_sdk::testing::json;
use pluglet_sdk::{Error, Event, ImageStatus, RegistryCredential, Request, Runtime};
use serde_json::Value;

use super::{DOCKER, Engines, PODMAN, call, requests, runtime, start, start_in, web, world};

const ID: &str = "sha256:4d9bcd6318639c2ecd4b926b9eef69b32d8ab0e1b4d3023430aaf2e55a286ab2";

fn found() -> Value {
    json!({"Id": ID, "RepoTags": ["r.example.com/bb:1", "<none>:<none>"], "RepoDigests": null, "Size": 7, "Config": {"User": "web"}})
}

fn pull(engines: &Engines, credentials: Vec<RegistryCredential>) -> Result<ImageStatus, Error> {
    call(engines, async move |calls| runtime(calls).pull(web(), "r.example.com/bb:1".into(), credentials).await)
}

#[test]
fn an_image_that_is_not_there_is_none_and_what_is_no_name_is_invalid() {
    let engines = start(DOCKER, |what, _| match what {
        "GET /images/r.example.com/bb:1/json" => Some((200, found())),
        "GET /images/nginx:latest/json" => {
            Some((404, json!({"message": "no such image: nginx:latest: No such image: nginx:latest"})))
        }
        _ => None,
    });
    let image = |name: &'static str| call(&engines, async move |calls| runtime(calls).image(name.into()).await);
    let there = image("r.example.com/bb:1").unwrap().unwrap();
    assert_eq!((there.id.as_str(), there.user.as_str(), there.size), (ID, "web", 7));
    assert_eq!(there.tags, ["r.example.com/bb:1"]);
    assert_eq!(image("nginx"), Ok(None));
    assert!(matches!(image("../x"), Err(Error::Invalid(_))));
}

#[test]
fn a_pull_is_made_as_who_is_for_the_registry() {
    let engines = start(PODMAN, |what, _| match what {
        "POST /images/create" => {
            Some((200, json!("{\"status\":\"Download complete\",\"progressDetail\":{},\"id\":\"a\"}\n")))
        }
        "GET /images/r.example.com/bb:1/json" => Some((200, found())),
        _ => None,
    });
    let who = |registry: &str, username: &str| RegistryCredential {
        registry: registry.into(),
        username: username.into(),
        password: "p".into(),
    };
    pull(&engines, vec![who("docker.io", "hub"), who("r.example.com", "alice")]).unwrap();
    let asked = engines.world().requests().into_iter().find(|request| request.method == "POST").unwrap();
    assert!(asked.target.ends_with("/images/create?fromImage=r.example.com%2Fbb&tag=1"));
    let header = &asked.headers.iter().find(|(name, _)| name == "x-registry-auth").unwrap().1;
    assert_eq!(header, "eyJwYXNzd29yZCI6InAiLCJzZXJ2ZXJhZGRyZXNzIjoici5leGFtcGxlLmNvbSIsInVzZXJuYW1lIjoiYWxpY2UifQ==");
}

#[test]
fn a_failure_is_one_in_the_stream_of_a_success_too() {
    let said = |engine, status: u16, body: Value| {
        let engines = start(engine, move |what, _| (what == "POST /images/create").then(|| (status, body.clone())));
        pull(&engines, Vec::new()).unwrap_err()
    };
    let podman = |text: &str| json!(format!("{}\n", json!({"errorDetail": {"message": text}, "error": text})));
    assert!(matches!(
        said(PODMAN, 200, podman("reading manifest 1 in r.example.com/bb: unauthorized: authentication required")),
        Error::Denied(_)
    ));
    assert_eq!(said(PODMAN, 200, podman("reading manifest 1 in r.example.com/bb: manifest unknown")), Error::NotFound);
    assert!(matches!(
        said(DOCKER, 500, json!({"message": "dial tcp 127.0.0.1:1: connect: connection refused"})),
        Error::Unavailable(_)
    ));
    assert!(matches!(said(DOCKER, 500, json!({"message": "Head \"x\": no basic auth credentials"})), Error::Denied(_)));
    assert_eq!(
        said(DOCKER, 404, json!({"message": "manifest for r.example.com/bb:1 not found: manifest unknown"})),
        Error::NotFound
    );
}

#[test]
fn who_waits_for_the_same_image_shares_one_pull_and_pods_hear_how_far_it_is() {
    let world = world(DOCKER, |what, _| (what == "GET /images/r.example.com/bb:1/json").then(|| (200, found())));
    let (pulls, go) = (Rc::new(Cell::new(0)), Rc::new(RefCell::new(None)));
    let (counted, gate) = (Rc::clone(&pulls), Rc::clone(&go));
    let waiting = world.clone();
    world.serve_stream("engine", async move |request: Request, responder| {
        if !request.target.contains("/images/create") {
            return futures::future::pending().await;
        }
        counted.set(counted.get() + 1);
        let (sender, opened) = futures::channel::mpsc::unbounded::<()>();
        gate.replace(Some(sender));
        let (mut writer, _body) = responder.respond(200, Vec::new());
        let mut opened = opened;
        while futures::StreamExt::next(&mut opened).await.is_some() {
            writer.send("{\"status\":\"Downloading\",\"progressDetail\":{\"current\":1048576,\"total\":2097152},\"id\":\"a\"}\n").await;
        }
        writer.finish().await;
    });
    let engines = start_in(waiting);
    let begin = || {
        engines.begin(async |provider| {
            let calls: &dyn super::Calls = &provider;
            runtime(calls).pull(web(), "r.example.com/bb:1".into(), Vec::new()).await
        })
    };
    let (first, second) = (begin().unwrap(), begin().unwrap());
    let _ = engines.events();
    for _ in 0..25 {
        go.borrow().as_ref().unwrap().unbounded_send(()).unwrap();
        engines.advance(Duration::from_secs(1));
    }
    let told: Vec<_> = engines
        .events()
        .into_iter()
        .filter(|event| matches!(event, Event::Pod(told) if told.message.contains("1.0 of 2.0 MiB")))
        .collect();
    assert_eq!(told.len(), 2, "one each ten seconds");
    assert!(first.take().is_none());
    go.take();
    engines.advance(Duration::ZERO);
    assert_eq!(first.take().unwrap().unwrap().id, ID);
    assert_eq!(second.take().unwrap().unwrap().id, ID);
    assert_eq!(pulls.get(), 1);
    let third = begin().unwrap();
    go.take();
    engines.advance(Duration::ZERO);
    assert!(third.take().unwrap().is_ok());
    assert_eq!(pulls.get(), 2, "one that has ended is not shared any more");
}

#[test]
fn an_image_with_several_names_is_removed_without_force() {
    let left = Rc::new(Cell::new(2));
    let engines = start(DOCKER, move |what, _| match what {
        _ if what == format!("DELETE /images/{ID}") && left.get() > 0 => Some((
            409,
            json!({"message": "conflict: unable to delete 4d9bcd631863 (must be forced) - image is referenced in multiple repositories"}),
        )),
        _ if what == format!("GET /images/{ID}/json") => Some((200, json!({"Id": ID, "RepoTags": ["a:1", "b:1"]}))),
        "DELETE /images/a:1" | "DELETE /images/b:1" => {
            left.set(left.get() - 1);
            Some((200, json!([])))
        }
        _ if what == format!("DELETE /images/{ID}") => Some((404, json!({"message": "No such image"}))),
        _ => None,
    });
    assert_eq!(call(&engines, async |calls| runtime(calls).remove_image(ID.into()).await), Ok(()));
    assert!(requests(&engines).iter().all(|what| !what.contains("force")));
}

#[test]
fn an_image_in_use_stays() {
    let engines = start(PODMAN, |what, _| {
        let message = "image 4d is in use: image used by 08: image is in use by a container";
        (what == format!("DELETE /images/{ID}")).then(|| (409, json!({"message": message})))
    });
    assert_eq!(call(&engines, async |calls| runtime(calls).remove_image(ID.into()).await), Err(Error::AlreadyExists));
}

#[test]
fn all_images_are_listed_with_whom_they_run_as() {
    let engines = start(DOCKER, |what, _| match what {
        "GET /images/json" => Some((200, json!([{"Id": ID, "RepoTags": null, "RepoDigests": null, "Size": 7}]))),
        _ if what == format!("GET /images/{ID}/json") => Some((200, found())),
        _ => None,
    });
    let all = call(&engines, async |calls| runtime(calls).images().await).unwrap();
    assert_eq!((all.len(), all[0].user.as_str()), (1, "web"));
}
