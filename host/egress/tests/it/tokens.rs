//! Tokens that expire, against a token server that counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use futures::future::join_all;
use futures::poll;
use pluglet_credentials::{Auth, OAuth2};
use pluglet_egress::{Egress, EndpointLimits, Error, Grant};
use tokio::sync::watch;
use tokio::task::unconstrained;

use crate::servers::Server;
use crate::support::{Files, PATIENCE, egress, fetch, grant, pass, request};

const HOUR: Duration = Duration::from_secs(3600);

pub(crate) fn oauth2(url: &str, files: &Files) -> Auth {
    Auth::OAuth2(OAuth2 {
        token_url: format!("{url}/token"),
        client_id: "client".to_owned(),
        client_secret_file: files.write("client-secret", "client-hunter2"),
        scopes: vec![],
        audience: None,
        ca_file: None,
    })
}

/// A token server and a backend that takes only its newest token.
struct World {
    tokens: Server,
    backend: Server,
    given: Arc<AtomicUsize>,
    oldest: Arc<AtomicUsize>,
    refused: Arc<AtomicUsize>,
    /// Whether the token server answers.
    open: watch::Sender<bool>,
    files: Files,
}

impl World {
    async fn new() -> Self {
        let (given, oldest) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(1)));
        let refused = Arc::new(AtomicUsize::new(0));
        let open = watch::channel(true).0;
        let (counter, gate) = (Arc::clone(&given), open.clone());
        let tokens = Router::new().fallback(async move || {
            let number = counter.fetch_add(1, Ordering::SeqCst) + 1;
            gate.subscribe().wait_for(|open| *open).await.unwrap();
            format!(r#"{{"token_type":"Bearer","expires_in":3600,"access_token":"token-hunter2-{number}"}}"#)
        });
        let (least, count) = (Arc::clone(&oldest), Arc::clone(&refused));
        let backend = Router::new().fallback(async move |request: Request| {
            let authorization = request.headers()["authorization"].to_str().unwrap();
            let number: usize = authorization.rsplit('-').next().unwrap().parse().unwrap();
            if number >= least.load(Ordering::SeqCst) {
                return StatusCode::OK;
            }
            count.fetch_add(1, Ordering::SeqCst);
            StatusCode::UNAUTHORIZED
        });
        let (tokens, backend) = (Server::web(tokens).await, Server::web(backend).await);
        Self { tokens, backend, given, oldest, refused, open, files: Files::new() }
    }

    fn egress(&self) -> Egress {
        let auth = Some(oauth2(&self.tokens.url(), &self.files));
        let limits = EndpointLimits { concurrency: 1000, timeout: PATIENCE, ..EndpointLimits::default() };
        egress(Grant { auth, limits, ..grant(&self.backend.url()) })
    }
}

/// All are under way before the token server says a word.
async fn thousand_at_once(world: &World, egress: &Egress) {
    world.open.send_replace(false);
    let mut calls: Vec<_> = (0..1000).map(|_| Box::pin(fetch(egress, request("GET", "/")))).collect();
    for call in &mut calls {
        assert!(poll!(unconstrained(call)).is_pending());
    }
    world.open.send_replace(true);
    for outcome in join_all(calls).await {
        assert_eq!(outcome.unwrap().status, 200);
    }
}

#[tokio::test]
async fn a_thousand_calls_over_an_expiry_make_one_token_request_and_none_fails() {
    let world = World::new().await;
    let egress = world.egress();
    thousand_at_once(&world, &egress).await;
    assert_eq!(world.given.load(Ordering::SeqCst), 1, "the first token");
    pass(HOUR).await;
    world.oldest.store(2, Ordering::SeqCst);
    thousand_at_once(&world, &egress).await;
    assert_eq!(world.given.load(Ordering::SeqCst), 2, "the second");
    assert_eq!(world.refused.load(Ordering::SeqCst), 0, "nobody went with the expired one");
}

#[tokio::test]
async fn a_thousand_calls_over_a_revocation_make_one_token_request_and_none_fails() {
    let world = World::new().await;
    let egress = world.egress();
    fetch(&egress, request("GET", "/")).await.unwrap();
    world.oldest.store(2, Ordering::SeqCst);
    thousand_at_once(&world, &egress).await;
    assert_eq!(world.given.load(Ordering::SeqCst), 2);
    assert!(world.refused.load(Ordering::SeqCst) >= 1);
}

#[tokio::test]
async fn without_a_token_nothing_is_sent_and_the_error_names_nothing_of_the_operators() {
    let backend = Server::saying("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let files = Files::new();
    let gone = Server::saying("").await.url();
    let refusing = Server::web(Router::new().fallback(async |request: Request| {
        // Says back what it was told, as careless ones do.
        (
            StatusCode::BAD_REQUEST,
            format!(r#"{{"error":"invalid_client","error_description":"{:?}"}}"#, request.headers()),
        )
    }))
    .await;
    for (url, transient) in [(gone, true), (refusing.url(), false)] {
        let to_it = egress(Grant { auth: Some(oauth2(&url, &files)), ..grant(&backend.url()) });
        let error = fetch(&to_it, request("GET", "/")).await.unwrap_err();
        assert!(matches!(error, Error::Credential { transient: told } if told == transient), "{error:?}");
        let text = format!("{error} {error:?}");
        let host = url.strip_prefix("http://").unwrap();
        for named in [host, "127.0.0.1", "token_url", "client", "hunter2", files.0.path().to_str().unwrap()] {
            assert!(!text.contains(named), "{named} is in: {text}");
        }
    }
    assert_eq!(backend.connections(), 0);
}
