//! The accept loop.
//!
//! In: TCP connections. Out: requests to the router, with the caller's identity attached. Invariant: a slow or silent client costs one of a
//! limited number of places, for a limited time.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tower::Layer;
use tracing::{debug, warn};

use super::auth::Known;
use super::tls::{Authorities, CertifiedCaller};
use crate::tasks::Tasks;

/// Connections at once. Without a cap, idle connections from anyone who reaches the port would eat memory and file descriptors.
const MAX_CONNECTIONS: usize = 1024;
/// Time for the TLS handshake. A client that never finishes it would hold its place for ever.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Time for a request's headers, likewise (slow loris).
const HEADERS: Duration = Duration::from_secs(10);
/// Bytes of a request's headers. hyper takes some 400 KiB by default, for each connection of anybody who reaches the port; tokens have 1,200 bytes,
/// and a command is in the query.
const HEADER_BYTES: usize = 64 * 1024;
const HEADER_BYTES_HTTP2: u32 = 64 * 1024;
/// How long a connection lasts whose caller was not allowed anything yet. All it ever gets is a refusal; without a limit whoever reaches the
/// port, or any pod with a token, could hold all places.
const ANONYMOUS: Duration = Duration::from_secs(10);
/// Time that requests under way have when the process drains.
const LINGER: Duration = Duration::from_secs(1);
/// Pause after a failed accept: file descriptors have run out, and trying at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until the tasks drain. Connections are tasks of their own and end with them.
pub(crate) async fn run(
    listener: TcpListener,
    tls: ServerConfig,
    authorities: Authorities,
    router: Router,
    tasks: Tasks,
) {
    let door = Door { acceptor: TlsAcceptor::from(Arc::new(tls)), authorities };
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let cancel = tasks.cancel_token();
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            // Cancel-safe: accept takes no connection before it returns.
            accepted = listener.accept() => accepted,
            // Cancel-safe: a token is not consumed.
            () = cancel.cancelled() => return,
        };
        match accepted {
            Ok((stream, _)) => {
                // Sessions say little at a time and wait for answers: with Nagle's algorithm each would wait 40 ms for an acknowledgement.
                stream.set_nodelay(true).ok();
                let connection = serve(stream, door.clone(), router.clone(), tasks.clone(), place);
                tasks.spawn("kubelet connection", connection);
            }
            Err(error) => {
                warn!(%error, "cannot accept connections");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// How connections become somebody's.
#[derive(Clone)]
struct Door {
    acceptor: TlsAcceptor,
    authorities: Authorities,
}

/// Runs the requests of HTTP/2 connections, which are tasks of their own.
#[derive(Clone)]
struct Owned(Tasks);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Owned {
    fn execute(&self, request: F) {
        self.0.spawn("kubelet request", request);
    }
}

async fn serve(stream: TcpStream, door: Door, router: Router, tasks: Tasks, place: OwnedSemaphorePermit) {
    let _place = place;
    let stream = match timeout(HANDSHAKE, door.acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return debug!(%error, "TLS handshake failed"),
        Err(_) => return debug!("TLS handshake took too long"),
    };
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let (identity, known) = (door.authorities.caller(stream.get_ref().1), Known::default());
    let connection_known = known.clone();
    let service = tower::util::MapRequestLayer::new(move |mut request: axum::extract::Request<_>| {
        request.extensions_mut().insert(connection_known.clone());
        if let Some(caller) = identity.as_ref().and_then(CertifiedCaller::now) {
            request.extensions_mut().insert(caller);
        }
        request
    })
    .layer(router);
    // By what the handshake agreed on: looking at the first bytes instead would wait for them without end.
    let mut builder = Builder::new(Owned(tasks.clone()));
    builder = if is_http2 { builder.http2_only() } else { builder.http1_only() };
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS).max_buf_size(HEADER_BYTES);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(Some(Duration::from_secs(30)));
    builder.http2().max_header_list_size(HEADER_BYTES_HTTP2);
    let service = TowerToHyperService::new(service);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    let cancel = tasks.cancel_token();
    tokio::pin!(connection);
    let stays_unknown = async {
        tokio::time::sleep(ANONYMOUS).await;
        if known.is_known() {
            std::future::pending::<()>().await;
        }
    };
    let outcome = tokio::select! {
        // Cancel-safe: the connection is pinned outside and goes on below.
        outcome = connection.as_mut() => outcome,
        // Cancel-safe: a timer.
        () = stays_unknown => return debug!("closing a connection that was allowed nothing"),
        () = cancel.cancelled() => {
            connection.as_mut().graceful_shutdown();
            // A log that is being followed would last as long as its container.
            let Ok(outcome) = timeout(LINGER, connection).await else { return };
            outcome
        }
    };
    if let Err(error) = outcome {
        debug!(error, "connection ended");
    }
}

#[cfg(test)]
mod tests;
