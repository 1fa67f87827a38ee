//! What a 401 does: the credential is looked at again, and the request repeated once if that changed anything.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use bytes::Bytes;
use pluglet_credentials::Auth;
use pluglet_credentials::tls::{ClientCertificate, TlsOptions};
use pluglet_egress::{Error, Grant, UpgradeAnswer};

use crate::bodies::Pieces;
use crate::servers::Server;
use crate::support::{Files, egress, fetch, grant, request, text};
use crate::tls::Authority;

/// Takes one token and refuses all others; counts.
async fn picky(taken: &'static str) -> (Server, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let router = Router::new().fallback(async move |request: Request| {
        counter.fetch_add(1, Ordering::SeqCst);
        let authorization = request.headers()["authorization"].to_str().unwrap().to_owned();
        let status = if authorization == format!("Bearer {taken}") { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
        let body = axum::body::to_bytes(request.into_body(), 100).await.unwrap();
        (status, body)
    });
    (Server::web(router).await, count)
}

fn from_file(server: &Server, files: &Files, token: &str) -> Grant {
    Grant { auth: Some(Auth::Bearer { token_file: files.write("token", token) }), ..grant(&server.url()) }
}

#[tokio::test]
async fn a_token_that_was_replaced_is_read_again_and_the_request_repeated_once() {
    let ((server, count), files) = (picky("new").await, Files::new());
    let egress = egress(from_file(&server, &files, "old"));
    files.write("token", "new");
    let answer = egress.fetch(request("POST", "/"), Bytes::from_static(b"hello"), 10).await.unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"hello"[..]));
    assert_eq!(count.load(Ordering::SeqCst), 2);
    fetch(&egress, request("GET", "/")).await.unwrap();
    assert_eq!(count.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn the_second_401_is_the_answer() {
    let ((server, count), files) = (picky("never").await, Files::new());
    let egress = egress(from_file(&server, &files, "old"));
    files.write("token", "new");
    assert_eq!(fetch(&egress, request("GET", "/")).await.unwrap().status, 401);
    assert_eq!(count.load(Ordering::SeqCst), 2);
    assert_eq!(fetch(&egress, request("GET", "/")).await.unwrap().status, 401);
    assert_eq!(count.load(Ordering::SeqCst), 3, "nothing has changed, so nothing is repeated");
}

#[tokio::test]
async fn a_request_without_a_credential_of_the_host_is_not_repeated() {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let router = Router::new().fallback(async move || {
        counter.fetch_add(1, Ordering::SeqCst);
        StatusCode::UNAUTHORIZED
    });
    let server = Server::web(router).await;
    assert_eq!(fetch(&egress(grant(&server.url())), request("GET", "/")).await.unwrap().status, 401);
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_body_that_flowed_is_not_repeated_but_the_next_request_has_the_new_token() {
    let ((server, count), files) = (picky("new").await, Files::new());
    let egress = egress(from_file(&server, &files, "old"));
    files.write("token", "new");
    assert_eq!(egress.send(request("POST", "/"), Pieces::of(&["x"])).await.unwrap().status, 401);
    assert_eq!(count.load(Ordering::SeqCst), 1);
    assert_eq!(egress.send(request("POST", "/"), Pieces::of(&["x"])).await.unwrap().status, 200);
    files.write("token", "old");
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_stream_without_a_request_body_and_a_switch_are_repeated() {
    let ((server, count), files) = (picky("new").await, Files::new());
    let stream = egress(from_file(&server, &files, "old"));
    files.write("token", "new");
    assert_eq!(stream.send(request("GET", "/"), Pieces::default()).await.unwrap().status, 200);
    assert_eq!(count.load(Ordering::SeqCst), 2);
    let switch = egress(from_file(&server, &files, "old"));
    files.write("token", "new");
    match switch.upgrade(request("POST", "/"), "tcp", Bytes::new()).await.unwrap() {
        UpgradeAnswer::Refused(answer) => assert_eq!(answer.status, 200),
        UpgradeAnswer::Upgraded(_) => panic!("it does not switch"),
    }
    assert_eq!(count.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn the_hosts_certificate_is_shown_to_who_asks_and_its_sessions_are_kept() {
    let (authority, files) = (Authority::new(), Files::new());
    let router = Router::new().fallback(async || ([("set-cookie", "session=1")], "member"));
    let server = Server::tls(router, authority.server_for_members("127.0.0.1")).await;
    let url = format!("https://{}", server.address);
    let nobody = egress(Grant { tls: authority.trusted(&files), ..grant(&url) });
    let outcome = fetch(&nobody, request("GET", "/")).await;
    assert!(matches!(outcome, Err(Error::Connect(_) | Error::Protocol(_))), "{outcome:?}");
    let (certificate, key) = authority.issue("host");
    let client_certificate = ClientCertificate {
        certificate_file: files.write("host.pem", certificate.pem()),
        key_file: files.write("host.key", key.serialize_pem()),
    };
    let tls = TlsOptions { client_certificate: Some(client_certificate), ..authority.trusted(&files) };
    let member = egress(Grant { tls, ..grant(&url) });
    assert_eq!(text(&member, "/").await, "member");
    let answer = fetch(&member, request("GET", "/")).await.unwrap();
    assert_eq!(crate::support::header(&answer.headers, "set-cookie"), None);
}
