//! Against servers of this machine.

#![expect(clippy::disallowed_methods, reason = "the servers of a test end with its runtime")]

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request as Asked;
use axum::http::StatusCode as Code;
use axum::response::{Redirect, Response};
use axum::routing::any;
use futures::stream;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use k8s_openapi::api::core::v1::{Container, Probe};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::super::address::tests::Answers;
use super::super::check::Check;
use super::*;

async fn serve(router: Router) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, router).await });
    port
}

/// A probe as a pod writes it, with these fields besides the port.
fn check(port: u16, fields: &str) -> HttpGet {
    let fields: serde_json::Value = serde_json::from_str(fields).unwrap();
    let mut probe = serde_json::json!({ "httpGet": fields });
    probe["httpGet"]["port"] = port.into();
    let probe: Probe = serde_json::from_value(probe).unwrap();
    match Check::of(&probe, &Container::default()) {
        Check::Http(get) => get,
        other => panic!("{other:?}"),
    }
}

async fn reach(reach: &Reach, host: &str, get: &HttpGet) -> Outcome {
    let connector = TlsConnector::from(Arc::new(tls().unwrap()));
    super::get(reach, &connector, host, get, Deadline::after(Duration::from_secs(30))).await
}

async fn probe(port: u16, fields: &str) -> Outcome {
    reach(&Reach::new(true), "127.0.0.1", &check(port, fields)).await
}

#[tokio::test]
async fn the_status_decides() {
    let router = Router::new().fallback(|request: Asked| async move {
        let code: u16 = request.uri().path().trim_start_matches('/').parse().unwrap();
        Code::from_u16(code).unwrap()
    });
    let port = serve(router).await;
    for code in [200, 204, 299] {
        assert_eq!(probe(port, &format!(r#"{{"path":"/{code}"}}"#)).await, Outcome::Success);
    }
    for code in [300, 304, 399] {
        let warning = Outcome::Warning { output: "Probe terminated redirects".to_owned() };
        assert_eq!(probe(port, &format!(r#"{{"path":"/{code}"}}"#)).await, warning);
    }
    for code in [400, 404, 500, 503] {
        let failure = Outcome::failure(format!("HTTP probe failed with statuscode: {code}"));
        assert_eq!(probe(port, &format!(r#"{{"path":"/{code}"}}"#)).await, failure);
    }
}

/// What the first request for `path` looked like.
async fn asked(fields: &str) -> (String, Vec<(String, String)>) {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let router = Router::new().fallback(move |request: Asked| async move {
        let headers = request.headers().iter();
        let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
        sender.send((request.uri().to_string(), headers)).unwrap();
    });
    let port = serve(router).await;
    assert_eq!(probe(port, fields).await, Outcome::Success);
    let (uri, mut headers): (String, Vec<(String, String)>) = receiver.recv().await.unwrap();
    for (_, value) in &mut headers {
        *value = value.replace(&port.to_string(), "PORT");
    }
    headers.sort();
    (uri, headers)
}

fn pairs(headers: &[(&str, &str)]) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn a_request_looks_like_that_of_a_kubelet() {
    let (uri, headers) = asked("{}").await;
    assert_eq!(uri, "/");
    let expected =
        [("accept", "*/*"), ("connection", "close"), ("host", "127.0.0.1:PORT"), ("user-agent", "kube-probe/1.37")];
    assert_eq!(headers, pairs(&expected));
}

#[tokio::test]
async fn a_path_keeps_its_query_and_loses_its_fragment() {
    for (path, expected) in [
        ("/healthz?full=1&x=a%20b#part", "/healthz?full=1&x=a%20b"),
        ("healthz", "/healthz"),
        ("/a b", "/a%20b"),
        ("//evil.example/x", "//evil.example/x"),
        ("http://evil.example/x", "/http://evil.example/x"),
        ("/\r\nX-Evil: 1", "/X-Evil:%201"),
    ] {
        let fields = serde_json::json!({ "path": path }).to_string();
        assert_eq!(asked(&fields).await.0, expected);
    }
}

#[tokio::test]
async fn a_host_header_names_a_virtual_host() {
    let fields = r#"{"httpHeaders":[{"name":"Host","value":"shop.example"},{"name":"X-A","value":"1"}]}"#;
    let (_, headers) = asked(fields).await;
    assert!(headers.contains(&("host".to_owned(), "shop.example".to_owned())));
    assert!(headers.contains(&("x-a".to_owned(), "1".to_owned())));
}

#[tokio::test]
async fn redirects_to_the_same_host_are_followed() {
    let router = Router::new()
        .route("/old", any(|| async { Redirect::temporary("new?a=b") }))
        .route("/new", any(|request: Asked| async move { answer_if(request.uri().query() == Some("a=b")) }));
    assert_eq!(probe(serve(router).await, r#"{"path":"/old"}"#).await, Outcome::Success);
}

fn answer_if(good: bool) -> Code {
    if good { Code::OK } else { Code::INTERNAL_SERVER_ERROR }
}

#[tokio::test]
async fn a_redirect_to_another_port_of_the_same_host_is_followed() {
    let other = serve(Router::new().fallback(|| async { Code::NOT_FOUND })).await;
    let target = format!("http://127.0.0.1:{other}/");
    let router = Router::new().fallback(move || async move { Redirect::permanent(&target) });
    let outcome = probe(serve(router).await, "{}").await;
    assert_eq!(outcome, Outcome::failure("HTTP probe failed with statuscode: 404"));
}

#[tokio::test]
async fn a_redirect_to_another_host_is_a_success_with_a_warning_and_not_followed() {
    for target in ["http://169.254.169.254/latest/meta-data", "//other.example/", "http://localhost/"] {
        let router = Router::new().fallback(move || async move { Redirect::temporary(target) });
        let warning = Outcome::Warning { output: "Probe terminated redirects".to_owned() };
        assert_eq!(probe(serve(router).await, "{}").await, warning);
    }
}

#[tokio::test]
async fn redirects_without_end_are_a_failure() {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let router = Router::new().fallback(move || async move {
        sender.send(()).unwrap();
        Redirect::temporary("/")
    });
    let port = serve(router).await;
    let failure = Outcome::failure(format!("Get http://127.0.0.1:{port}/: stopped after 10 redirects"));
    assert_eq!(probe(port, "{}").await, failure);
    let mut requests = 0;
    while receiver.try_recv().is_ok() {
        requests += 1;
    }
    assert_eq!(requests, 10);
}

#[tokio::test]
async fn a_redirect_to_another_scheme_is_a_failure() {
    let router = Router::new().fallback(|| async { (Code::FOUND, [("location", "ftp://127.0.0.1/")]) });
    assert!(matches!(probe(serve(router).await, "{}").await, Outcome::Failure { .. }));
}

fn refusal(why: impl Into<String>) -> Outcome {
    Outcome::Unknown { error: why.into() }
}

#[tokio::test]
async fn a_name_is_judged_again_for_each_connection() {
    let router = Router::new().fallback(|| async { Redirect::temporary("/again") });
    let port = serve(router).await;
    let rebinding = Reach::resolved_by(true, Answers::new(&[&["127.0.0.1"], &["169.254.169.254"]]));
    assert_eq!(
        reach(&rebinding, "rebinding.example", &check(port, "{}")).await,
        refusal("rebinding.example is a link-local address, where no probe may go")
    );
}

#[tokio::test]
async fn a_forbidden_address_says_nothing_about_the_container() {
    let port = serve(Router::new()).await;
    for (host, named) in [("127.0.0.1", "127.0.0.1"), ("0x7f.1", "127.0.0.1"), ("::ffff:127.0.0.1", "::ffff:127.0.0.1")]
    {
        assert_eq!(
            reach(&Reach::new(false), host, &check(port, "{}")).await,
            refusal(format!("{named} is a loopback address, where no probe may go"))
        );
    }
}

#[tokio::test]
async fn a_host_that_is_none_is_the_authors_mistake() {
    for host in ["a/b", "user@host", "a b", "host:80"] {
        let outcome = reach(&Reach::new(true), host, &check(80, "{}")).await;
        assert!(matches!(outcome, Outcome::Unknown { .. }), "{host}: {outcome:?}");
    }
}

#[tokio::test]
async fn of_a_body_without_end_only_the_beginning_is_read() {
    let router = Router::new().fallback(|| async {
        let endless = stream::repeat_with(|| Ok::<_, std::convert::Infallible>(vec![b'a'; 1000]));
        Response::new(Body::from_stream(endless))
    });
    assert_eq!(probe(serve(router).await, "{}").await, Outcome::Success);
}

#[tokio::test]
async fn a_body_that_breaks_off_says_nothing() {
    let port = serve_bytes("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc").await;
    assert!(matches!(probe(port, "{}").await, Outcome::Unknown { .. }));
}

/// A server that says this and hangs up.
async fn serve_bytes(answer: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            // Reads first: a socket that is closed with bytes unread resets the connection.
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    port
}

#[tokio::test]
async fn headers_without_end_are_a_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
        while stream.write_all(b"x: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n").await.is_ok() {}
    });
    assert!(matches!(probe(port, "{}").await, Outcome::Failure { .. }));
}

#[tokio::test(start_paused = true)]
async fn silence_is_a_failure_when_the_time_is_over() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connector = TlsConnector::from(Arc::new(tls().unwrap()));
    let deadline = Deadline::after(Duration::from_secs(1));
    for scheme in ["HTTP", "HTTPS"] {
        let check = check(port, &format!(r#"{{"scheme":"{scheme}"}}"#));
        let outcome = super::get(&Reach::new(true), &connector, "127.0.0.1", &check, deadline).await;
        let Outcome::Failure { output } = outcome else { panic!("{outcome:?}") };
        assert!(output.ends_with("no answer within 1s"), "{output}");
    }
}

/// A server with a certificate of its own making for another name.
async fn serve_tls(router: Router, protocol: &'static [u8]) -> u16 {
    let made = rcgen::generate_simple_self_signed(["somebody.example".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder().with_no_client_auth();
    let mut config = config.with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    config.alpn_protocols = vec![protocol.to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, service) = (acceptor.clone(), TowerToHyperService::new(router.clone()));
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    port
}

#[tokio::test]
async fn over_tls_any_certificate_will_do_in_both_protocols() {
    for (protocol, version) in [(&b"h2"[..], "HTTP/2.0"), (&b"http/1.1"[..], "HTTP/1.1")] {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let router = Router::new().fallback(move |request: Asked| async move {
            let host = request.uri().authority().map(ToString::to_string);
            let host = host.or_else(|| Some(request.headers().get("host")?.to_str().unwrap().to_owned()));
            sender.send((format!("{:?}", request.version()), host.unwrap())).unwrap();
        });
        let port = serve_tls(router, protocol).await;
        let fields = r#"{"scheme":"HTTPS","httpHeaders":[{"name":"Host","value":"shop.example"}]}"#;
        assert_eq!(probe(port, fields).await, Outcome::Success);
        assert_eq!(receiver.recv().await.unwrap(), (version.to_owned(), "shop.example".to_owned()));
    }
}

#[tokio::test]
async fn plain_http_where_tls_is_spoken_is_a_failure_and_the_other_way_round() {
    let port = serve_tls(Router::new(), b"http/1.1").await;
    assert!(matches!(probe(port, "{}").await, Outcome::Failure { .. }));
    let port = serve(Router::new()).await;
    assert!(matches!(probe(port, r#"{"scheme":"HTTPS"}"#).await, Outcome::Failure { .. }));
}
