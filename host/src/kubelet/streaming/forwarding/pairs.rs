//! Port-forward over SPDY: two streams for each connection.
//!
//! In: streams with the headers `port`, `requestid` and `streamtype`. Out: connections to ports. Invariant: a pair of which one half does not come in
//! time is dropped, and so is one that is over.

use std::collections::HashMap;
use std::convert::Infallible;

use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use pluglet_spdy::{Incoming, Opened, Reader, Reset, Writer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use super::super::client::Gone;
use super::super::handshake::{self, Refusal, Session};
use super::super::{STREAM_CREATION, spdy};
use super::{Ends, Forwarding};

const PROTOCOL: &str = "portforward.k8s.io";
/// Connections at once through one port-forward. Each is a session of the provider: one user could take those of all others.
const MOST_CONNECTIONS: usize = 200;

/// Answers the request; what follows forwards.
pub(super) fn begin(request: &mut Request, forwarding: Forwarding) -> Result<(Response, Session), Refusal> {
    let (_, response, pending) = handshake::spdy(request, &[PROTOCOL])?;
    let session = async move {
        if let Some(io) = pending.connection().await {
            run(io, forwarding).await;
        }
    };
    Ok((response, session.boxed()))
}

/// Forwards what comes over a SPDY connection, until it ends.
pub(in super::super) async fn run(io: impl AsyncRead + AsyncWrite, forwarding: Forwarding) {
    let serve = |incoming| serve(incoming, &forwarding).map(Ok::<_, Infallible>);
    let Ok(()) = spdy::converse(io, serve).await;
}

/// A connection of which only one half has come.
struct Half {
    port: u16,
    error: Option<Writer>,
    data: Option<(Reader, Writer)>,
    until: Instant,
}

async fn serve(mut incoming: Incoming, forwarding: &Forwarding) {
    let mut halves: HashMap<String, Half> = HashMap::new();
    let mut connections = FuturesUnordered::new();
    loop {
        let next = halves.iter().min_by_key(|(_, half)| half.until).map(|(id, half)| (id.clone(), half.until));
        tokio::select! {
            // Cancel-safe: mpsc receive.
            opened = incoming.next() => match opened {
                Some(opened) => {
                    if let Some((port, error, data)) = take(&mut halves, opened).await {
                        if connections.len() >= MOST_CONNECTIONS {
                            refuse(&error, &data.1).await;
                        } else {
                            connections.push(connect(forwarding, port, error, data));
                        }
                    }
                }
                None => return,
            },
            // Cancel-safe: what is not over stays in the set.
            Some(()) = connections.next(), if !connections.is_empty() => {}
            // Cancel-safe: a timer.
            id = expiry(next) => {
                if let Some(half) = halves.remove(&id) {
                    give_up(half, &id).await;
                }
            }
        }
    }
}

async fn expiry(next: Option<(String, Instant)>) -> String {
    match next {
        Some((id, at)) => {
            sleep_until(at).await;
            id
        }
        None => std::future::pending().await,
    }
}

async fn refuse(error: &Writer, data: &Writer) {
    error
        .send(format!("{MOST_CONNECTIONS} connections are open through this port-forward, which is the limit").into())
        .await
        .ok();
    error.reset(Reset::Cancel).await;
    data.reset(Reset::RefusedStream).await;
}

async fn give_up(half: Half, id: &str) {
    let text = format!("(conn, request {id}): timed out waiting for the other stream of the pair");
    if let Some(error) = half.error {
        error.send(text.into()).await.ok();
        error.reset(Reset::Cancel).await;
    }
    if let Some((_, data)) = half.data {
        data.reset(Reset::Cancel).await;
    }
}

/// Puts a stream to its pair. The pair, once it is complete.
async fn take(halves: &mut HashMap<String, Half>, opened: Opened) -> Option<(u16, Writer, (Reader, Writer))> {
    let header = |name| opened.headers.get(name).unwrap_or_default().to_owned();
    let (kind, port) = (header("streamtype").to_ascii_lowercase(), header("port"));
    let port: u16 = port.parse().ok().filter(|port| *port > 0).unwrap_or_default();
    let is_error = match kind.as_str() {
        "error" => true,
        "data" => false,
        _ => {
            opened.reject(Reset::RefusedStream).await;
            return None;
        }
    };
    if port == 0 {
        opened.reject(Reset::RefusedStream).await;
        return None;
    }
    // Old clients number nothing: the data stream comes right after the error stream.
    let id = match header("requestid") {
        id if !id.is_empty() => id,
        _ if is_error => format!("stream {}", opened.id),
        _ => format!("stream {}", opened.id.saturating_sub(2)),
    };
    let (reader, writer) = opened.accept().await.ok()?;
    let until = Instant::now() + STREAM_CREATION;
    let half = halves.entry(id.clone()).or_insert(Half { port, error: None, data: None, until });
    let twice = if is_error { half.error.is_some() } else { half.data.is_some() };
    if twice {
        writer.send(format!("request {id} has this stream already").into()).await.ok();
        writer.reset(Reset::ProtocolError).await;
        return None;
    }
    if is_error {
        half.error = Some(writer);
    } else {
        half.data = Some((reader, writer));
    }
    if half.error.is_none() || half.data.is_none() {
        return None;
    }
    let half = halves.remove(&id)?;
    Some((half.port, half.error?, half.data?))
}

async fn connect(forwarding: &Forwarding, port: u16, error: Writer, data: (Reader, Writer)) {
    let (reader, writer) = data;
    let to = |bytes: Bytes| {
        let writer = &writer;
        async move { writer.send(bytes).await.map_err(|_| Gone) }
    };
    let finish = async || writer.finish().await.unwrap_or_default();
    match forwarding.connect(port, reader, to, finish).await {
        Ok(()) => error.finish().await.unwrap_or_default(),
        Err(text) => {
            debug!(text, "a connection to a port failed");
            error.send(text.into()).await.ok();
            // Only these two: the client's other connections go on.
            error.reset(Reset::Cancel).await;
            writer.reset(Reset::Cancel).await;
        }
    }
}

impl Ends for Reader {
    async fn read(&mut self) -> Result<Option<Bytes>, Gone> {
        self.next().await.map_err(|_| Gone)
    }
}
