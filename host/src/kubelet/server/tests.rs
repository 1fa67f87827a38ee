//! Slow and malformed clients, over real sockets; time is paused, and leaps whenever nothing else can happen.

use axum::routing::get;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::certificates::Shown;
use crate::kubelet::tls;

struct Server {
    address: std::net::SocketAddr,
    roots: RootCertStore,
    tasks: Tasks,
}

impl Server {
    async fn start() -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = tls::self_signed(vec!["node".to_owned()]).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(own.cert[0].clone()).unwrap();
        let authorities = Authorities::new(&[]).unwrap();
        let config = tls::config(Arc::new(Shown::own(own)), &authorities);
        let (address, tasks) = (listener.local_addr().unwrap(), Tasks::new());
        let router = Router::new().route("/", get(|| async { "here" }));
        tasks.spawn("server", run(listener, config, authorities, router, tasks.clone()));
        Self { address, roots, tasks }
    }

    async fn connect(&self) -> TlsStream<TcpStream> {
        let config = ClientConfig::builder().with_root_certificates(self.roots.clone()).with_no_client_auth();
        let stream = TcpStream::connect(self.address).await.unwrap();
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("node").unwrap(), stream).await.unwrap()
    }
}

/// What comes until the other side closes, and how long that takes.
async fn closed(stream: &mut (impl AsyncReadExt + Unpin)) -> (String, Duration) {
    let (begun, mut heard) = (Instant::now(), vec![]);
    // A close without a farewell is one too.
    stream.read_to_end(&mut heard).await.ok();
    (String::from_utf8_lossy(&heard).into_owned(), begun.elapsed())
}

#[tokio::test(start_paused = true)]
async fn who_does_not_finish_the_handshake_or_the_headers_is_let_go() {
    let server = Server::start().await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let (heard, after) = closed(&mut silent).await;
    assert!(heard.is_empty() && after >= HANDSHAKE && after < HANDSHAKE * 2, "{after:?}");
    let mut slow = server.connect().await;
    slow.write_all(b"GET / HTTP/1.1\r\nHost: node\r\nX-Slow: ").await.unwrap();
    let (_, after) = closed(&mut slow).await;
    assert!(after >= HEADERS && after < HEADERS * 2, "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn who_was_allowed_nothing_is_let_go_however_busy() {
    let server = Server::start().await;
    let mut stranger = server.connect().await;
    let begun = Instant::now();
    let mut answer = [0; 1024];
    while stranger.write_all(b"GET / HTTP/1.1\r\nHost: node\r\n\r\n").await.is_ok() {
        if !matches!(stranger.read(&mut answer).await, Ok(1..)) {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(begun.elapsed() >= ANONYMOUS && begun.elapsed() < ANONYMOUS * 2, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn headers_without_end_are_refused_and_take_no_memory() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    let head = format!("GET / HTTP/1.1\r\nHost: node\r\nX-Long: {}", "x".repeat(2 * HEADER_BYTES));
    client.write_all(head.as_bytes()).await.ok();
    let (heard, after) = closed(&mut client).await;
    assert!(heard.starts_with("HTTP/1.1 431"), "{heard}");
    assert!(after < HEADERS, "{after:?}");
    // The server goes on.
    let mut client = server.connect().await;
    client.write_all(b"GET / HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n").await.unwrap();
    assert!(closed(&mut client).await.0.ends_with("here"));
    assert!(server.tasks.drain(Duration::from_secs(60)).await.is_empty());
}
