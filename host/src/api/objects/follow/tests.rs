//! A follower against a server that answers what the test says, over real HTTP.

use std::collections::VecDeque;
use std::sync::Mutex;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use http::StatusCode;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Config;
use pluglet_rules::resolve::Object;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::*;
use crate::api::client::Connector;

/// An answer: a status and pieces of a body. `open`: it does not end after them.
struct Answer {
    status: u16,
    pieces: Vec<Bytes>,
    open: bool,
}

/// Answers in order, and passes on what was asked.
struct Script {
    answers: Mutex<VecDeque<Answer>>,
    asked: mpsc::UnboundedSender<String>,
}

async fn answer(State(script): State<Arc<Script>>, RawQuery(query): RawQuery) -> Response {
    script.asked.send(query.unwrap_or_default()).unwrap();
    let Some(answer) = script.answers.lock().unwrap().pop_front() else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let pieces: BoxStream<'_, _> = stream::iter(answer.pieces).map(Ok::<_, std::io::Error>).boxed();
    let body = if answer.open { pieces.chain(stream::pending()).boxed() } else { pieces };
    (StatusCode::from_u16(answer.status).unwrap(), axum::body::Body::from_stream(body)).into_response()
}

struct Rig {
    follower: Follower<ConfigMap, Arc<Object>>,
    asked: mpsc::UnboundedReceiver<String>,
}

impl Rig {
    async fn new(answers: Vec<Answer>) -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let (sender, asked) = mpsc::unbounded_channel();
        let script = Arc::new(Script { answers: Mutex::new(answers.into()), asked: sender });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let router = Router::new().fallback(answer).with_state(script);
        #[expect(clippy::disallowed_methods, reason = "it ends with the runtime of the test")]
        tokio::task::spawn(async move { axum::serve(listener, router).await });
        let wanted =
            Wanted { path: "/api/v1/namespaces/n/configmaps".to_owned(), fields: Some("metadata.name=m".to_owned()) };
        let streams = Streams::new(Connector::new(Config::new(url)).unwrap());
        let follower = Follower::new(streams, wanted, InitialEvents::default(), super::super::config_map);
        Self { follower, asked }
    }

    /// What is told next: the value of `key`, `missing`, or the failure.
    async fn told(&mut self) -> String {
        match self.follower.next(super::super::single).await {
            Known::Found(object) => match &*object {
                Object::ConfigMap(map) => map.data.as_ref().unwrap()["key"].clone(),
                other => panic!("{other:?}"),
            },
            Known::Missing => "missing".to_owned(),
            Known::Failed(why) => format!("failed: {why}"),
            Known::Loading => "loading".to_owned(),
        }
    }
}

fn map(version: &str, value: &str) -> Value {
    json!({"metadata": {"name": "m", "namespace": "n", "resourceVersion": version}, "data": {"key": value}})
}

fn event(kind: &str, object: &Value) -> String {
    format!("{}\n", json!({"type": kind, "object": object}))
}

fn end_of_initial_events(version: &str) -> String {
    let annotations = json!({"k8s.io/initial-events-end": "true"});
    event(
        "BOOKMARK",
        &json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"resourceVersion": version, "annotations": annotations}}),
    )
}

fn watch(pieces: impl IntoIterator<Item = impl Into<Bytes>>) -> Answer {
    Answer { status: 200, pieces: pieces.into_iter().map(Into::into).collect(), open: true }
}

#[tokio::test]
async fn one_request_tells_an_object_its_change_and_its_end() {
    let events = vec![
        event("ADDED", &map("5", "one")),
        end_of_initial_events("7"),
        event("MODIFIED", &map("8", "two")),
        event("DELETED", &map("9", "two")),
    ];
    let mut rig = Rig::new(vec![watch(events)]).await;
    assert_eq!(rig.told().await, "one");
    assert_eq!(rig.told().await, "two");
    assert_eq!(rig.told().await, "missing");
    let asked = rig.asked.recv().await.unwrap();
    for part in ["watch=true", "sendInitialEvents=true", "fieldSelector=metadata.name%3Dm", "allowWatchBookmarks=true"]
    {
        assert!(asked.contains(part), "{part} is not in {asked}");
    }
    assert!(asked.ends_with("resourceVersion="), "the state of the moment, not one that a cache may have: {asked}");
    assert!(rig.asked.try_recv().is_err());
}

#[tokio::test]
async fn an_object_is_missing_only_once_all_initial_events_were_told() {
    let mut rig = Rig::new(vec![watch(vec![end_of_initial_events("7"), event("ADDED", &map("8", "late"))])]).await;
    assert_eq!(rig.told().await, "missing");
    assert_eq!(rig.told().await, "late");
}

#[tokio::test]
async fn events_that_come_in_pieces_are_put_together() {
    let whole = format!("{}{}", event("ADDED", &map("5", "grüß")), end_of_initial_events("7"));
    let mut rig = Rig::new(vec![watch(whole.as_bytes().chunks(7).map(Bytes::copy_from_slice))]).await;
    assert_eq!(rig.told().await, "grüß");
}

#[tokio::test]
async fn a_watch_that_ends_goes_on_at_its_version() {
    let first = vec![event("ADDED", &map("5", "one")), end_of_initial_events("7"), event("MODIFIED", &map("9", "two"))];
    let first = Answer { open: false, ..watch(first) };
    let mut rig = Rig::new(vec![first, watch(vec![event("MODIFIED", &map("12", "three"))])]).await;
    assert_eq!([rig.told().await, rig.told().await, rig.told().await], ["one", "two", "three"]);
    rig.asked.recv().await.unwrap();
    let second = rig.asked.recv().await.unwrap();
    assert!(second.ends_with("resourceVersion=9") && !second.contains("sendInitialEvents"), "{second}");
}

#[tokio::test]
async fn a_version_that_is_too_old_begins_anew_and_what_was_deleted_meanwhile_is_missing() {
    let gone = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "too old resource version", "reason": "Expired", "code": 410});
    let first = vec![event("ADDED", &map("5", "one")), end_of_initial_events("7"), event("ERROR", &gone)];
    let mut rig = Rig::new(vec![watch(first), watch(vec![end_of_initial_events("20")])]).await;
    assert_eq!([rig.told().await, rig.told().await], ["one", "missing"]);
    rig.asked.recv().await.unwrap();
    assert!(rig.asked.recv().await.unwrap().contains("sendInitialEvents=true"));
}

#[tokio::test]
async fn a_server_that_sends_no_initial_events_is_asked_for_a_list() {
    let forbidden = json!({"kind": "Status", "status": "Failure", "code": 422, "message": "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"});
    let refused = Answer { status: 422, pieces: vec![forbidden.to_string().into()], open: false };
    let list = json!({"kind": "ConfigMapList", "apiVersion": "v1", "metadata": {"resourceVersion": "7"}, "items": [map("5", "one")]});
    let list = Answer { status: 200, pieces: vec![list.to_string().into()], open: false };
    let mut rig = Rig::new(vec![refused, list, watch(vec![event("MODIFIED", &map("8", "two"))])]).await;
    assert_eq!([rig.told().await, rig.told().await], ["one", "two"]);
    let asked = [rig.asked.recv().await.unwrap(), rig.asked.recv().await.unwrap(), rig.asked.recv().await.unwrap()];
    assert!(!asked[1].contains("watch=true"), "{asked:?}");
    assert!(asked[2].ends_with("resourceVersion=7"), "{asked:?}");
}

#[tokio::test]
async fn a_refusal_is_told_after_some_attempts_and_ends_when_the_server_allows_it() {
    let refusal = || {
        let status = json!({"kind": "Status", "status": "Failure", "code": 403, "reason": "Forbidden", "message": "no relationship found"});
        Answer { status: 403, pieces: vec![status.to_string().into()], open: false }
    };
    let mut answers: Vec<Answer> = (0..FAILURES_UNTOLD).map(|_| refusal()).collect();
    answers.push(watch(vec![event("ADDED", &map("5", "one")), end_of_initial_events("7")]));
    let mut rig = Rig::new(answers).await;
    assert_eq!([rig.told().await, rig.told().await], ["failed: no relationship found", "one"]);
}

#[tokio::test]
async fn a_watch_that_ends_before_it_has_said_all_begins_anew() {
    // A bookmark that is not the end of the initial events is nothing to go on from.
    let early =
        event("BOOKMARK", &json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"resourceVersion": "6"}}));
    let first = Answer { open: false, ..watch([event("ADDED", &map("5", "one")), early]) };
    let mut rig = Rig::new(vec![first, watch([event("ADDED", &map("5", "one")), end_of_initial_events("7")])]).await;
    assert_eq!(rig.told().await, "one");
    rig.asked.recv().await.unwrap();
    assert!(rig.asked.recv().await.unwrap().contains("sendInitialEvents=true"));
}

#[tokio::test]
async fn watches_that_end_at_once_are_begun_at_a_pace() {
    let ending = || Answer { open: false, ..watch(Vec::<String>::new()) };
    let first = Answer { open: false, ..watch([end_of_initial_events("7")]) };
    let mut rig = Rig::new(vec![first, ending(), ending(), watch([event("ADDED", &map("8", "late"))])]).await;
    assert_eq!(rig.told().await, "missing");
    let begin = std::time::Instant::now();
    assert_eq!(rig.told().await, "late");
    assert!(begin.elapsed() > Duration::from_millis(600), "0.2 s, 0.4 s, 0.8 s");
}

#[tokio::test]
async fn a_busy_server_is_asked_again_for_what_came_after_and_not_for_everything() {
    let first = Answer { open: false, ..watch([event("ADDED", &map("5", "one")), end_of_initial_events("7")]) };
    let busy = Answer { status: 503, pieces: vec!["overloaded".into()], open: false };
    let mut rig = Rig::new(vec![first, busy, watch([event("MODIFIED", &map("8", "two"))])]).await;
    assert_eq!([rig.told().await, rig.told().await], ["one", "two"]);
    let asked = [rig.asked.recv().await.unwrap(), rig.asked.recv().await.unwrap(), rig.asked.recv().await.unwrap()];
    assert!(asked[1].ends_with("resourceVersion=7") && asked[2].ends_with("resourceVersion=7"), "{asked:?}");
}

#[tokio::test]
async fn what_is_no_event_begins_anew() {
    let first = watch([event("ADDED", &map("5", "one")), end_of_initial_events("7"), "nonsense\n".to_owned()]);
    let mut rig = Rig::new(vec![first, watch([event("ADDED", &map("9", "two")), end_of_initial_events("9")])]).await;
    assert_eq!([rig.told().await, rig.told().await], ["one", "two"]);
}
