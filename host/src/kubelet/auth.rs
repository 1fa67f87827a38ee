//! Who calls, and whether they may.
//!
//! In: the connection's client certificate, method and path. Out: pass or an answer in the kubelet's words. Invariant: deny by default; no
//! certificate, no review, no answer: no.

use std::sync::Arc;

use async_trait::async_trait;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::{info, warn};
use x509_parser::prelude::{FromDer, X509Certificate};

/// A caller whose certificate the TLS handshake has verified against the client certificate authorities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The certificate's common name.
    pub user: String,
    /// Its organisations.
    pub groups: Vec<String>,
}

impl Caller {
    /// Reads the subject of a verified certificate (DER). None for one without a common name.
    pub(crate) fn of(certificate: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let subject = certificate.subject();
        let user = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
        let mut groups: Vec<String> =
            subject.iter_organization().filter_map(|name| name.as_str().ok()).map(str::to_owned).collect();
        groups.push("system:authenticated".to_owned());
        Some(Self { user, groups })
    }
}

/// Decides whether a caller may use a subresource of this node.
#[async_trait]
pub(crate) trait Authorizer: Send + Sync + 'static {
    /// An `Err` is a review that could not be made.
    async fn allows(&self, caller: &Caller, verb: &str, subresource: &str) -> Result<bool, String>;
}

/// Middleware around every route, unknown paths included.
pub(crate) async fn check(State(authorizer): State<Arc<dyn Authorizer>>, request: Request, next: Next) -> Response {
    let Some(caller) = request.extensions().get::<Caller>().cloned() else {
        return (StatusCode::UNAUTHORIZED, "Unauthorized").into_response();
    };
    let path = request.uri().path();
    let verb = verb(request.method(), path);
    let subresources = subresources(path);
    for subresource in subresources {
        match authorizer.allows(&caller, verb, subresource).await {
            Ok(true) => return next.run(request).await,
            Ok(false) => {}
            Err(error) => {
                warn!(user = caller.user, verb, subresource, error, "access review failed");
                let text = format!(
                    "Authorization error (user={}, verb={verb}, resource=nodes, subresource={subresource})",
                    caller.user
                );
                return (StatusCode::INTERNAL_SERVER_ERROR, text).into_response();
            }
        }
    }
    info!(user = caller.user, verb, path, "forbidden");
    let list = subresources.join(" ");
    let text = format!("Forbidden (user={}, verb={verb}, resource=nodes, subresource(s)=[{list}])\n", caller.user);
    (StatusCode::FORBIDDEN, text).into_response()
}

/// The verb of the review. Streaming into a container is `create` whatever the method: a WebSocket starts as GET, and the right to
/// read must not be the right to execute.
fn verb(method: &Method, path: &str) -> &'static str {
    if ["/exec/", "/attach/", "/run/", "/portForward/"].iter().any(|prefix| path.starts_with(prefix)) {
        return "create";
    }
    match *method {
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "get",
    }
}

/// The kubelet's map from path to the subresources of `nodes`; the first that is allowed suffices.
fn subresources(path: &str) -> &'static [&'static str] {
    let first = path.split('/').nth(1).unwrap_or_default();
    match first {
        "stats" => &["stats"],
        "metrics" => &["metrics"],
        "logs" => &["log"],
        "checkpoint" => &["checkpoint"],
        "pods" | "runningpods" => &["pods", "proxy"],
        "healthz" => &["healthz", "proxy"],
        "configz" => &["configz", "proxy"],
        _ => &["proxy"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_websocket_exec_needs_create_although_it_is_a_get() {
        assert_eq!(verb(&Method::GET, "/exec/default/web/c"), "create");
        assert_eq!(verb(&Method::GET, "/containerLogs/default/web/c"), "get");
        assert_eq!(subresources("/containerLogs/default/web/c"), ["proxy"]);
        assert_eq!(subresources("/healthz/ping"), ["healthz", "proxy"]);
        assert_eq!(subresources("/no/such/path"), ["proxy"]);
    }
}
