//! `kubectl port-forward`.
//!
//! In: a client's connections, each a pair of streams or channels. Out: connections to ports in the pod. Invariant: one connection that fails
//! says why and leaves the others alone; what is over is forgotten.

mod pairs;
pub(super) use pairs::run;
mod websocket;
#[cfg(any(test, fuzzing))]
pub(super) use websocket::ports as websocket_ports;

use std::sync::Arc;

use axum::extract::Request;
use axum::http::header::SEC_WEBSOCKET_PROTOCOL;
use axum::response::Response;
use bytes::Bytes;
use futures::StreamExt;
use pluglet_model::PodKey;
use pluglet_model::provider::{Error, Provider};
use pluglet_model::session::Forward;
use tokio::sync::mpsc;

use super::client::Gone;
use super::handshake::{self, Refusal, Session};
use super::tunnel;

/// Input that waits for the pod, in pieces.
const WAITING: usize = 4;

/// Where connections lead.
#[derive(Clone)]
pub(super) struct Forwarding {
    pub(super) provider: Arc<dyn Provider>,
    pub(super) key: PodKey,
}

/// Answers the request; what follows forwards ports until the client closes.
pub(super) fn begin(
    request: &mut Request,
    query: &str,
    forwarding: Forwarding,
) -> Result<(Response, Session), Refusal> {
    if !handshake::is_websocket(request) {
        return pairs::begin(request, forwarding);
    }
    let offered = handshake::list(request.headers(), &SEC_WEBSOCKET_PROTOCOL);
    if offered.iter().any(|offer| offer == tunnel::PROTOCOL) {
        tunnel::begin(request, forwarding)
    } else {
        websocket::begin(request, query, forwarding)
    }
}

/// What a client sends on a connection, and hears.
trait Ends {
    /// None when the client sends no more.
    async fn read(&mut self) -> Result<Option<Bytes>, Gone>;
}

impl Forwarding {
    /// Connects to a port, and copies both ways until the pod's side is over. The client's end is passed on as the end of the input; what
    /// the pod sends after that still reaches it. An error is for the client.
    async fn connect<E: Ends, F: Future<Output = Result<(), Gone>>>(
        &self,
        port: u16,
        mut from: E,
        to: impl Fn(Bytes) -> F,
        finish: impl AsyncFnOnce(),
    ) -> Result<(), String> {
        let told = |error: Error| {
            format!("error forwarding port {port} to pod {}, uid {}: {error}", self.key.name, self.key.uid)
        };
        let (input, waiting) = mpsc::channel(WAITING);
        let Forward { mut output, end } = self.provider.port_forward(&self.key, port, waiting).await.map_err(told)?;
        let up = async {
            loop {
                match from.read().await {
                    Ok(Some(bytes)) => {
                        // The pod takes no more: what it has to say still reaches the client.
                        if input.send(bytes).await.is_err() {
                            break;
                        }
                    }
                    Ok(None) => break,
                    Err(Gone) => return,
                }
            }
            drop(input);
            std::future::pending::<()>().await;
        };
        let down = async {
            while let Some(bytes) = output.next().await {
                if to(bytes).await.is_err() {
                    return Ok(());
                }
            }
            // The pod may go on to read.
            finish().await;
            end.await
        };
        tokio::select! {
            outcome = down => outcome.map_err(told),
            () = up => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
