//! The provider against a scripted engine, run natively by the SDK's harness.
//!
//! In: calls as the host makes them. Out: the requests that an engine would see, and what its answers turn into. Invariant: no socket; the answers
//! are those that Docker 20.10 and Podman 4.3 were seen to give.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test whose helper cannot go on has failed"
)]

mod containers;
mod events;
mod exec;
mod images;
mod list;
mod logs;
mod sandboxes;
mod start;
mod stats;
mod stop;

use std::rc::Rc;

use containers_plugin::Engine;
use futures::future::pending;
use pluglet_sdk::testing::{Harness, Responder, TestPod, World, json, pod};
use pluglet_sdk::{
    Containers, HttpError, Init, LogOptions, PodRef, Provider, Request, Response, Result, Runtime, SandboxConfig,
};
use serde_json::Value;

use ::containers as containers_plugin;

type Engines = Harness<Containers<Engine>>;

/// An answer: status and body.
type Answer = (u16, Value);

const DOCKER: &str = "docker";
const PODMAN: &str = "podman";
const CONFIG: &str = r#"{"sandboxImage": "localhost/pause:1"}"#;

/// What an engine is asked: `GET /containers/json`, and the query with nothing encoded.
fn asked(request: &Request) -> (String, String) {
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    let path = path.strip_prefix("/v1.41").unwrap_or(path);
    let query: Vec<String> =
        form_urlencoded::parse(query.as_bytes()).map(|(name, value)| format!("{name}={value}")).collect();
    (format!("{} {path}", request.method), query.join("&"))
}

/// A world with an engine that answers so; what is not answered does not exist.
fn world(engine: &'static str, answer: impl Fn(&str, &Request) -> Option<Answer> + 'static) -> World {
    let world = World::new();
    let answer = Rc::new(move |request: &Request| {
        let (what, query) = asked(request);
        let (status, body) = answer(&what, request).unwrap_or_else(|| usual(engine, &what, &query));
        let libpod = (engine == PODMAN).then(|| ("Libpod-Api-Version".to_owned(), "4.3.1".to_owned()));
        let body = match body {
            Value::Null => Vec::new(),
            Value::String(text) => text.into_bytes(),
            json => json.to_string().into_bytes(),
        };
        Response { status, headers: libpod.into_iter().collect(), body }
    });
    let whole = Rc::clone(&answer);
    world.serve("engine", move |request| {
        let response = whole(request);
        // No status of HTTP: the engine does not answer in time.
        if response.status == 0 { Err(HttpError::Timeout) } else { Ok(response) }
    });
    world.serve_stream("engine", async move |request: Request, responder: Responder| {
        if request.target.contains("/events") {
            let (_writer, _body) = responder.respond(200, Vec::new());
            return pending().await;
        }
        let Response { status, headers, body } = answer(&request);
        if status == 0 {
            return responder.fail(HttpError::Timeout);
        }
        let (mut writer, _body) = responder.respond(status, headers);
        writer.send(body).await;
        writer.finish().await;
    });
    world
}

/// What both engines say when nothing else was scripted.
fn usual(engine: &str, what: &str, _query: &str) -> Answer {
    match what {
        "GET /version" => (200, json!({"ApiVersion": "1.41", "MinAPIVersion": "1.24"})),
        "GET /info" => {
            (200, json!({"NCPU": 2, "MemTotal": 2_147_483_648_u64, "Architecture": "x86_64", "OSType": "linux"}))
        }
        "GET /volumes" => (200, json!({"Volumes": null, "Warnings": null})),
        "GET /containers/json" => (200, json!([])),
        _ if engine == PODMAN => (404, json!({"cause": "c", "message": "no such container", "response": 404})),
        _ => (404, json!({"message": "No such container: x"})),
    }
}

fn start_in(world: World) -> Engines {
    start_with(world, CONFIG).unwrap()
}

fn start_with(world: World, config_json: &str) -> Result<Engines> {
    let init = Init { node_name: "n".into(), cluster_id: "c".into(), config_json: config_json.into(), handoff: None };
    Engines::start_in(world, init)
}

/// An engine that is ours from the start.
fn start(engine: &'static str, answer: impl Fn(&str, &Request) -> Option<Answer> + 'static) -> Engines {
    start_in(world(engine, answer))
}

/// Call the runtime.
fn call<T: 'static>(engines: &Engines, call: impl AsyncFnOnce(&dyn Calls) -> Result<T> + 'static) -> Result<T> {
    engines.call(async move |provider| call(&provider).await)
}

/// The calls of the runtime, which the harness has no names for.
trait Calls {
    fn provider(&self) -> &Containers<Engine>;
}

impl Calls for Rc<Containers<Engine>> {
    fn provider(&self) -> &Containers<Engine> {
        self
    }
}

/// The runtime in a provider.
fn runtime(calls: &dyn Calls) -> &impl Runtime {
    calls.provider().runtime().unwrap()
}

fn web() -> PodRef {
    test_pod().pod_ref
}

fn test_pod() -> TestPod {
    pod(json!({"metadata": {"name": "web", "uid": "u"}}))
}

fn sandbox() -> SandboxConfig {
    SandboxConfig { pod: web(), hostname: "web".into(), ..SandboxConfig::default() }
}

fn log_of(id: &str) -> LogOptions {
    LogOptions { container: id.into(), ..LogOptions::default() }
}

/// The labels of something of pod `web`.
fn labels(kind: &str, more: &[(&str, &str)]) -> Value {
    let mut labels = json!({
        "dev.pluglet.cluster": "c", "dev.pluglet.node": "n", "dev.pluglet.uid": "u", "dev.pluglet.namespace": "default",
        "dev.pluglet.pod": "web", "dev.pluglet.kind": kind, "dev.pluglet.attempt": "0",
    });
    for (name, value) in more {
        labels[format!("dev.pluglet.{name}")] = json!(value);
    }
    labels
}

/// What an engine tells of one container.
fn inspected(id: &str, labels: &Value, state: &Value) -> Value {
    json!({
        "Id": id, "Created": "2026-01-01T00:00:00.000000001Z", "Image": "sha256:4d", "Name": format!("/{id}"), "State": state,
        "Config": {"Labels": labels, "Tty": false, "OpenStdin": true, "StdinOnce": false},
        "HostConfig": {"Memory": 0},
        "NetworkSettings": {"IPAddress": "10.88.0.6", "Networks": {}},
    })
}

fn running() -> Value {
    json!({"Status": "running", "StartedAt": "2026-01-01T00:00:01Z", "FinishedAt": "0001-01-01T00:00:00Z", "ExitCode": 0})
}

fn created() -> Value {
    json!({"Status": "created", "StartedAt": "0001-01-01T00:00:00Z", "FinishedAt": "0001-01-01T00:00:00Z", "ExitCode": 0})
}

fn exited(code: i32) -> Value {
    json!({"Status": "exited", "StartedAt": "2026-01-01T00:00:01Z", "FinishedAt": "2026-01-01T00:00:02Z", "ExitCode": code})
}

/// Container `main` in sandbox `s`.
fn main_labels() -> Value {
    labels("container", &[("container", "main"), ("sandbox", "s"), ("image", "nginx")])
}

/// What was asked for, less what was asked at the start.
fn requests(engines: &Engines) -> Vec<String> {
    let all = engines.world().requests().into_iter().map(|request| {
        let (what, query) = asked(&request);
        if query.is_empty() || query.starts_with("filters") { what } else { format!("{what}?{query}") }
    });
    let at_start = ["GET /version", "GET /info", "GET /volumes", "GET /events"];
    all.skip_while(|what| at_start.contains(&what.as_str())).collect()
}
