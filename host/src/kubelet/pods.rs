//! `/pods`: the pods of this node, and `/configz`: how it is set up.
//!
//! In: what is known. Out: JSON. Invariant: read only; items are as the API server holds them.

use std::time::Duration;

use axum::extract::State;
use serde_json::{Value, json};

use super::routes::Rooms;
use super::streaming::IDLE;

/// A `v1.PodList`, whose items have no kind of their own.
pub(crate) async fn list(State(rooms): State<Rooms>) -> axum::Json<Value> {
    let items: Vec<Value> = rooms
        .pods
        .all()
        .into_iter()
        .map(|seen| {
            let mut pod = json!(&*seen.object.peek());
            if let Some(fields) = pod.as_object_mut() {
                fields.retain(|name, _| name != "kind" && name != "apiVersion");
                fields.insert("status".to_owned(), json!(&*seen.status.peek()));
            }
            pod
        })
        .collect();
    axum::Json(json!({ "kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items }))
}

/// What there is of a KubeletConfiguration that has a meaning here.
pub(crate) async fn configz(State(rooms): State<Rooms>) -> axum::Json<Value> {
    let go = |duration: Duration| format!("{}s", duration.as_secs());
    axum::Json(json!({ "kubeletconfig": {
        "kind": "KubeletConfiguration",
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "port": rooms.port,
        "enableServer": true,
        "enableDebuggingHandlers": true,
        "registerNode": true,
        "streamingConnectionIdleTimeout": go(IDLE),
        "authentication": {
            "x509": {},
            "webhook": { "enabled": true, "cacheTTL": go(super::auth::TOKEN_CACHE) },
            "anonymous": { "enabled": false },
        },
        "authorization": { "mode": "Webhook", "webhook": {
            "cacheAuthorizedTTL": go(super::auth::ALLOWED_CACHE),
            "cacheUnauthorizedTTL": go(super::auth::DENIED_CACHE),
        } },
    } }))
}
