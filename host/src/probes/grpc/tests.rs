//! Against an HTTP/2 server that answers bytes of somebody else's making.
//!
//! The bytes were taken off the wire between a client and a server of grpcio 1.85.3 with grpcio-health-checking, and this client was run
//! against that server.

#![expect(clippy::disallowed_methods, reason = "the servers of a test end with its runtime")]

use std::sync::Arc;
use std::time::Duration;

use futures::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;

const QUESTION_OF_ALL: &str = "0000000000";
const QUESTION_OF_LIVENESS: &str = "000000000a0a086c6976656e657373";
const UNKNOWN: &str = "0000000000";
const SERVING: &str = "00000000020801";
const NOT_SERVING: &str = "00000000020802";
const SERVICE_UNKNOWN: &str = "00000000020803";

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// What a server says: its body, then its trailers.
#[derive(Clone, Default)]
struct Script {
    status: u16,
    body: &'static str,
    trailers: &'static [(&'static str, &'static str)],
    headers: &'static [(&'static str, &'static str)],
}

const OK: &[(&str, &str)] = &[("grpc-status", "0")];

fn answer(body: &'static str) -> Script {
    Script { status: 200, body, trailers: OK, headers: &[] }
}

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

type Asked = (http::request::Parts, Vec<u8>);

/// A port where `script` is answered, and what was asked there.
async fn serve(script: Script) -> (u16, mpsc::UnboundedReceiver<Asked>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (asked, receiver) = mpsc::unbounded_channel();
    let script = Arc::new(script);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (script, asked) = (script.clone(), asked.clone());
            let service = service_fn(move |request: http::Request<Incoming>| {
                let (script, asked) = (script.clone(), asked.clone());
                async move {
                    let (head, body) = request.into_parts();
                    asked.send((head, body.collect().await?.to_bytes().to_vec())).unwrap();
                    let mut frames = vec![];
                    if !script.body.is_empty() {
                        frames.push(Ok::<_, hyper::Error>(Frame::data(Bytes::from(bytes(script.body)))));
                    }
                    if !script.trailers.is_empty() {
                        frames.push(Ok(Frame::trailers(headers(script.trailers))));
                    }
                    let mut response = http::Response::new(StreamBody::new(stream::iter(frames)));
                    *response.status_mut() = script.status.try_into().unwrap();
                    *response.headers_mut() = headers(script.headers);
                    Ok::<_, hyper::Error>(response)
                }
            });
            let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
        }
    });
    (port, receiver)
}

async fn probe(port: u16, service: &str) -> Outcome {
    health(&Reach::new(true), "127.0.0.1", port, service, Deadline::after(Duration::from_secs(30))).await
}

async fn outcome(script: Script) -> Outcome {
    let (port, _asked) = serve(script).await;
    probe(port, "").await
}

#[tokio::test]
async fn the_question_is_that_of_a_client_of_grpc() {
    let (port, mut asked) = serve(answer(SERVING)).await;
    for (service, question) in [("", QUESTION_OF_ALL), ("liveness", QUESTION_OF_LIVENESS)] {
        assert_eq!(probe(port, service).await, Outcome::Success);
        let (head, body) = asked.recv().await.unwrap();
        assert_eq!(body, bytes(question));
        assert_eq!((head.method.as_str(), head.uri.path()), ("POST", "/grpc.health.v1.Health/Check"));
        assert_eq!(head.uri.authority().unwrap().as_str(), format!("127.0.0.1:{port}"));
        for (name, value) in
            [("content-type", "application/grpc"), ("te", "trailers"), ("user-agent", "kube-probe/1.37")]
        {
            assert_eq!(head.headers.get(name).unwrap(), value);
        }
    }
}

#[test]
fn a_long_name_has_a_length_of_two_bytes() {
    // `HealthCheckRequest(service="a" * 200).SerializeToString()` is 0a c8 01, then the name.
    let question = question(&"a".repeat(200));
    assert_eq!(&question[..8], bytes("00000000cb0ac801"));
    assert_eq!(question.len(), 5 + 203);
}

#[tokio::test]
async fn all_but_serving_is_a_failure() {
    assert_eq!(outcome(answer(SERVING)).await, Outcome::Success);
    for (body, status) in [(UNKNOWN, "UNKNOWN"), (NOT_SERVING, "NOT_SERVING"), (SERVICE_UNKNOWN, "SERVICE_UNKNOWN")] {
        let expected = format!("service unhealthy (responded with {status:?})");
        assert_eq!(outcome(answer(body)).await, Outcome::failure(expected));
    }
}

#[tokio::test]
async fn an_error_of_the_call_is_a_failure_wherever_its_status_stands() {
    // As the server of grpcio answers for a service that it does not know: an empty message, then the status.
    let unknown = Script { trailers: &[("grpc-status", "5")], ..answer("0000000000") };
    assert_eq!(outcome(unknown).await, Outcome::failure("error: health rpc probe failed: code = 5 desc = "));
    let unimplemented = Script {
        headers: &[("grpc-status", "12"), ("grpc-message", "Method not found!")],
        trailers: &[],
        ..answer("")
    };
    assert_eq!(
        outcome(unimplemented).await,
        Outcome::failure(
            "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): Method not found!"
        )
    );
}

#[tokio::test]
async fn what_is_no_answer_of_grpc_is_a_failure() {
    for (script, why) in [
        (Script { status: 404, ..answer("") }, "HTTP status 404"),
        (Script { trailers: &[], ..answer(SERVING) }, "no grpc-status came back"),
        (answer("0000000003080101"), "the answer is not a HealthCheckResponse"),
        (answer("01000000020801"), "the answer is not a HealthCheckResponse"),
        (answer("ffffffffff0801"), "the answer is not a HealthCheckResponse"),
        (answer("00"), "the answer is not a HealthCheckResponse"),
    ] {
        assert_eq!(outcome(script).await, Outcome::failure(format!("error: health rpc probe failed: {why}")));
    }
}

#[tokio::test]
async fn a_server_that_speaks_something_else_is_a_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    assert!(matches!(probe(port, "").await, Outcome::Failure { .. }));
}
