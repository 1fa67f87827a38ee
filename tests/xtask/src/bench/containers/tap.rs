//! A socket in front of the engine's, which counts what goes through it.
//!
//! In: connections. Out: the same bytes, and a [`Book`] of calls. Invariant: nothing is held back or changed; what is not understood is not counted, and
//! goes through all the same, upgraded connections too.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use super::calls::{self, Book};

/// What is read at once.
const PIECE: usize = 64 << 10;
/// The end of a line that is kept until its rest has come. A body is such a line too, and may be long.
const KEPT: usize = 16 << 10;
/// The end of a request's first line.
const PROTOCOL: &str = " HTTP/1.1";
const METHODS: [&str; 5] = ["GET", "POST", "PUT", "DELETE", "HEAD"];

/// Ends with this value.
pub(super) struct Tap {
    socket: PathBuf,
    book: Book,
    _task: JoinSet<()>,
}

/// The call of a connection that waits for its answer. There is one at a time, since nobody sends the next before.
type Open = Arc<Mutex<Option<(String, Instant)>>>;

impl Tap {
    /// Listens at `socket` for what goes to `engine`.
    pub(super) fn open(socket: PathBuf, engine: PathBuf) -> Result<Self> {
        let listener = UnixListener::bind(&socket).with_context(|| format!("cannot listen at {}", socket.display()))?;
        let book = Book::default();
        let mut task = JoinSet::new();
        task.spawn(serve(listener, engine, book.clone()));
        Ok(Self { socket, book, _task: task })
    }

    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    pub(super) fn book(&self) -> &Book {
        &self.book
    }
}

async fn serve(listener: UnixListener, engine: PathBuf, book: Book) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        // Those that ended are forgotten on the way.
        while connections.try_join_next().is_some() {}
        connections.spawn(connect(client, engine.clone(), book.clone()));
    }
}

/// One connection. An error of either side is for the two to see: both get the end of what the other sent.
async fn connect(client: UnixStream, engine: PathBuf, book: Book) {
    let Ok(engine) = UnixStream::connect(&engine).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_engine, to_engine) = engine.into_split();
    let open = Open::default();
    let mut requests = Requests::default();
    let asked = relay(from_client, to_engine, |bytes| {
        if let Some(kind) = requests.read(bytes) {
            *open.lock().unwrap_or_else(PoisonError::into_inner) = Some((kind, Instant::now()));
        }
    });
    let answered = relay(from_engine, to_client, |_| {
        if let Some((kind, since)) = open.lock().unwrap_or_else(PoisonError::into_inner).take() {
            book.add(&kind, since.elapsed());
        }
    });
    tokio::join!(asked, answered);
}

async fn relay(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut see: impl FnMut(&[u8])) {
    let mut buffer = vec![0; PIECE];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let piece = buffer.get(..length).unwrap_or_default();
        see(piece);
        if to.write_all(piece).await.is_err() {
            break;
        }
    }
    to.shutdown().await.ok();
}

/// Finds requests in what a client sends.
#[derive(Default)]
struct Requests {
    line: Vec<u8>,
}

impl Requests {
    /// The kind of the last request that begins in what has come so far.
    fn read(&mut self, bytes: &[u8]) -> Option<String> {
        let mut found = None;
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                found = request(&String::from_utf8_lossy(&self.line)).or(found);
                self.line.clear();
            }
            let surplus = self.line.len().saturating_sub(KEPT);
            self.line.drain(..surplus);
        }
        found
    }
}

/// A request's first line, perhaps behind the body of the one before.
fn request(line: &str) -> Option<String> {
    let (before, target) = line.trim_end().strip_suffix(PROTOCOL)?.rsplit_once(' ')?;
    let method = METHODS.into_iter().find(|method| before.ends_with(method))?;
    target.starts_with('/').then(|| calls::kind(method, target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_found_in_pieces_and_behind_a_body() {
        let mut requests = Requests::default();
        assert_eq!(requests.read(b"POST /v1.41/containers/create?name=x HT"), None);
        assert_eq!(requests.read(b"TP/1.1\r\nhost: engine\r\n\r\n{\"a\": 1}").as_deref(), Some("create"));
        assert_eq!(requests.read(b"GET /v1.41/containers/4d/json HTTP/1.1\r\n\r\n").as_deref(), Some("inspect"));
        assert_eq!(requests.read(&vec![b'x'; 100_000]), None);
        assert_eq!(requests.read(b"DELETE /v1.41/containers/4d HTTP/1.1\r\n").as_deref(), Some("remove"));
    }
}
