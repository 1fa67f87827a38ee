//! `/metrics` and `/metrics/probes`: what this process counts.
//!
//! In: the registry. Out: OpenMetrics text. Invariant: labels are names that Kubernetes or the operator gave, and closed sets; nothing a provider or a backend said is in
//! there, and no secret.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers with all of it.
pub(crate) async fn handle(State(registry): State<Arc<Registry>>) -> Response {
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        // Writing to a String cannot fail; a metric that cannot be written would be a bug.
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
