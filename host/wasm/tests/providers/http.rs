//! The way out: requests of a component to endpoints that were granted, and to one that was not.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, put};
use pluglet_egress::{Grant, Target};
use pluglet_model::provider::{Error, Provider};
use pluglet_wasm::StartError;
use tokio::task::JoinSet;

use crate::support::{Running, key, listed, options, phase, plan, start, try_start};

const RUNNING: &str = r#"{"phase":"Running"}"#;

/// What the service was asked, as `METHOD path?query user-agent`.
type Asked = Arc<Mutex<Vec<String>>>;

fn service() -> (Router, Asked) {
    let asked = Asked::default();
    let router = Router::new()
        .route("/pods/{uid}", put(pod).get(pod).delete(async || StatusCode::ACCEPTED))
        .route("/pods", get(async || format!(r#"[{{"uid":"a","namespace":"default","name":"a","status":{RUNNING}}}]"#)))
        .with_state(Arc::clone(&asked));
    (router, asked)
}

async fn pod(State(asked): State<Asked>, Path(uid): Path<String>, request: Request) -> Response {
    let agent = request.headers().get("user-agent").map(|agent| agent.to_str().unwrap().to_owned()).unwrap_or_default();
    asked.lock().unwrap().push(format!("{} {} {agent}", request.method(), request.uri()));
    match uid.as_str() {
        "large" => "x".repeat(1 << 20).into_response(),
        "redirect" => (StatusCode::FOUND, [("location", "/base/pods/a")]).into_response(),
        "hang" => std::future::pending().await,
        "garbage" => "phase: Running".into_response(),
        _ => RUNNING.into_response(),
    }
}

fn grant(url: &str) -> Grant {
    Grant::new(Target::base(url).unwrap())
}

async fn webhook(grant: Grant) -> Running {
    let mut options = options("webhook");
    options.grants.insert("backend".to_owned(), grant);
    start(options).await
}

async fn over_tcp(tasks: &mut JoinSet<()>) -> (Grant, Asked) {
    let (router, asked) = service();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/base", listener.local_addr().unwrap());
    let router = Router::new().nest("/base", router);
    tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
    (grant(&url), asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_granted_endpoint_is_reached_over_http() {
    let mut tasks = JoinSet::new();
    let (endpoint, asked) = over_tcp(&mut tasks).await;
    let mut options = options("webhook");
    options.grants.insert("backend".to_owned(), endpoint);
    let owner = format!("node={}&cluster={}", options.node_name, options.cluster_id);
    let webhook = start(options).await;
    assert_eq!(phase(&webhook.provider.create(&plan("a", &[])).await.unwrap()), "Running");
    assert_eq!(phase(&webhook.provider.status(&key("a")).await.unwrap()), "Running");
    assert_eq!(listed(&webhook.provider).await, ["a"]);
    webhook.provider.delete(&key("a"), Duration::from_secs(7)).await.unwrap();
    let asked = asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert!(asked[0].starts_with(&format!("PUT /pods/a?{owner} pluglet/")), "{asked:?}");
    webhook.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_granted_endpoint_is_reached_over_a_unix_socket() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("backend.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let (router, asked) = service();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
    let webhook = webhook(grant(&format!("unix://{}", path.display()))).await;
    assert_eq!(phase(&webhook.provider.create(&plan("a", &[])).await.unwrap()), "Running");
    assert_eq!(asked.lock().unwrap().len(), 1);
    webhook.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_needs_what_is_not_granted_does_not_start_and_says_what_to_write() {
    let Err(StartError::Missing(missing)) = try_start(options("webhook")).await else { panic!("it started") };
    let text = missing.first().unwrap().to_string();
    assert!(text.contains("endpoints:\n  backend:\n    url: https://…"), "{text}");

    let mut narrow = options("webhook");
    narrow.grants.insert(
        "backend".to_owned(),
        Grant { methods: Some(vec![axum::http::Method::GET]), ..grant("http://127.0.0.1:1") },
    );
    let Err(StartError::Missing(missing)) = try_start(narrow).await else { panic!("it started") };
    assert_eq!(missing.first().unwrap().lacking, ["the methods PUT, DELETE"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_bounded_in_size_and_time_and_redirects_are_not_followed() {
    let mut tasks = JoinSet::new();
    let (mut endpoint, asked) = over_tcp(&mut tasks).await;
    endpoint.limits.max_response_bytes = 64 << 10;
    endpoint.limits.timeout = Duration::from_millis(500);
    let webhook = webhook(endpoint).await;
    let large = webhook.provider.status(&key("large")).await.unwrap_err();
    assert!(large.to_string().contains("large"), "{large}");
    assert!(webhook.provider.status(&key("hang")).await.is_err());
    assert!(webhook.provider.status(&key("redirect")).await.is_err());
    let Err(Error::Internal(garbage)) = webhook.provider.status(&key("garbage")).await else {
        panic!("garbage was taken")
    };
    assert!(garbage.contains("not a v1.PodStatus"), "{garbage}");
    assert!(!asked.lock().unwrap().iter().any(|line| line.starts_with("GET /pods/a ")), "the redirect was followed");
    webhook.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_is_away_is_unavailable() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let webhook = webhook(grant(&url)).await;
    let away = webhook.provider.create(&plan("a", &[])).await;
    assert!(matches!(away, Err(Error::Unavailable { .. })), "{away:?}");
    webhook.stop().await;
}
