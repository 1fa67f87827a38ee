//! Which path leads where.
//!
//! In: authorised requests. Out: handlers, or the reason why there is none. Invariant: each path that a kubelet has is named here; what is
//! not served says so with 501, what no kubelet has is 404.

use std::sync::Arc;

use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, middleware};
use pluglet_model::provider::Provider;
use prometheus_client::registry::Registry;

use super::auth::{self, Authorizer};
use super::streaming::{self, Places};
use super::usage::{self, Usage};
use super::{logs, metrics, pods};
use crate::pods::view::PodsView;
use crate::tasks::Tasks;

/// What handlers need.
#[derive(Clone)]
pub(crate) struct Rooms {
    pub provider: Arc<dyn Provider>,
    pub pods: Arc<PodsView>,
    pub metrics: Arc<Registry>,
    /// For `/metrics/probes`, which is apart on a kubelet too: it has series for each pod.
    pub probe_metrics: Arc<Registry>,
    /// For sessions, which outlive their requests.
    pub tasks: Tasks,
    pub places: Places,
    pub usage: Usage,
    pub node_name: String,
    /// The server's own.
    pub port: u16,
}

/// The whole server.
pub(crate) fn router(rooms: Rooms, authorizer: Arc<dyn Authorizer>) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/healthz/ping", get(healthz))
        .route("/healthz/log", get(healthz))
        .route("/healthz/syncloop", get(healthz))
        .route("/containerLogs/{namespace}/{pod}/{container}", get(logs::handle))
        .route("/exec/{*target}", get(streaming::exec).post(streaming::exec))
        .route("/attach/{*target}", get(streaming::attach).post(streaming::attach))
        .route("/portForward/{*target}", get(streaming::port_forward).post(streaming::port_forward))
        .route("/metrics/resource", get(usage::resource))
        .route("/metrics/cadvisor", get(usage::cadvisor))
        .route("/stats/summary", get(usage::summary))
        .route("/pods", get(pods::list))
        .route("/configz", get(pods::configz))
        .route("/metrics", get(metrics::handle).with_state(rooms.metrics.clone()))
        .route("/metrics/probes", get(metrics::handle).with_state(rooms.probe_metrics.clone()))
        .fallback(unserved)
        .with_state(rooms)
        .layer(middleware::from_fn_with_state(authorizer, auth::check))
}

/// A server that answers is well.
async fn healthz() -> &'static str {
    "ok"
}

async fn unserved(uri: Uri) -> Response {
    let first = uri.path().split('/').nth(1).unwrap_or_default();
    let what = match first {
        "run" => "running commands in containers (run)",
        "runningpods" => "listing what runs apart from what should (runningpods): see /pods",
        "stats" => "more statistics than /stats/summary",
        "metrics" => "more metrics than /metrics, /metrics/resource, /metrics/cadvisor and /metrics/probes",
        "logs" => "node logs",
        "checkpoint" => "checkpoints",
        _ => return (StatusCode::NOT_FOUND, "404 page not found\n").into_response(),
    };
    (StatusCode::NOT_IMPLEMENTED, format!("this version of pluglet does not serve {what}\n")).into_response()
}

#[cfg(test)]
mod tests;
