//! How a request stops being HTTP.
//!
//! In: a request with an `Upgrade`. Out: the answer 101 and what comes after it, or a [`Refusal`]. Invariant: of the protocols that a client
//! offers the first is chosen that is known here, in the client's order.

use axum::extract::Request;
use axum::http::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue, UPGRADE};
use axum::http::{Response as HttpResponse, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::future::BoxFuture;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tracing::debug;

/// What runs after the answer.
pub(super) type Session = BoxFuture<'static, ()>;

/// `X-Stream-Protocol-Version`.
const PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");
const ACCEPTED: HeaderName = HeaderName::from_static("x-accepted-stream-protocol-versions");

/// Why a request is answered without a session.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) text: String,
    /// The stream protocols that would do.
    accepted: Vec<HeaderValue>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), accepted: vec![] }
    }

    pub(super) fn bad_request(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    pub(super) fn not_found(text: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, text)
    }
}

impl IntoResponse for Refusal {
    /// A `metav1.Status`: the API server passes its message on to the user as it is; of a plain text it makes "unable to upgrade connection".
    fn into_response(self) -> Response {
        let reason = match self.status {
            StatusCode::BAD_REQUEST => "BadRequest",
            StatusCode::FORBIDDEN => "Forbidden",
            StatusCode::NOT_FOUND => "NotFound",
            StatusCode::NOT_IMPLEMENTED => "NotImplemented",
            StatusCode::SERVICE_UNAVAILABLE => "ServiceUnavailable",
            _ => "InternalError",
        };
        let status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.text, "reason": reason, "code": self.status.as_u16(),
        });
        let mut response = (self.status, axum::Json(status)).into_response();
        for protocol in self.accepted {
            response.headers_mut().append(ACCEPTED, protocol);
        }
        response
    }
}

/// Whether the client wants a WebSocket (`IsWebSocketRequest`).
pub(super) fn is_websocket(request: &Request) -> bool {
    has_token(request.headers(), &CONNECTION, "upgrade") && has_token(request.headers(), &UPGRADE, "websocket")
}

/// Tokens are looked for anywhere in the header, as clients write them in many ways.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let mut values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.any(|value| value.to_ascii_lowercase().contains(token))
}

/// The bytes after the answer 101, those included that were read with the request.
pub(super) struct Pending(OnUpgrade);

impl Pending {
    pub(super) fn of(request: &mut Request) -> Self {
        Self(hyper::upgrade::on(request))
    }

    /// None where the client has gone away before.
    pub(super) async fn connection(self) -> Option<TokioIo<Upgraded>> {
        match self.0.await {
            Ok(upgraded) => Some(TokioIo::new(upgraded)),
            Err(error) => {
                debug!(%error, "a client went away instead of upgrading");
                None
            }
        }
    }
}

/// Agrees on SPDY and on one of `known`. Answers what was chosen, the answer to send, and what comes after it.
pub(super) fn spdy<'a>(request: &mut Request, known: &[&'a str]) -> Result<(&'a str, Response, Pending), Refusal> {
    let headers = request.headers();
    if !has_token(headers, &CONNECTION, "upgrade") || !has_token(headers, &UPGRADE, "spdy/3.1") {
        return Err(Refusal::bad_request(
            "this path is served over an upgraded connection only: Upgrade must be SPDY/3.1 or websocket",
        ));
    }
    let offered = list(headers, &PROTOCOL);
    if offered.is_empty() {
        let text = format!(
            "unable to upgrade: header X-Stream-Protocol-Version does not exist in request with {} headers",
            headers.len()
        );
        return Err(Refusal::bad_request(text));
    }
    let Some(chosen) = choose(&offered, known) else {
        let text = format!("unable to upgrade: none of the stream protocols {offered:?} is known: {known:?} are");
        let mut refusal = Refusal::new(StatusCode::FORBIDDEN, text);
        refusal.accepted = known.iter().filter_map(|protocol| HeaderValue::from_str(protocol).ok()).collect();
        return Err(refusal);
    };
    let response = switching(HeaderValue::from_static("SPDY/3.1"), Some((PROTOCOL, chosen)))?;
    Ok((chosen, response, Pending::of(request)))
}

/// The answer 101.
pub(super) fn switching(to: HeaderValue, chosen: Option<(HeaderName, &str)>) -> Result<Response, Refusal> {
    let response = HttpResponse::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(CONNECTION, HeaderValue::from_static("Upgrade"))
        .header(UPGRADE, to);
    let response = match chosen {
        Some((name, value)) => response.header(name, value),
        None => response,
    };
    let failed = |error: axum::http::Error| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string());
    response.body(axum::body::Body::empty()).map_err(failed)
}

/// The entries of a header that may be given in one line or in several.
pub(super) fn list(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    let lines = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    lines
        .flat_map(|line| line.split(','))
        .map(|entry| entry.trim().to_owned())
        .filter(|entry| !entry.is_empty())
        .collect()
}

/// The first that is known, in the client's order.
pub(super) fn choose<'a>(offered: &[String], known: &[&'a str]) -> Option<&'a str> {
    offered.iter().find_map(|offer| known.iter().find(|known| *known == offer)).copied()
}
