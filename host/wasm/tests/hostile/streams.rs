//! Bodies without end, in either direction, and connections that stop being HTTP.

use std::sync::atomic::Ordering;
use std::time::Duration;

use pluglet_egress::{Grant, Target};
use serde_json::json;

use crate::attacker::{case, granted, one, start, with};
use crate::backend::{Reply, Server};

/// A server that sends without end.
async fn endless() -> Server {
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n".to_vec();
    Server::start(move |_| Reply::Endless(head.clone(), vec![b'x'; 64 << 10])).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_end_flows_only_as_far_as_it_is_read() {
    let backend = endless().await;
    let attacker = start(granted("target", &backend.url())).await;
    let request = json!({"op": "send", "endpoint": "target", "target": "/granted/x", "readAtMost": 1 << 20});
    let seen = one(&attacker, request).await;
    assert!(seen["bytes"].as_u64().unwrap() >= 1 << 20, "{seen}");
    let written = backend.seen.written.load(Ordering::SeqCst);
    assert!(written < 64 << 20, "{written} bytes were sent ahead");
    attacker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_exceeds_its_grant_ends_with_an_error() {
    let backend = endless().await;
    let mut grant = Grant::new(Target::base(&backend.url()).unwrap());
    grant.limits.max_stream_bytes = 8 << 20;
    let attacker = start(with("target", grant)).await;
    let seen = one(&attacker, json!({"op": "send", "endpoint": "target", "target": "/granted/x"})).await;
    assert_eq!((seen["status"].as_u64(), case(&seen)), (Some(200), "too-large"), "{seen}");
    assert!(seen["bytes"].as_u64().unwrap() <= 8 << 20, "{seen}");
    attacker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_end_to_a_server_that_does_not_read_waits_and_is_given_up() {
    let backend = Server::start(|_| Reply::Silence).await;
    let mut options = granted("target", &backend.url());
    options.grants.values_mut().for_each(|grant| grant.limits.timeout = Duration::from_secs(2));
    let attacker = start(options).await;
    let request =
        json!({"op": "send", "endpoint": "target", "target": "/granted/x", "method": "POST", "endless": true});
    let seen = one(&attacker, request).await;
    assert_eq!(case(&seen), "timeout", "{seen}");
    attacker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_stream_ends_when_the_grant_says_so() {
    let answer = b"HTTP/1.1 200 OK\r\n\r\nfirst words".to_vec();
    let backend = Server::start(move |_| Reply::Bytes(answer.clone())).await;
    let mut grant = Grant::new(Target::base(&backend.url()).unwrap());
    grant.limits.idle_timeout = Duration::from_millis(300);
    let attacker = start(with("target", grant)).await;
    let seen = one(&attacker, json!({"op": "send", "endpoint": "target", "target": "/granted/x"})).await;
    assert_eq!((seen["text"].as_str(), case(&seen)), (Some("first words"), "timeout"), "{seen}");
    attacker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_and_trailers_flow_both_ways() {
    use axum::body::Body;
    use axum::http::{HeaderMap, HeaderValue, Request};
    use futures::StreamExt as _;
    use http_body_util::{BodyExt as _, StreamBody};
    use hyper::body::Frame;

    let echo = async |request: Request<Body>| {
        let whole = request.into_body().collect().await.unwrap();
        let mut trailers = HeaderMap::new();
        let late = whole.trailers().and_then(|trailers| trailers.get("x-late").cloned());
        trailers.insert("x-echo", late.unwrap_or(HeaderValue::from_static("none")));
        let bytes = Frame::data(whole.to_bytes());
        let frames = futures::stream::iter([bytes, Frame::trailers(trailers)]).map(Ok::<_, std::convert::Infallible>);
        ([("trailer", "x-echo")], Body::new(StreamBody::new(frames)))
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move { axum::serve(listener, axum::Router::new().fallback(echo)).await.unwrap() });
    let attacker = start(granted("target", &url)).await;
    let bytes = 3_000_000;
    let request = json!({
        "op": "send", "endpoint": "target", "target": "/granted/x", "method": "POST", "bodyBytes": bytes,
        "trailers": [["x-late", "at last"]], "headers": [["trailer", "x-late"]],
    });
    let seen = one(&attacker, request).await;
    assert_eq!((seen["status"].as_u64(), seen["bytes"].as_u64()), (Some(200), Some(bytes)), "{seen}");
    assert_eq!(seen["trailers"], json!([["x-echo", "at last"]]), "{seen}");
    attacker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_stops_being_http_carries_bytes_both_ways() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n{}") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.contains("upgrade: tcp\r\n") && head.contains("connection: Upgrade\r\n"), "{head}");
        let switch = "HTTP/1.1 101 UPGRADED\r\nconnection: Upgrade\r\nupgrade: tcp\r\nx-raw: yes\r\n\r\nhello ";
        stream.write_all(switch.as_bytes()).await.unwrap();
        let mut said = String::new();
        // Ends only when the guest closes its direction, and the answer still arrives after that.
        stream.read_to_string(&mut said).await.unwrap();
        stream.write_all(said.to_uppercase().as_bytes()).await.unwrap();
    });
    let grant = Grant { upgrade: true, ..Grant::new(Target::base(&url).unwrap()) };
    let attacker = start(with("target", grant)).await;
    let request = json!({
        "op": "upgrade", "endpoint": "target", "target": "/granted/exec", "method": "POST", "protocol": "tcp",
        "body": "{}", "write": "world", "halfClose": true,
    });
    let seen = one(&attacker, request).await;
    assert_eq!((seen["status"].as_u64(), seen["text"].as_str()), (Some(101), Some("hello WORLD")), "{seen}");
    attacker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_carries_messages_both_ways() {
    use futures::{SinkExt as _, StreamExt as _};

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        for _ in 0..2 {
            let message = socket.next().await.unwrap().unwrap();
            socket.send(message).await.unwrap();
        }
        socket.close(None).await.unwrap();
        while socket.next().await.is_some() {}
    });
    let grant = Grant { websocket: true, ..Grant::new(Target::base(&url).unwrap()) };
    let attacker = start(with("target", grant)).await;
    let request = json!({
        "op": "websocket", "endpoint": "target", "target": "/granted/ws", "messages": ["one", "two"], "expect": 3,
    });
    let seen = one(&attacker, request).await;
    assert_eq!(seen["received"][0]["text"], "one", "{seen}");
    assert_eq!(seen["received"][1]["text"], "two", "{seen}");
    assert_eq!(seen["received"][2]["kind"], "close", "{seen}");
    attacker.stop().await;
}
