//! `kubectl exec`, `attach`, `cp` and `port-forward`: what goes both ways for long.
//!
//! In: authorised requests that want to stop being HTTP. Out: sessions of the provider, spoken in whichever protocol the caller knows. Invariant:
//! a session is a task of its own that ends with its client, its provider or the process; nothing that was sent is cut off, and how it
//! ended is always said.
//!
//! ```text
//!  request ──► target ──► SPDY ───────┐
//!              (pod,      WebSocket ──┼─► command ───► Provider::exec, attach
//!               options)  tunnel ─────┴─► forwarding ► Provider::port_forward
//! ```
//!
//! Walk it in this order: [`target`] reads the request, [`handshake`] answers it, [`spdy`] and [`websocket`] speak with the client, [`command`] runs
//! what it wants, [`forwarding`] connects ports.

mod client;
mod command;
#[cfg(test)]
pub(super) mod fake;
mod forwarding;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod handshake;
mod outcome;
mod spdy;
mod target;
mod tunnel;
mod websocket;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, RawQuery, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use tokio::sync::Semaphore;

use super::routes::Rooms;
use command::{Action, Command};
use handshake::Refusal;
use target::{Options, Target};

/// Sessions at once. Each has buffers here and in the provider; whoever may open one could otherwise exhaust the memory of all pods.
const MOST_SESSIONS: usize = 1024;
/// How long a session lasts on which nothing is sent in either direction, pings included (`streamingConnectionIdleTimeout`).
pub(crate) const IDLE: Duration = Duration::from_secs(4 * 3600);
/// How long a client may take to open all the streams that it announced (`streamCreationTimeout`).
const STREAM_CREATION: Duration = Duration::from_secs(30);
/// How long a client may take to read what is left and close, once all is said. Closing first would cut it off: a kernel throws away what the other side
/// has not taken yet.
const LINGER: Duration = Duration::from_secs(15 * 60);

/// The places that sessions have.
#[derive(Clone)]
pub(crate) struct Places(Arc<Semaphore>);

impl Default for Places {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MOST_SESSIONS)))
    }
}

/// `/exec/{namespace}/{pod}/{container}`, and the same with a UID.
pub(crate) async fn exec(
    State(rooms): State<Rooms>,
    Path(path): Path<String>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Refusal> {
    let target = Target::find(&rooms, &segments(&path))?;
    target.offered(&rooms, |features| features.exec, "run commands in containers")?;
    let options = Options::parse(query.as_deref().unwrap_or_default());
    let command = options.command()?;
    remote_command(&rooms, request, target, &options, Action::Exec(command))
}

/// `/attach/{namespace}/{pod}/{container}`, and the same with a UID.
pub(crate) async fn attach(
    State(rooms): State<Rooms>,
    Path(path): Path<String>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Refusal> {
    let target = Target::find(&rooms, &segments(&path))?;
    target.offered(&rooms, |features| features.attach, "attach to containers")?;
    let options = Options::parse(query.as_deref().unwrap_or_default());
    remote_command(&rooms, request, target, &options, Action::Attach)
}

/// `/portForward/{namespace}/{pod}`, and the same with a UID.
pub(crate) async fn port_forward(
    State(rooms): State<Rooms>,
    Path(path): Path<String>,
    RawQuery(query): RawQuery,
    mut request: Request,
) -> Result<Response, Refusal> {
    let target = Target::of_pod(&rooms, &segments(&path))?;
    target.offered(&rooms, |features| features.port_forward, "forward ports")?;
    let place = rooms.places.take()?;
    let forwarding = forwarding::Forwarding { provider: rooms.provider.clone(), key: target.key };
    let query = query.as_deref().unwrap_or_default();
    let (response, session) = forwarding::begin(&mut request, query, forwarding)?;
    rooms.spawn_session(place, session);
    Ok(response)
}

fn segments(path: &str) -> Vec<&str> {
    path.trim_end_matches('/').split('/').collect()
}

fn remote_command(
    rooms: &Rooms,
    mut request: Request,
    target: Target,
    options: &Options,
    action: Action,
) -> Result<Response, Refusal> {
    let streams = options.streams()?;
    let place = rooms.places.take()?;
    let command = Command {
        provider: rooms.provider.clone(),
        key: target.key,
        container: target.container,
        tty: streams.tty,
        action,
    };
    let (response, session) = if handshake::is_websocket(&request) {
        websocket::begin(&mut request, streams, command)?
    } else {
        spdy::begin(&mut request, streams, command)?
    };
    rooms.spawn_session(place, session);
    Ok(response)
}

impl Places {
    fn take(&self) -> Result<tokio::sync::OwnedSemaphorePermit, Refusal> {
        self.0.clone().try_acquire_owned().map_err(|_| {
            Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                format!("{MOST_SESSIONS} sessions are open on this node, which is the limit"),
            )
        })
    }
}

impl Rooms {
    fn spawn_session(&self, place: tokio::sync::OwnedSemaphorePermit, session: handshake::Session) {
        let cancel = self.tasks.cancel_token();
        self.tasks.spawn("session", async move {
            let _place = place;
            cancel.run_until_cancelled(session).await;
        });
    }
}
