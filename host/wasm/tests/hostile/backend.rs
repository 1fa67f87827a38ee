//! Servers that record what reaches them, byte by byte.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What a server does with a connection after it has read the head of a request.
pub(crate) type Answer = Arc<dyn Fn(String) -> Reply + Send + Sync>;

/// The answer to one request.
pub(crate) enum Reply {
    /// These bytes, then keep the connection.
    Bytes(Vec<u8>),
    /// This head, then these bytes again and again for as long as they are taken.
    Endless(Vec<u8>, Vec<u8>),
    /// One byte at each tick, for ever.
    Trickle(Vec<u8>),
    /// Nothing, and do not read further.
    Silence,
}

/// A server on loopback. Dropping it ends it.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Seen>,
    _tasks: JoinSet<()>,
}

/// What it saw.
#[derive(Default)]
pub(crate) struct Seen {
    /// Heads of requests, raw.
    pub(crate) heads: Mutex<Vec<String>>,
    pub(crate) connections: AtomicUsize,
    /// Most connections at once.
    pub(crate) most: AtomicUsize,
    open: AtomicUsize,
    pub(crate) written: AtomicU64,
    pub(crate) read: AtomicU64,
}

impl Seen {
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

impl Server {
    pub(crate) async fn start(answer: impl Fn(String) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Seen>::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::new(answer), Arc::clone(&seen)));
        Self { address, seen, _tasks: tasks }
    }

    /// A server that answers everything alike.
    pub(crate) async fn plain(status: &str, headers: &str, body: &str) -> Self {
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len());
        Self::start(move |_| Reply::Bytes(answer.clone().into_bytes())).await
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn accept(listener: TcpListener, answer: Answer, seen: Arc<Seen>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        seen.connections.fetch_add(1, Ordering::SeqCst);
        let open = seen.open.fetch_add(1, Ordering::SeqCst) + 1;
        seen.most.fetch_max(open, Ordering::SeqCst);
        let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
        connections.spawn(async move {
            // A client that goes away is what most of these tests are about.
            let _ = serve(stream, answer, &seen).await;
            seen.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

async fn serve(mut stream: TcpStream, answer: Answer, seen: &Seen) -> std::io::Result<()> {
    while let Some(head) = head(&mut stream, seen).await? {
        seen.heads.lock().unwrap().push(head.clone());
        match answer(head) {
            Reply::Bytes(bytes) => stream.write_all(&bytes).await?,
            Reply::Endless(head, bytes) => {
                stream.write_all(&head).await?;
                loop {
                    stream.write_all(&bytes).await?;
                    seen.written.fetch_add(bytes.len() as u64, Ordering::SeqCst);
                }
            }
            Reply::Trickle(bytes) => {
                let mut tick = tokio::time::interval(std::time::Duration::from_millis(20));
                for byte in bytes.iter().cycle() {
                    tick.tick().await;
                    stream.write_all(&[*byte]).await?;
                }
            }
            Reply::Silence => std::future::pending().await,
        }
    }
    Ok(())
}

/// The head of the next request; bodies with a length are read and counted.
async fn head(stream: &mut TcpStream, seen: &Seen) -> std::io::Result<Option<String>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) if head.is_empty() => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await?;
    seen.read.fetch_add(body.len() as u64, Ordering::SeqCst);
    Ok(Some(head))
}
