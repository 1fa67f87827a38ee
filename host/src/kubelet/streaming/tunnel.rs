//! SPDY inside of a WebSocket: how clients since 1.31 forward ports.
//!
//! In: binary messages, whose borders mean nothing. Out: the bytes of a SPDY connection. Invariant: nothing is read ahead of the connection inside.

use std::pin::pin;

use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use futures::{FutureExt, SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex, split};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tracing::debug;

use super::forwarding::{self, Forwarding};
use super::handshake::{Refusal, Session};
use super::websocket;

/// The WebSocket protocol.
pub(super) const PROTOCOL: &str = "SPDY/3.1+portforward.k8s.io";
/// Bytes that wait in each direction.
const WAITING: usize = 64 * 1024;
/// As for remote commands.
const LONGEST_MESSAGE: usize = 1 << 20;

/// Answers the request; what follows forwards.
pub(super) fn begin(request: &mut Request, forwarding: Forwarding) -> Result<(Response, Session), Refusal> {
    let (_, response, pending) = websocket::agree(request, &[PROTOCOL], PROTOCOL)?;
    let session = async move {
        let Some(io) = pending.connection().await else { return };
        let config =
            WebSocketConfig::default().max_message_size(Some(LONGEST_MESSAGE)).max_frame_size(Some(LONGEST_MESSAGE));
        let socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
        let (inside, outside) = duplex(WAITING);
        let mut carried = pin!(carry(socket, outside));
        tokio::select! {
            () = &mut carried => {}
            // What it has left to say is still carried.
            () = forwarding::run(inside, forwarding) => carried.await,
        }
    };
    Ok((response, session.boxed()))
}

/// Copies both ways until one side is over.
async fn carry<T>(socket: WebSocketStream<T>, pipe: DuplexStream)
where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let (mut to_client, mut from_client) = socket.split();
    let (mut from_inside, mut to_inside) = split(pipe);
    let inwards = async {
        while let Some(message) = from_client.next().await {
            match message {
                Ok(Message::Binary(bytes)) => {
                    if to_inside.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
                Ok(Message::Close(_)) => return,
                Ok(_) => {}
                Err(error) => return debug!(%error, "a tunnel broke"),
            }
        }
    };
    let outwards = async {
        let mut buffer = vec![0; 32 * 1024];
        while let Ok(read @ 1..) = from_inside.read(&mut buffer).await {
            let bytes = Bytes::copy_from_slice(buffer.get(..read).unwrap_or_default());
            if to_client.send(Message::Binary(bytes)).await.is_err() {
                return;
            }
        }
        to_client.close().await.ok();
    };
    tokio::select! {
        () = inwards => {}
        () = outwards => {}
    }
}
