//! `grpc`: whether a server calls itself healthy (`pkg/probe/grpc`).
//!
//! In: a host, a port, a service name. Out: an [`Outcome`]. Invariant: one unary call of `grpc.health.v1.Health/Check` without TLS; all that
//! is not SERVING is a failure.
//!
//! The protocol is <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md> and
//! <https://github.com/grpc/grpc/blob/master/doc/health-checking.md>. Its two messages have one field each and are written and read here.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, TE, USER_AGENT};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::Full;

use super::address::Reach;
use super::check::AGENT;
use super::exchange::{Answer, Broken, Protocol, exchange};
use super::runner::{Deadline, Outcome};

/// Field 1, length-delimited: `HealthCheckRequest.service`.
const SERVICE: u8 = 0x0a;
/// Field 1, varint: `HealthCheckResponse.status`.
const STATUS: u8 = 0x08;

/// `grpc-status` of a server that does not have the method.
const UNIMPLEMENTED: &str = "12";

/// Of what a server writes no more goes into an event.
const LONGEST_MESSAGE: usize = 256;

/// Asks the server for its health.
pub(super) async fn health(reach: &Reach, host: &str, port: u16, service: &str, deadline: Deadline) -> Outcome {
    ask(reach, host, port, service, deadline).await.unwrap_or_else(|outcome| outcome)
}

async fn ask(reach: &Reach, host: &str, port: u16, service: &str, deadline: Deadline) -> Result<Outcome, Outcome> {
    let stream = deadline.dial(reach.dial(host, port)).await?;
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let request = request(&format!("{host}:{port}"), service)?;
    // Any error counts, as for the tool that this kind of probe replaced.
    let answer = exchange(stream, Protocol::Http2, request, deadline).await.map_err(|broken| match broken {
        Broken::Unanswered(why) | Broken::Unfinished(why) => {
            Outcome::failure(format!("error: health rpc probe failed: {why}"))
        }
    })?;
    Ok(judge(&answer))
}

fn request(authority: &str, service: &str) -> Result<Request<Full<Bytes>>, Outcome> {
    let path = "/grpc.health.v1.Health/Check";
    let uri = Uri::builder().scheme("http").authority(authority).path_and_query(path).build();
    let uri = uri.map_err(|error| Outcome::Unknown { error: format!("{authority:?} is not a host: {error}") })?;
    let mut request = Request::new(Full::from(question(service)));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    Ok(request)
}

/// A `HealthCheckRequest` in its frame: not compressed, with its length before it.
fn question(service: &str) -> Vec<u8> {
    let mut message = vec![];
    if !service.is_empty() {
        message.push(SERVICE);
        let mut length = service.len();
        while length >= 0x80 {
            message.push((length % 0x80) as u8 | 0x80);
            length /= 0x80;
        }
        message.push(length as u8);
        message.extend(service.as_bytes());
    }
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    [&[0][..], &length.to_be_bytes(), &message].concat()
}

fn judge(answer: &Answer) -> Outcome {
    if answer.status != StatusCode::OK {
        return Outcome::failure(format!("error: health rpc probe failed: HTTP status {}", answer.status.as_u16()));
    }
    // A server that has nothing to say but a status puts it into the headers.
    let ends = [answer.trailers.as_ref(), Some(&answer.headers)];
    let Some(end) = ends.into_iter().flatten().find(|end| end.contains_key("grpc-status")) else {
        return Outcome::failure("error: health rpc probe failed: no grpc-status came back");
    };
    match text(end, "grpc-status").as_str() {
        "0" => {}
        UNIMPLEMENTED => {
            let message = text(end, "grpc-message");
            let what = "error: this server does not implement the grpc health protocol (grpc.health.v1.Health)";
            return Outcome::failure(format!("{what}: {message}"));
        }
        code => {
            let message = text(end, "grpc-message");
            return Outcome::failure(format!("error: health rpc probe failed: code = {code} desc = {message}"));
        }
    }
    match serving(&answer.body) {
        Some(1) => Outcome::Success,
        Some(status) => Outcome::failure(format!("service unhealthy (responded with {:?})", status_name(status))),
        None => Outcome::failure("error: health rpc probe failed: the answer is not a HealthCheckResponse"),
    }
}

/// The status in the frame of a `HealthCheckResponse`. Absent it is 0, as in proto3.
fn serving(body: &[u8]) -> Option<u8> {
    let (head, message) = body.split_at_checked(5)?;
    let (compressed, length) = head.split_first()?;
    let length = u32::from_be_bytes(length.try_into().ok()?);
    if *compressed != 0 || usize::try_from(length).ok()? != message.len() {
        return None;
    }
    match message {
        [] => Some(0),
        [STATUS, status] if *status < 0x80 => Some(*status),
        _ => None,
    }
}

/// `HealthCheckResponse.ServingStatus`.
fn status_name(status: u8) -> &'static str {
    match status {
        0 => "UNKNOWN",
        1 => "SERVING",
        2 => "NOT_SERVING",
        3 => "SERVICE_UNKNOWN",
        _ => "a status that does not exist",
    }
}

fn text(headers: &HeaderMap, name: &str) -> String {
    let value = headers.get(name).map(HeaderValue::as_bytes).unwrap_or_default();
    String::from_utf8_lossy(value.get(..LONGEST_MESSAGE).unwrap_or(value)).into_owned()
}

#[cfg(test)]
mod tests;
