//! What the operator gets to see: refusals, counts, and never a secret.

use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use bytes::Bytes;
use http::HeaderName;
use pluglet_credentials::{Auth, AwsSigV4};
use pluglet_egress::{Egress, Error, Grant, Metrics};
use prometheus_client::registry::Registry;
use tracing_subscriber::fmt::MakeWriter;

use crate::bodies::{Pieces, whole};
use crate::servers::Server;
use crate::support::{API, Files, Setup, denied, fetch, grant, pass, request, with_header};
use crate::tls::Authority;
use crate::tokens::oauth2;

/// What is in files and in tokens here and elsewhere in these tests.
const PLANTED: [&str; 4] = ["hunter2", "bWU6cHct", "Y2xpZW50OmNsaWVudC1", "BEGIN PRIVATE"];

/// Collects what is logged by all tests of this program: whether a line is logged at all is decided for the whole process.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn of_everything() -> Self {
        static LOG: OnceLock<Log> = OnceLock::new();
        LOG.get_or_init(|| {
            let log = Log::default();
            tracing_subscriber::fmt()
                .with_max_level(tracing::Level::TRACE)
                .with_ansi(false)
                .with_writer(log.clone())
                .init();
            log
        })
        .clone()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }

    /// The lines with these words.
    fn lines(&self, words: &str) -> Vec<String> {
        self.text().lines().filter(|line| line.contains(words)).map(str::to_owned).collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Log;

    fn make_writer(&'a self) -> Log {
        self.clone()
    }
}

fn encoded(metrics: &Metrics) -> String {
    let mut registry = Registry::default();
    metrics.register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    text
}

fn named(endpoint: &str) -> pluglet_egress::Outgoing {
    pluglet_egress::Outgoing { endpoint: endpoint.to_owned(), ..request("GET", "/") }
}

#[tokio::test]
async fn a_refusal_is_logged_once_a_minute_with_the_yaml_that_would_allow_it_and_counted_each_time() {
    let (log, metrics) = (Log::of_everything(), Metrics::default());
    let server = Server::saying("").await;
    let to_it = Grant { path_prefixes: vec!["/v1".to_owned()], ..grant(&server.url()) };
    let egress = Setup::new().provider("refused-one").metrics(&metrics).endpoint(API, to_it).egress();
    for _ in 0..3 {
        for number in 0..10 {
            denied(&egress, request("GET", &format!("/v2/{number}"))).await;
        }
        pass(Duration::from_secs(60)).await;
    }
    let lines = log.lines("refused-one");
    assert_eq!(lines.len(), 3, "{lines:?}");
    for line in &lines {
        assert!(line.contains("WARN") && line.contains(r#"endpoints: { api: { pathPrefixes: ["/v2/0"] } }"#), "{line}");
    }
    // Another reason is another line.
    denied(&egress, with_header(request("GET", "/v1"), "host", "x")).await;
    assert_eq!(log.lines("refused-one").len(), 4);
    let text = encoded(&metrics);
    for (reason, count) in [("path", 30), ("header", 1)] {
        let expected = format!(
            r#"pluglet_provider_http_refusals_total{{provider="refused-one",endpoint="api",reason="{reason}"}} {count}"#
        );
        assert!(text.contains(&expected), "{text}");
    }
}

#[tokio::test]
async fn names_that_a_provider_invents_fill_neither_the_log_nor_the_metrics() {
    let (log, metrics) = (Log::of_everything(), Metrics::default());
    let egress = Setup::new().provider("inventive").metrics(&metrics).egress();
    let mut sizes = Vec::new();
    for number in 0..1000 {
        denied(&egress, named(&format!("invented-{number}\nWARN forged line {}", "x".repeat(1000)))).await;
        sizes.push(encoded(&metrics).lines().count());
    }
    sizes.dedup();
    assert_eq!(sizes.len(), 1, "one family for all of them");
    let text = encoded(&metrics);
    assert!(!text.contains("invented") && text.contains(r#"endpoint="",reason="endpoint"} 1000"#), "{text}");
    let lines = log.lines("inventive");
    assert!(lines.len() == 1 && lines[0].len() < 1000, "{lines:?}");
    assert!(log.lines("forged").iter().all(|line| line.contains("inventive")));
}

#[tokio::test]
async fn requests_are_counted_by_how_they_ended() {
    let metrics = Metrics::default();
    let server = Server::web(Router::new().fallback(async |request: Request| {
        axum::http::StatusCode::from_u16(request.uri().path()[1..].parse().unwrap()).unwrap()
    }))
    .await;
    let egress = Setup::new()
        .metrics(&metrics)
        .endpoint(API, grant(&server.url()))
        .endpoint("gone", grant(&Server::saying("").await.url()))
        .egress();
    for status in ["200", "204", "302", "404", "503"] {
        fetch(&egress, request("GET", &format!("/{status}"))).await.unwrap();
    }
    drop(egress.send(request("GET", "/200"), Pieces::default()).await.unwrap());
    fetch(&egress, named("gone")).await.unwrap_err();
    let text = encoded(&metrics);
    for (endpoint, outcome, count) in
        [("api", "2xx", 3), ("api", "3xx", 1), ("api", "4xx", 1), ("api", "5xx", 1), ("gone", "connect", 1)]
    {
        let expected = format!(r#"endpoint="{endpoint}",outcome="{outcome}"}} {count}"#);
        assert!(text.contains(&expected), "{expected} is not in {text}");
    }
    assert!(text.contains(r#"pluglet_provider_http_in_flight{provider="tested",endpoint="api"} 0"#), "{text}");
}

fn every_kind(token_url: &str, files: &Files) -> Vec<Auth> {
    vec![
        Auth::Bearer { token_file: files.write("token", "tok-hunter2-abcdefghij") },
        Auth::Basic { username: "me".to_owned(), password_file: files.write("password", "pw-hunter2") },
        Auth::Header { name: HeaderName::from_static("x-api-key"), value_file: files.write("key", "key-hunter2") },
        oauth2(token_url, files),
        Auth::AwsSigV4(AwsSigV4 {
            region: "eu-central-1".to_owned(),
            service: "ecs".to_owned(),
            access_key_id_file: files.write("id", "AKIDEXAMPLE"),
            secret_access_key_file: files.write("secret", "aws-hunter2"),
            session_token_file: Some(files.write("session", "session-hunter2")),
        }),
    ]
}

/// All that a provider can get an endpoint to say, in order and not.
async fn everything(egress: &Egress) -> String {
    let mut seen = format!("{:?}", fetch(egress, request("GET", "/")).await);
    seen.push_str(&format!("{:?}", egress.fetch(request("PUT", "/"), Bytes::from_static(b"x"), 3).await));
    seen.push_str(&format!("{:?}", fetch(egress, request("GET", "/401")).await));
    for outgoing in [request("GET", "/a/../b"), with_header(request("GET", "/"), "host", "x"), named("nobody")] {
        seen.push_str(&format!("{:?}", denied(egress, outgoing).await));
    }
    let mut answer = egress.send(request("POST", "/"), Pieces::of(&["x"])).await.unwrap();
    seen.push_str(&format!("{:?} {:?}", answer.headers, whole(&mut answer.body).await));
    for target in ["/", "/break"] {
        let broken = egress.send(request("POST", target), Pieces::of(&["x"]).then_breaks_off()).await;
        seen.push_str(&format!("{:?}", broken.map(|answer| answer.headers)));
    }
    if let Err(error) = egress.websocket(request("GET", "/"), &[]).await {
        seen.push_str(&format!("{error:?} {error}"));
    }
    seen
}

#[tokio::test]
async fn no_secret_is_in_a_log_line_an_error_an_answer_or_a_metric() {
    let (log, metrics, files, authority) = (Log::of_everything(), Metrics::default(), Files::new(), Authority::new());
    let echo = Router::new().fallback(async |request: Request| {
        let status = if request.uri().path() == "/401" { 401 } else { 200 };
        let all = format!(
            "{:?}",
            request
                .headers()
                .iter()
                .map(|(name, value)| { (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()) })
                .collect::<Vec<_>>()
        );
        (axum::http::StatusCode::from_u16(status).unwrap(), [("x-echo", all.clone())], all)
    });
    let plain = Server::web(echo.clone()).await;
    let tls = Server::tls(echo, authority.server("127.0.0.1")).await;
    let granted = r#"{"token_type":"Bearer","expires_in":3600,"access_token":"token-hunter2-x"}"#;
    let tokens = Server::web(Router::new().fallback(async move || granted)).await;
    let gone = Server::saying("").await.url();
    let mut seen = String::new();
    for auth in every_kind(&tokens.url(), &files).into_iter().chain([oauth2(&gone, &files)]) {
        let failing = auth == oauth2(&gone, &files);
        for target in [
            Grant { auth: Some(auth.clone()), ..grant(&plain.url()) },
            Grant {
                auth: Some(auth.clone()),
                tls: authority.trusted(&files),
                ..grant(&format!("https://{}", tls.address))
            },
        ] {
            let egress = Setup::new().provider("watched").metrics(&metrics).endpoint(API, target).egress();
            if failing {
                let error = fetch(&egress, request("GET", "/")).await.unwrap_err();
                assert!(matches!(error, Error::Credential { .. }));
                seen.push_str(&format!("{error} {error:?}"));
            } else {
                seen.push_str(&everything(&egress).await);
            }
        }
    }
    let logged = log.text();
    assert!(logged.contains("no credential for the endpoint") && logged.contains("request refused"), "there is a log");
    for (what, text) in [("an answer", seen), ("a metric", encoded(&metrics)), ("the log", logged)] {
        for planted in PLANTED {
            let found: Vec<&str> = text.lines().filter(|line| line.contains(planted)).take(3).collect();
            assert!(found.is_empty(), "{what} has {planted}: {found:?}");
        }
    }
}
