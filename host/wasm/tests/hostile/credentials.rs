//! Credentials that the attacker wants to see.

use std::sync::{Arc, Mutex};

use pluglet_credentials::Auth;
use pluglet_egress::{Grant, Target};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

use crate::attacker::{case, one, perform, secret_file, start, with};
use crate::backend::{Reply, Server};

const TOKEN: &str = "eyJhbGciOiJub25lIn0.c2VjcmV0LXRva2Vu.signature";

/// A server that shows the whole request back, in a header and in the body, one byte at a time if asked to.
async fn mirror() -> Server {
    Server::start(|head| {
        let token = head.lines().find_map(|line| line.strip_prefix("authorization: ")).unwrap_or("none").to_owned();
        let mut answer = format!("HTTP/1.1 200 OK\r\nx-mirror: {token}\r\nset-cookie: s={token}\r\n").into_bytes();
        if head.contains("/granted/chunks") {
            answer.extend_from_slice(b"transfer-encoding: chunked\r\ntrailer: x-late\r\n\r\n");
            for byte in head.bytes() {
                answer.extend_from_slice(&[b'1', b'\r', b'\n', byte, b'\r', b'\n']);
            }
            answer.extend_from_slice(format!("0\r\nx-late: {token}\r\n\r\n").as_bytes());
        } else {
            answer.extend_from_slice(format!("content-length: {}\r\n\r\n{head}", head.len()).as_bytes());
        }
        Reply::Bytes(answer)
    })
    .await
}

/// Everything that is logged while it lives.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_is_nowhere_to_be_found_but_on_the_wire() {
    let log = Log::default();
    // The log of all threads of this program: the provider has threads of its own.
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone()).finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let token_file = secret_file(&directory, "token", TOKEN);
    let backend = mirror().await;
    let grant = Grant { auth: Some(Auth::Bearer { token_file }), ..Grant::new(Target::base(&backend.url()).unwrap()) };
    let options = with("target", grant);
    let mut registry = Registry::default();
    options.metrics.register(&mut registry);
    let attacker = start(options).await;

    let request = |op: &str, target: &str| json!({"op": op, "endpoint": "target", "target": target});
    let plot = json!([
        request("fetch", "/granted/whole"),
        request("fetch", "/granted/chunks"),
        request("send", "/granted/whole"),
        request("send", "/granted/chunks"),
        {"op": "fetch", "endpoint": "target", "target": "/granted/x", "headers": [["authorization", "Bearer mine"]]},
        {"op": "fetch", "endpoint": "target", "target": format!("/granted/{TOKEN}/..")},
    ]);
    let seen = perform(&attacker, &plot).await;
    let heads = backend.seen.heads();
    assert_eq!(heads.len(), 4, "{heads:?}");
    assert!(heads.iter().all(|head| head.contains(&format!("authorization: Bearer {TOKEN}\r\n"))), "{heads:?}");
    for result in seen.iter().take(4) {
        let text = result.to_string();
        assert!(!text.contains(TOKEN) && !text.contains("c2VjcmV0LXRva2Vu"), "{text}");
        assert!(text.contains(&"*".repeat(TOKEN.len())), "the mirror did not show it: {text}");
        assert!(!text.contains("set-cookie"), "{text}");
    }
    assert_eq!((case(&seen[4]), case(&seen[5])), ("denied", "denied"));

    let mut metrics = String::new();
    encode(&mut metrics, &registry).unwrap();
    assert!(metrics.contains("pluglet_provider_http_requests_total"), "{metrics}");
    let log = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(log.contains("request refused"), "{log}");
    // The attacker knows one thing that has the token in it: the path that it made up itself. Paths of refused requests are logged.
    let log: String = log.lines().filter(|line| !line.contains("/granted/eyJ")).collect();
    for (place, text) in [("metrics", &metrics), ("log", &log)] {
        assert!(!text.contains("c2VjcmV0LXRva2Vu"), "{place}: {text}");
    }
    attacker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sandbox_memory_holds_no_credential() {
    let directory = tempfile::tempdir().unwrap();
    let token_file = secret_file(&directory, "token", TOKEN);
    let backend = mirror().await;
    let grant = Grant { auth: Some(Auth::Bearer { token_file }), ..Grant::new(Target::base(&backend.url()).unwrap()) };
    let attacker = start(with("target", grant)).await;
    let request = |op: &str, target: &str| json!({"op": op, "endpoint": "target", "target": target});
    let backwards = |text: &str| text.chars().rev().collect::<String>();
    let plot = json!([
        request("fetch", "/granted/whole"),
        request("fetch", "/granted/chunks"),
        request("send", "/granted/whole"),
        request("send", "/granted/chunks"),
        {"op": "scanMemory", "backwards": backwards("c2VjcmV0LXRva2Vu")},
        {"op": "scanMemory", "backwards": "*".repeat(TOKEN.len())},
        {"op": "scanMemory", "backwards": backwards("x-mirror")},
    ]);
    let seen = perform(&attacker, &plot).await;
    assert_eq!(seen[4]["found"], 0, "{}", seen[4]);
    // The answers are in there, with asterisks where the token was: it was looked for in the right place.
    assert!(
        seen[5]["found"].as_u64().unwrap() > 0 && seen[6]["found"].as_u64().unwrap() > 0,
        "{} {}",
        seen[5],
        seen[6]
    );
    assert_eq!(backend.seen.heads().len(), 4);
    attacker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_credential_is_not_offered_again_and_its_challenge_not_shown() {
    let directory = tempfile::tempdir().unwrap();
    let token_file = secret_file(&directory, "token", TOKEN);
    let backend = Server::plain("401 Unauthorized", "www-authenticate: Bearer realm=\"x\"\r\n", "who are you").await;
    let grant = Grant { auth: Some(Auth::Bearer { token_file }), ..Grant::new(Target::base(&backend.url()).unwrap()) };
    let attacker = start(with("target", grant)).await;
    let seen = one(&attacker, json!({"op": "fetch", "endpoint": "target", "target": "/granted/x"})).await;
    assert_eq!(seen["status"], 401);
    assert!(!seen.to_string().contains("www-authenticate"), "{seen}");
    assert_eq!(backend.seen.heads().len(), 1, "the file has not changed, so another try would be the same");
    attacker.stop().await;
}
