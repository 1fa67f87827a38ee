//! Whole requests that are allowed, over each kind of connection.

use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{Response, StatusCode};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use pluglet_egress::{Error, Grant, Target};
use tokio::process::Command;

use crate::servers::{Server, unix};
use crate::support::{API, Files, Setup, egress, fetch, grant, header, request, text, with_header};
use crate::tls::Authority;

/// Says what it was asked: version, method, path, host, body.
fn mirror() -> Router {
    Router::new().fallback(async |request: Request| {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let host =
            head.uri.host().map(str::to_owned).or_else(|| Some(head.headers["host"].to_str().unwrap().to_owned()));
        let text = String::from_utf8(body.to_vec()).unwrap();
        let path = head.uri.path_and_query().unwrap();
        format!("{:?} {} {path} {} {text}", head.version, head.method, host.unwrap())
    })
}

#[tokio::test]
async fn a_request_reaches_the_base_url_with_its_body_and_comes_back() {
    let server = Server::web(mirror()).await;
    let egress = egress(grant(&format!("{}/base", server.url())));
    let answer = egress.fetch(request("POST", "/v1/pods?x=1"), Bytes::from_static(b"hello"), 1 << 20).await.unwrap();
    assert_eq!(answer.status, 200);
    let expected = format!("HTTP/1.1 POST /base/v1/pods?x=1 {} hello", server.address);
    assert_eq!(String::from_utf8(answer.body).unwrap(), expected);
    assert!(header(&answer.headers, "content-type").is_some());
}

#[tokio::test]
async fn any_status_is_a_success() {
    let server = Server::web(Router::new().fallback(async || StatusCode::IM_A_TEAPOT)).await;
    assert_eq!(fetch(&egress(grant(&server.url())), request("GET", "/")).await.unwrap().status, 418);
}

#[tokio::test]
async fn http2_is_used_where_a_trusted_server_offers_it() {
    let (authority, files) = (Authority::new(), Files::new());
    let server = Server::tls(mirror(), authority.server("127.0.0.1")).await;
    let url = format!("https://{}", server.address);
    let trusting = egress(Grant { tls: authority.trusted(&files), ..grant(&url) });
    for _ in 0..5 {
        assert!(text(&trusting, "/x").await.starts_with("HTTP/2.0 GET /x 127.0.0.1"));
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_is_not_spoken_to() {
    let (authority, other, files) = (Authority::new(), Authority::new(), Files::new());
    let server = Server::tls(mirror(), authority.server("127.0.0.1")).await;
    let url = format!("https://{}", server.address);
    let distrusting = egress(Grant { tls: other.trusted(&files), ..grant(&url) });
    assert!(matches!(fetch(&distrusting, request("GET", "/")).await, Err(Error::Connect(_))));
}

#[tokio::test]
async fn the_certificate_must_have_the_name_that_the_operator_wrote() {
    let (authority, files) = (Authority::new(), Files::new());
    let server = Server::tls(mirror(), authority.server("inner.example")).await;
    let by_address = Grant { tls: authority.trusted(&files), ..grant(&format!("https://{}", server.address)) };
    assert!(matches!(fetch(&egress(by_address.clone()), request("GET", "/")).await, Err(Error::Connect(_))));
    let by_name = Grant { server_name: Some("inner.example".to_owned()), ..by_address };
    assert!(text(&egress(by_name), "/").await.starts_with("HTTP/2.0"));
}

#[tokio::test]
async fn a_socket_of_this_machine_is_an_endpoint() {
    let files = Files::new();
    let path = files.0.path().join("engine.sock");
    let _server = unix(&path, mirror());
    let egress = egress(grant(&format!("unix://{}", path.display())));
    assert_eq!(text(&egress, "/v1.41/info").await, "HTTP/1.1 GET /v1.41/info localhost ");
}

#[tokio::test]
async fn twenty_requests_share_one_connection() {
    let server = Server::web(mirror()).await;
    let egress = egress(grant(&server.url()));
    for _ in 0..20 {
        text(&egress, "/").await;
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn endpoints_never_share_a_connection() {
    let server = Server::web(mirror()).await;
    let egress = Setup::new().endpoint(API, grant(&server.url())).endpoint("other", grant(&server.url())).egress();
    for _ in 0..3 {
        text(&egress, "/").await;
        let mut other = request("GET", "/");
        "other".clone_into(&mut other.endpoint);
        fetch(&egress, other).await.unwrap();
    }
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_not_followed() {
    let router = Router::new().fallback(async |request: Request| {
        let to =
            if request.uri().path() == "/metadata" { "http://169.254.169.254/latest/meta-data/" } else { "/other" };
        Response::builder().status(307).header("location", to).body(Body::empty()).unwrap()
    });
    let server = Server::web(router).await;
    let egress = egress(grant(&server.url()));
    for (path, to) in [("/metadata", "http://169.254.169.254/latest/meta-data/"), ("/", "/other")] {
        let answer = fetch(&egress, request("GET", path)).await.unwrap();
        assert_eq!((answer.status, header(&answer.headers, "location")), (307, Some(to)));
    }
}

#[tokio::test]
async fn the_user_agent_is_the_hosts_unless_the_provider_has_one() {
    let router =
        Router::new().fallback(async |request: Request| request.headers()["user-agent"].to_str().unwrap().to_owned());
    let server = Server::web(router).await;
    let egress = egress(grant(&server.url()));
    assert!(text(&egress, "/").await.starts_with("pluglet/"));
    let answer = fetch(&egress, with_header(request("GET", "/"), "User-Agent", "aci/2")).await.unwrap();
    assert_eq!(answer.body, b"aci/2");
}

/// Runs itself in a child, because the environment of this process is everybody's.
#[tokio::test]
async fn no_proxy_of_the_environment_is_used() {
    const TOLD: &str = "PLUGLET_TEST_URL";
    if let Ok(url) = std::env::var(TOLD) {
        assert_eq!(text(&egress(grant(&url)), "/").await, "direct");
        return;
    }
    let server = Server::web(Router::new().fallback(async || "direct")).await;
    let proxy = Server::saying("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nproxied").await;
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "fetch::no_proxy_of_the_environment_is_used"]).env(TOLD, server.url());
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        child.env(name, proxy.url());
    }
    let output = child.env_remove("no_proxy").env_remove("NO_PROXY").output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    assert_eq!((server.connections(), proxy.connections()), (1, 0));
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_a_failure_to_connect() {
    let gone = Server::saying("").await.address;
    let refused = egress(grant(&format!("http://{gone}")));
    assert!(matches!(fetch(&refused, request("GET", "/")).await, Err(Error::Connect(_))));
    let missing = egress(crate::support::to(Target::Unix("/nowhere/engine.sock".into())));
    assert!(matches!(fetch(&missing, request("GET", "/")).await, Err(Error::Connect(_))));
    assert_ne!(gone, SocketAddr::from(([0, 0, 0, 0], 0)));
}
