//! Containers: made, started, changed.

use std::collections::BTreeMap;

use pluglet_sdk::testing::json;
use pluglet_sdk::{ContainerConfig, ContainerState, Error, Resources, Runtime};
use serde_json::Value;

use super::{
    DOCKER, Engines, PODMAN, call, created, exited, inspected, main_labels, requests, running, runtime, sandbox, start,
};

fn nginx() -> ContainerConfig {
    ContainerConfig {
        name: "main".into(),
        image: "nginx".into(),
        image_id: "sha256:4d".into(),
        ..ContainerConfig::default()
    }
}

fn create(engines: &Engines, config: ContainerConfig) -> Result<String, Error> {
    call(engines, async move |calls| runtime(calls).create_container("s".into(), sandbox(), config).await)
}

#[test]
fn a_container_is_made_with_its_name_and_its_labels() {
    let engines = start(DOCKER, |what, _| (what == "POST /containers/create").then(|| (201, json!({"Id": "m"}))));
    assert_eq!(create(&engines, nginx()).as_deref(), Ok("m"));
    assert_eq!(requests(&engines), ["POST /containers/create?name=pluglet_main_web_default_u_0"]);
    let body: Value = serde_json::from_slice(&engines.world().requests().pop().unwrap().body).unwrap();
    assert_eq!(body["Labels"], main_labels());
    assert_eq!(body["HostConfig"]["NetworkMode"], "container:s");
}

#[test]
fn a_container_that_exists_is_success_if_it_is_in_the_same_sandbox() {
    for (sandbox_of_it, answer) in [("s", Ok("m".to_owned())), ("t", Err(Error::AlreadyExists))] {
        let mut labels = main_labels();
        labels["dev.pluglet.sandbox"] = json!(sandbox_of_it);
        let engines = start(DOCKER, move |what, _| match what {
            "POST /containers/create" => Some((
                409,
                json!({"message": "Conflict. The container name \"/x\" is already in use by container \"m\"."}),
            )),
            "GET /containers/pluglet_main_web_default_u_0/json" => Some((200, inspected("m", &labels, &running()))),
            _ => None,
        });
        assert_eq!(create(&engines, nginx()), answer);
    }
}

#[test]
fn a_missing_image_is_not_a_missing_sandbox() {
    let said = |engine, status: u16, message: &'static str| {
        let engines = start(engine, move |what, _| {
            (what == "POST /containers/create").then(|| (status, json!({"message": message})))
        });
        create(&engines, nginx()).unwrap_err()
    };
    assert_eq!(said(DOCKER, 404, "No such image: sha256:4d"), Error::NotFound);
    assert_eq!(said(PODMAN, 404, "no such image: docker.io/library/sha256:4d: image not known"), Error::NotFound);
    let podman = "container create: looking up container to share net namespace with: no container with name or ID \"s\" found: no such container";
    assert!(matches!(said(PODMAN, 500, podman), Error::Unavailable(_)));
    assert!(matches!(said(DOCKER, 404, "No such container: s"), Error::Unavailable(_)));
    assert!(matches!(said(DOCKER, 400, "Minimum memory limit allowed is 6MB"), Error::Invalid(_)));
}

#[test]
fn a_container_that_has_ended_is_not_started_again() {
    for (state, is) in [(running(), ContainerState::Running), (exited(3), ContainerState::Exited)] {
        let engines = start(PODMAN, move |what, _| {
            (what == "GET /containers/m/json").then(|| (200, inspected("m", &main_labels(), &state)))
        });
        let status = call(&engines, async |calls| runtime(calls).start_container("m".into()).await).unwrap();
        assert_eq!(status.state, is);
        assert_eq!(requests(&engines), ["GET /containers/m/json"], "to an engine it would be as good as new");
    }
}

#[test]
fn a_command_that_cannot_be_run_is_told_in_the_same_words_by_both() {
    let found = "unable to start container process: exec: \"nope\": executable file not found in $PATH";
    for (engine, status, message) in [
        (
            DOCKER,
            400,
            format!("failed to create shim task: OCI runtime create failed: runc create failed: {found}: unknown"),
        ),
        (
            PODMAN,
            500,
            format!("runc: runc create failed: {found}: OCI runtime attempted to invoke a command that was not found"),
        ),
    ] {
        let engines = start(engine, move |what, _| match what {
            "GET /containers/m/json" => Some((200, inspected("m", &main_labels(), &created()))),
            "POST /containers/m/start" => Some((status, json!({"message": message}))),
            _ => None,
        });
        let error = call(&engines, async |calls| runtime(calls).start_container("m".into()).await).unwrap_err();
        assert_eq!(error, Error::invalid(found), "{engine}");
    }
}

fn update(engines: &Engines, resources: Resources) -> Result<(), Error> {
    call(engines, async move |calls| runtime(calls).update_container("m".into(), resources).await)
}

/// An engine with a container that may use 64 MiB.
fn limited(engine: &'static str, answers: BTreeMap<&'static str, (u16, Value)>) -> Engines {
    start(engine, move |what, _| {
        let mut found = inspected("m", &main_labels(), &running());
        found["HostConfig"]["Memory"] = json!(64 << 20);
        answers.get(what).cloned().or_else(|| (what == "GET /containers/m/json").then_some((200, found)))
    })
}

#[test]
fn each_engine_has_its_own_way_to_change_limits() {
    let more = Resources { memory_limit: Some(128 << 20), cpu_quota: Some(50_000), ..Resources::default() };
    let docker = limited(DOCKER, BTreeMap::from([("POST /containers/m/update", (200, json!({"Warnings": null})))]));
    update(&docker, more.clone()).unwrap();
    let podman = limited(PODMAN, BTreeMap::from([("POST /v4.3.1/libpod/containers/m/update", (201, json!("m\n")))]));
    update(&podman, more).unwrap();
    let body: Value = serde_json::from_slice(&podman.world().requests().pop().unwrap().body).unwrap();
    assert_eq!(body["memory"], json!({"limit": 134_217_728, "swap": 134_217_728}));
}

#[test]
fn what_an_engine_cannot_change_is_unsupported() {
    let docker = limited(DOCKER, BTreeMap::new());
    assert!(matches!(update(&docker, Resources::default()), Err(Error::Unsupported(_))));
    let old =
        limited(PODMAN, BTreeMap::from([("POST /v4.3.1/libpod/containers/m/update", (404, json!("Not Found\n")))]));
    assert!(matches!(update(&old, Resources::default()), Err(Error::Unsupported(_))));
}
