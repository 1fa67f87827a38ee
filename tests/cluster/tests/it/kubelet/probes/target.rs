//! What probes go to: a server on loopback that speaks HTTP/1.1 and gRPC health checks on one port.
//!
//! In: requests. Out: by path: `/ok` 200, `/fail` 500, `/switch` what the test has set, `/redirect` to `/ok`, `/elsewhere` to another host;
//! health checks: NOT_SERVING for the service `sick`, SERVING for all others. Invariant: what was asked is remembered.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

type Body = BoxBody<Bytes, Infallible>;

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    /// Path and query.
    pub(super) target: String,
    pub(super) headers: HeaderMap,
}

impl Heard {
    /// The header's value, or an empty text.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// A running server.
pub(super) struct Target {
    pub(super) port: u16,
    shared: Arc<Shared>,
    // Dropping it ends the server.
    _tasks: JoinSet<()>,
}

struct Shared {
    switch: AtomicU16,
    heard: Mutex<Vec<Heard>>,
}

impl Target {
    /// Starts it on a free port. `/switch` answers 200 at first.
    pub(super) async fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared { switch: AtomicU16::new(200), heard: Mutex::default() });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { port, shared, _tasks: tasks })
    }

    /// What `/switch` answers from now on.
    pub(super) fn switch(&self, status: StatusCode) {
        self.shared.switch.store(status.as_u16(), Ordering::SeqCst);
    }

    /// All requests so far whose target begins so.
    pub(super) fn heard(&self, target: &str) -> Vec<Heard> {
        let heard = self.shared.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.iter().filter(|heard| heard.target.starts_with(target)).cloned().collect()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let service = service_fn(move |request| answer(Arc::clone(&shared), request));
            // A TCP probe closes without a word.
            let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), service).await;
        });
    }
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let target = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    let heard = Heard { target, headers: request.headers().clone() };
    let path = request.uri().path().to_owned();
    shared.heard.lock().unwrap_or_else(PoisonError::into_inner).push(heard);
    if path == "/grpc.health.v1.Health/Check" {
        let asked = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        return Ok(health(&asked));
    }
    let (status, location) = match path.as_str() {
        "/fail" => (StatusCode::INTERNAL_SERVER_ERROR, None),
        "/switch" => (StatusCode::from_u16(shared.switch.load(Ordering::SeqCst)).unwrap_or_default(), None),
        "/redirect" => (StatusCode::FOUND, Some("/ok")),
        "/elsewhere" => (StatusCode::FOUND, Some("http://elsewhere.example.com/ok")),
        _ => (StatusCode::OK, None),
    };
    let mut response = Response::new(Full::new(Bytes::from_static(b"as you asked")).boxed());
    *response.status_mut() = status;
    if let Some(location) = location {
        response.headers_mut().insert(header::LOCATION, HeaderValue::from_static(location));
    }
    Ok(response)
}

/// `grpc.health.v1.HealthCheckResponse`: field 1, the status. A message has a flag and its length before it.
fn health(asked: &[u8]) -> Response<Body> {
    // `HealthCheckRequest`: field 1, the service's name.
    let sick = asked.get(5..) == Some(b"\x0a\x04sick");
    let message: [u8; 7] = [0, 0, 0, 0, 2, 0x08, if sick { 2 } else { 1 }];
    let trailers =
        HeaderMap::from_iter([(http::HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))]);
    let frames = [Frame::data(Bytes::copy_from_slice(&message)), Frame::trailers(trailers)];
    let body = StreamBody::new(stream::iter(frames.map(Ok::<_, Infallible>)));
    let mut response = Response::new(BodyExt::boxed(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}
