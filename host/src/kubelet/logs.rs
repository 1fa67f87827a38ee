//! `kubectl logs`.
//!
//! In: `GET /containerLogs/{namespace}/{pod}/{container}` with the API server's query. Out: the log, as text. Invariant: all options hold for
//! every provider, because the host applies them; errors before the first byte are the kubelet's texts, which kubectl shows verbatim.

use std::io;

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::{FutureExt, StreamExt, stream};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodStatus};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use pluglet_model::provider::{Error, LogRequest, LogStream};
use tracing::info;

use super::log_filter::{LogFilter, Options};
use super::routes::Rooms;
use crate::pods::view::Seen;

/// So many lines go out together, if they are there already. More would keep a thread from others.
const LINES_TOGETHER: usize = 1024;
/// Or so many bytes.
const BYTES_TOGETHER: usize = 128 * 1024;

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
    let reading = Reading::On(lines, LogFilter::new(options));
    let chunks = stream::unfold(reading, |state| async {
        let (mut lines, mut filter) = match state {
            Reading::On(lines, filter) => (lines, filter),
            Reading::Broken(error) => {
                // What was sent before must be out: an error takes along what waits.
                tokio::task::yield_now().await;
                // Ends the connection in a way that the reader notices: half a log must not look like a whole one.
                return Some((Some(Err(io::Error::other(error))), Reading::Ended));
            }
            Reading::Ended => return None,
        };
        let mut out = vec![];
        let outcome = take_ready(&mut lines, &mut filter, &mut out).await;
        let next = match outcome {
            Ok(Going::On) => {
                // Lines that are kept back for `tail` send nothing, and this would go on without giving way.
                tokio::task::yield_now().await;
                Reading::On(lines, filter)
            }
            Ok(Going::Ended) => Reading::Ended,
            Err(error) => {
                // Also in words: an API server passes the broken connection on as an end.
                out.extend_from_slice(format!("\nthe log breaks off here: {error}\n").as_bytes());
                Reading::Broken(error)
            }
        };
        Some(((!out.is_empty()).then_some(Ok(out)), next))
    });
    let chunks = chunks.filter_map(std::future::ready);
    ([(header::CONTENT_TYPE, "text/plain")], Body::from_stream(chunks)).into_response()
}

/// How far an answer is.
enum Reading {
    On(LogStream, LogFilter),
    /// It was told, and is to be shown.
    Broken(Error),
    Ended,
}

enum Going {
    On,
    Ended,
}

/// Waits for a line, and takes those with it that are there already: each alone would be a chunk of HTTP and a record of TLS.
async fn take_ready(lines: &mut LogStream, filter: &mut LogFilter, out: &mut Vec<u8>) -> Result<Going, Error> {
    let mut item = lines.next().await;
    for taken in 1.. {
        match item {
            Some(Ok(item)) => filter.take(item, out),
            Some(Err(error)) => {
                info!(%error, "a log stream broke off");
                return Err(error);
            }
            None => {
                filter.finish(out);
                return Ok(Going::Ended);
            }
        }
        if filter.is_full() {
            return Ok(Going::Ended);
        }
        // Before the next is taken: one that is taken must be looked at.
        if out.len() >= BYTES_TOGETHER || taken >= LINES_TOGETHER {
            break;
        }
        match lines.next().now_or_never() {
            Some(next) => item = next,
            None => break,
        }
    }
    Ok(Going::On)
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
        Error::Invalid(_) | Error::Forbidden { .. } => (StatusCode::BAD_REQUEST, error.to_string()),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    };
    (code, text).into_response()
}

/// Why a container has no log, as `validateContainerLogStatus` of the kubelet says it.
fn unavailable(status: &PodStatus, name: &str, container: &str) -> String {
    let of = format!("container \"{container}\" in pod \"{name}\"");
    let Some(state) = status_of(status, container).and_then(|status| status.state.as_ref()) else {
        return format!("{of} is not available");
    };
    if state.terminated.is_some() {
        return format!("{of} is terminated");
    }
    match state.waiting.as_ref().and_then(|waiting| waiting.reason.as_deref()) {
        Some("ErrImagePull") => format!("{of} is waiting to start: image can't be pulled"),
        Some("ImagePullBackOff") => format!("{of} is waiting to start: trying and failing to pull image"),
        Some(reason) => format!("{of} is waiting to start: {reason}"),
        None => format!("{of} is waiting to start - no logs yet"),
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

/// What the fuzzer does with a query (see `tests/fuzz`).
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz_query(text: &str) {
    let now = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(500_000);
    if let Ok(query) = Query::parse(text, now) {
        assert_ne!(query.filter.limit_bytes, Some(0));
    }
}

#[cfg(test)]
mod tests;
