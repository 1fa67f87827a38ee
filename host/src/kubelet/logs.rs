//! `kubectl logs`.
//!
//! In: `GET /containerLogs/{namespace}/{pod}/{container}` with the API server's query. Out: the log, as text. Invariant: all options hold for
//! every provider, because the host applies them; errors before the first byte are the kubelet's texts, which kubectl shows verbatim.

use std::io;

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodStatus};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use pluglet_model::provider::{Error, LogRequest, LogStream};
use tracing::info;

use super::log_filter::{LogFilter, Options};
use super::routes::Rooms;
use crate::pods::view::Seen;

/// Answers with the log of one container.
pub(crate) async fn handle(
    State(rooms): State<Rooms>,
    Path((namespace, name, container)): Path<(String, String, String)>,
    RawQuery(query): RawQuery,
) -> Response {
    let query = match Query::parse(query.as_deref().unwrap_or_default(), Timestamp::now()) {
        Ok(query) => query,
        Err((status, text)) => return (status, text).into_response(),
    };
    let Some(Seen { key, object, status }) = rooms.pods.find(&namespace, &name) else {
        return (StatusCode::NOT_FOUND, format!("pod \"{name}\" does not exist\n")).into_response();
    };
    if !has_container(&object.peek(), &container) {
        let text = format!("container \"{container}\" not found in pod \"{name}\"\n");
        return (StatusCode::NOT_FOUND, text).into_response();
    }
    let features = rooms.provider.health().borrow().info.as_ref().map(|info| info.features);
    if features.is_some_and(|features| !features.logs) {
        return (StatusCode::NOT_IMPLEMENTED, "this provider has no logs\n").into_response();
    }
    let request = LogRequest {
        container: container.clone(),
        previous: query.previous,
        follow: query.follow,
        tail_lines: query.filter.tail_lines,
        since_unix_ns: query.filter.since_unix_ns,
    };
    match rooms.provider.logs(&key, request).await {
        Ok(lines) => text(lines, query.filter),
        Err(error) => failure(&error, &status.peek(), &name, &container, query.previous),
    }
}

fn text(lines: LogStream, options: Options) -> Response {
    let chunks = stream::unfold(Some((lines, LogFilter::new(options))), |state| async {
        let (mut lines, mut filter) = state?;
        let chunk = match lines.next().await {
            Some(Ok(item)) => filter.take(item),
            Some(Err(error)) => {
                info!(%error, "a log stream broke off");
                // Ends the connection in a way that the reader notices: half a log must not look like a whole one.
                return Some((Err(io::Error::other(error)), None));
            }
            None => return Some((Ok(filter.finish()), None)),
        };
        let next = (!filter.is_full()).then_some((lines, filter));
        Some((Ok(chunk), next))
    });
    let chunks = chunks.filter(|chunk| std::future::ready(chunk.as_ref().map_or(true, |bytes| !bytes.is_empty())));
    ([(header::CONTENT_TYPE, "text/plain")], Body::from_stream(chunks)).into_response()
}

/// The API server passes the text of a 400 on to the user.
fn failure(error: &Error, status: &PodStatus, name: &str, container: &str, previous: bool) -> Response {
    let (code, text) = match error {
        Error::NotFound if previous => (
            StatusCode::BAD_REQUEST,
            format!("previous terminated container \"{container}\" in pod \"{name}\" not found"),
        ),
        Error::NotFound => (StatusCode::BAD_REQUEST, unavailable(status, name, container)),
        Error::Unsupported(_) => (StatusCode::NOT_IMPLEMENTED, error.to_string()),
        Error::Invalid(_) => (StatusCode::BAD_REQUEST, error.to_string()),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    };
    (code, text).into_response()
}

/// Why a container has no log.
fn unavailable(status: &PodStatus, name: &str, container: &str) -> String {
    let waiting = status_of(status, container).and_then(|status| status.state.as_ref()?.waiting.clone());
    match waiting.and_then(|waiting| waiting.reason) {
        Some(reason) => format!("container \"{container}\" in pod \"{name}\" is waiting to start: {reason}"),
        None => format!("container \"{container}\" in pod \"{name}\" is not available"),
    }
}

fn status_of<'a>(status: &'a PodStatus, container: &str) -> Option<&'a ContainerStatus> {
    let all = [&status.container_statuses, &status.init_container_statuses, &status.ephemeral_container_statuses];
    all.into_iter().flatten().flatten().find(|status| status.name == container)
}

pub(super) fn has_container(pod: &Pod, name: &str) -> bool {
    let Some(spec) = &pod.spec else { return false };
    spec.containers.iter().chain(spec.init_containers.iter().flatten()).any(|container| container.name == name)
        || spec.ephemeral_containers.iter().flatten().any(|container| container.name == name)
}

/// The query of the API server, see `PodLogOptions`.
#[derive(Debug, Default, PartialEq)]
struct Query {
    follow: bool,
    previous: bool,
    filter: Options,
}

type Refusal = (StatusCode, String);

impl Query {
    fn parse(text: &str, now: Timestamp) -> Result<Self, Refusal> {
        let mut query = Self::default();
        let mut since_seconds = None;
        let mut since_time = None;
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match name {
                "follow" => query.follow = flag(name, value)?,
                "previous" => query.previous = flag(name, value)?,
                "timestamps" => query.filter.timestamps = flag(name, value)?,
                "tailLines" => query.filter.tail_lines = Some(number(name, value, 0)?),
                "limitBytes" => query.filter.limit_bytes = Some(number(name, value, 1)?),
                "sinceSeconds" => since_seconds = Some(number(name, value, 1)?),
                "sinceTime" => since_time = Some(time(name, value)?),
                "stream" if value == "All" => {}
                "stream" => return Err(refuse(StatusCode::BAD_REQUEST, name, "only All is served")),
                // What a newer API server may send beside.
                _ => {}
            }
        }
        let since = match (since_seconds, since_time) {
            (Some(_), Some(_)) => {
                return Err(refuse(StatusCode::UNPROCESSABLE_ENTITY, "sinceTime", "excludes sinceSeconds"));
            }
            (Some(seconds), None) => {
                let ago = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
                now.saturating_sub(ago).ok()
            }
            (None, time) => time,
        };
        query.filter.since_unix_ns = since.map(unix_ns);
        Ok(query)
    }
}

/// Clamped to what 64 bits hold, the years 1970 to 2554.
fn unix_ns(time: Timestamp) -> u64 {
    u64::try_from(time.as_nanosecond().max(0)).unwrap_or(u64::MAX)
}

fn refuse(status: StatusCode, name: &str, why: &str) -> Refusal {
    (status, format!("{{\"message\": \"Invalid request: {name}: {why}.\"}}"))
}

fn flag(name: &str, value: &str) -> Result<bool, Refusal> {
    match value {
        "true" | "1" | "" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(refuse(StatusCode::BAD_REQUEST, name, "must be true or false")),
    }
}

fn number(name: &str, value: &str, least: u64) -> Result<u64, Refusal> {
    let number: u64 = value
        .parse()
        .map_err(|_| refuse(StatusCode::UNPROCESSABLE_ENTITY, name, "must be a whole number, not negative"))?;
    if number < least {
        return Err(refuse(StatusCode::UNPROCESSABLE_ENTITY, name, &format!("must be at least {least}")));
    }
    Ok(number)
}

fn time(name: &str, value: &str) -> Result<Timestamp, Refusal> {
    // The only characters of RFC 3339 that a client may escape.
    let value = value.replace("%3A", ":").replace("%3a", ":").replace("%2B", "+").replace("%2b", "+");
    value.parse().map_err(|_| refuse(StatusCode::BAD_REQUEST, name, "must be an RFC 3339 time"))
}

#[cfg(test)]
mod tests;
