//! Servers on loopback: some behave, some say byte for byte what a test wants said.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use bytes::BytesMut;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// What a server remembers.
#[derive(Clone)]
pub(crate) struct Seen {
    connections: watch::Sender<usize>,
    heads: Arc<Mutex<Vec<String>>>,
}

/// A server, for as long as it lives.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    seen: Seen,
    _task: JoinSet<()>,
}

impl Server {
    /// `http://address`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn connections(&self) -> usize {
        *self.seen.connections.borrow()
    }

    /// Every head of a request that a conversation has read, as it was on the wire.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.seen.heads.lock().unwrap().clone()
    }

    async fn on<F, Fut>(listener: TcpListener, serve: F) -> Self
    where
        F: Fn(TcpStream, Seen) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let address = listener.local_addr().unwrap();
        let seen = Seen { connections: watch::channel(0).0, heads: Arc::default() };
        let theirs = seen.clone();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                theirs.connections.send_modify(|count| *count += 1);
                connections.spawn(serve(stream, theirs.clone()));
            }
        });
        Self { address, seen, _task: task }
    }

    async fn start<F, Fut>(serve: F) -> Self
    where
        F: Fn(TcpStream, Seen) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), serve).await
    }

    /// HTTP/1.1 and HTTP/2 without TLS.
    pub(crate) async fn web(router: Router) -> Self {
        Self::start(move |stream, _| serve(stream, router.clone())).await
    }

    /// HTTP/1.1 and HTTP/2 with TLS.
    pub(crate) async fn tls(router: Router, mut config: rustls::ServerConfig) -> Self {
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Self::start(move |stream, _| {
            let (acceptor, router) = (acceptor.clone(), router.clone());
            async move {
                // A client that does not trust it goes away in the middle.
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve(stream, router).await;
                }
            }
        })
        .await
    }

    /// Whatever `talk` says to each connection. Its error is an end like any other.
    pub(crate) async fn raw<F, Fut>(talk: F) -> Self
    where
        F: Fn(Talk<TcpStream>) -> Fut + Send + 'static,
        Fut: Future<Output = io::Result<()>> + Send + 'static,
    {
        Self::raw_at("127.0.0.1:0".parse().unwrap(), talk).await
    }

    /// The same at an address of the caller's choice.
    pub(crate) async fn raw_at<F, Fut>(address: SocketAddr, talk: F) -> Self
    where
        F: Fn(Talk<TcpStream>) -> Fut + Send + 'static,
        Fut: Future<Output = io::Result<()>> + Send + 'static,
    {
        Self::on(TcpListener::bind(address).await.unwrap(), move |stream, seen| {
            let conversation = talk(Talk { stream, heads: seen.heads, buffer: BytesMut::new() });
            async move { drop(conversation.await) }
        })
        .await
    }

    /// The same with TLS.
    pub(crate) async fn raw_tls<F, Fut>(config: rustls::ServerConfig, talk: F) -> Self
    where
        F: Fn(Talk<TlsStream<TcpStream>>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = io::Result<()>> + Send + 'static,
    {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Self::start(move |stream, seen| {
            let (acceptor, talk) = (acceptor.clone(), talk.clone());
            async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    drop(talk(Talk { stream, heads: seen.heads, buffer: BytesMut::new() }).await);
                }
            }
        })
        .await
    }

    /// Says the same to each request.
    pub(crate) async fn saying(answer: &'static str) -> Self {
        Self::raw(move |mut talk| async move {
            loop {
                talk.head().await?;
                talk.say(answer).await?;
            }
        })
        .await
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, router: Router) {
    let service = TowerToHyperService::new(router);
    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
}

/// A router on a socket of this machine.
pub(crate) fn unix(path: &std::path::Path, router: Router) -> JoinSet<()> {
    let listener = UnixListener::bind(path).unwrap();
    let mut task = JoinSet::new();
    task.spawn(async move { axum::serve(listener, router).await.unwrap() });
    task
}

/// One connection of a server that is told what to say.
pub(crate) struct Talk<S> {
    pub(crate) stream: S,
    heads: Arc<Mutex<Vec<String>>>,
    buffer: BytesMut,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<S> {
    /// The head of the next request, its empty line included.
    pub(crate) async fn head(&mut self) -> io::Result<String> {
        let head = self.until(b"\r\n\r\n").await?;
        self.heads.lock().unwrap().push(head.clone());
        Ok(head)
    }

    /// Everything up to and with `end`.
    pub(crate) async fn until(&mut self, end: &[u8]) -> io::Result<String> {
        loop {
            if let Some(at) = memchr::memmem::find(&self.buffer, end) {
                let found = self.buffer.split_to(at + end.len());
                return Ok(String::from_utf8_lossy(&found).into_owned());
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// So many bytes.
    pub(crate) async fn bytes(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < count {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.buffer.split_to(count).to_vec())
    }

    /// Everything until the other end says no more, or breaks the connection.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while matches!(self.stream.read_buf(&mut self.buffer).await, Ok(1..)) {}
        self.buffer.split().to_vec()
    }

    pub(crate) async fn say(&mut self, text: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(text.as_ref()).await?;
        self.stream.flush().await
    }

    /// The same bytes over and over, until the other end does not take them; how many it took is told all along.
    pub(crate) async fn say_without_end(&mut self, bytes: &[u8], taken: &watch::Sender<u64>) {
        while let Ok(count @ 1..) = self.stream.write(bytes).await {
            taken.send_modify(|taken| *taken += count as u64);
        }
    }
}
