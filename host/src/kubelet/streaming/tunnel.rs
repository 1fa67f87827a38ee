//! SPDY inside of a WebSocket: how clients since 1.31 forward ports.
//!
//! In: binary messages, whose borders mean nothing. Out: the bytes of a SPDY connection. Invariant: nothing is read ahead of the connection inside.

use std::pin::pin;

use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use futures::stream::{SplitSink, SplitStream};
use futures::{FutureExt, SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tracing::debug;

use super::forwarding::{self, Forwarding};
use super::handshake::{Refusal, Session};
use super::{LINGER, websocket};

/// The WebSocket protocol.
pub(super) const PROTOCOL: &str = "SPDY/3.1+portforward.k8s.io";
/// Bytes that wait in each direction.
const WAITING: usize = 64 * 1024;

/// Answers the request; what follows forwards.
pub(super) fn begin(request: &mut Request, forwarding: Forwarding) -> Result<(Response, Session), Refusal> {
    let (_, response, pending) = websocket::agree(request, &[PROTOCOL], PROTOCOL)?;
    let session = async move {
        let Some(io) = pending.connection().await else { return };
        let (inside, outside) = duplex(WAITING);
        let (to_client, from_client) = websocket::open(io).await.split();
        let (from_inside, to_inside) = split(outside);
        let mut outwards = pin!(outwards(from_inside, to_client));
        tokio::select! {
            // Each of the first two ends with the connection, and all with it.
            () = inwards(from_client, to_inside) => return,
            () = &mut outwards => return,
            // `outwards` is pinned outside and goes on below.
            () = forwarding::run(inside, forwarding) => {}
        }
        // What it had left to say, to a client that may not read it.
        timeout(LINGER, outwards).await.ok();
    };
    Ok((response, session.boxed()))
}

/// Until the client closes.
async fn inwards<T: AsyncRead + AsyncWrite + Unpin>(
    mut from: SplitStream<WebSocketStream<T>>,
    mut to: WriteHalf<DuplexStream>,
) {
    while let Some(message) = from.next().await {
        match message {
            Ok(Message::Binary(bytes)) => {
                if to.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            Ok(Message::Close(_)) => return,
            Ok(_) => {}
            Err(error) => return debug!(%error, "a tunnel broke"),
        }
    }
}

/// Until there is nothing more to say.
async fn outwards<T: AsyncRead + AsyncWrite + Unpin>(
    mut from: ReadHalf<DuplexStream>,
    mut to: SplitSink<WebSocketStream<T>, Message>,
) {
    let mut buffer = vec![0; 32 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let bytes = Bytes::copy_from_slice(buffer.get(..read).unwrap_or_default());
        if to.send(Message::Binary(bytes)).await.is_err() {
            return;
        }
    }
    to.close().await.ok();
}
