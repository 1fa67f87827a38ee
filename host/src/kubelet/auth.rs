//! Who calls, and whether they may.
//!
//! In: the connection's client certificate or a bearer token, method and path. Out: pass or an answer in the kubelet's words. Invariant: deny by
//! default; no certificate and no token, no review, no answer: no. A certificate comes before a token.

mod cache;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tracing::{info, warn};
use x509_parser::certificate::X509Certificate;

use cache::Cache;

/// Tokens that are reviewed at once. Whoever reaches the port can make up as many as it likes, and each is a call of the API server.
const MOST_REVIEWS: usize = 8;
/// Longest token that is shown to the API server. Those of service accounts have some 1,200 bytes.
const LONGEST_TOKEN: usize = 16 * 1024;

/// How long a token is known to be somebody's (`authentication.webhook.cacheTTL`), and to be nobody's.
pub(crate) const TOKEN_CACHE: Duration = Duration::from_secs(120);
const REFUSED_TOKEN_CACHE: Duration = Duration::from_secs(10);
/// How long somebody is known to be allowed something (`authorization.webhook.cacheAuthorizedTTL`), and not to be.
pub(crate) const ALLOWED_CACHE: Duration = Duration::from_secs(300);
pub(crate) const DENIED_CACHE: Duration = Duration::from_secs(30);

/// A caller whose certificate chains to the client certificate authorities, or whose token the API server knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Caller {
    /// The certificate's common name.
    pub user: String,
    /// Its organisations.
    pub groups: Vec<String>,
    /// What the API server says besides of who has a token.
    pub uid: Option<String>,
    pub extra: BTreeMap<String, Vec<String>>,
}

/// A connection whose caller was allowed something by now. Without that it does not last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known(Arc<AtomicBool>);

impl Known {
    pub(crate) fn is_known(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Caller {
    /// The subject of a certificate that was verified. None for one without a common name.
    pub(crate) fn of(certificate: &X509Certificate<'_>) -> Option<Self> {
        let subject = certificate.subject();
        let user = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
        let mut groups: Vec<String> =
            subject.iter_organization().filter_map(|name| name.as_str().ok()).map(str::to_owned).collect();
        groups.push("system:authenticated".to_owned());
        Some(Self { user, groups, ..Self::default() })
    }
}

/// Knows who callers are, and decides whether one may use a subresource of this node.
#[async_trait]
pub(crate) trait Authorizer: Send + Sync + 'static {
    /// An `Err` is a review that could not be made.
    async fn allows(&self, caller: &Caller, verb: &str, subresource: &str) -> Result<bool, String>;
    /// Whose token it is; None: nobody's.
    async fn owner(&self, token: &str) -> Result<Option<Caller>, String>;
}

/// Remembers the answers of another.
pub(crate) struct Remembering<A> {
    inner: A,
    /// By the digest of a token: the token itself is not kept.
    owners: Cache<[u8; 32], Caller>,
    /// Apart from those that are known: made-up ones must not drive them out.
    refused: Cache<[u8; 32], ()>,
    /// Reviews of tokens that are under way.
    reviews: Semaphore,
    allowed: Cache<(Caller, String, String), bool>,
}

impl<A> Remembering<A> {
    pub(crate) fn new(inner: A) -> Self {
        Self {
            inner,
            owners: Cache::new(),
            refused: Cache::new(),
            reviews: Semaphore::new(MOST_REVIEWS),
            allowed: Cache::new(),
        }
    }
}

#[async_trait]
impl<A: Authorizer> Authorizer for Remembering<A> {
    async fn allows(&self, caller: &Caller, verb: &str, subresource: &str) -> Result<bool, String> {
        let question = (caller.clone(), verb.to_owned(), subresource.to_owned());
        if let Some(known) = self.allowed.get(&question, Instant::now()) {
            return Ok(known);
        }
        let allowed = self.inner.allows(caller, verb, subresource).await?;
        let valid = if allowed { ALLOWED_CACHE } else { DENIED_CACHE };
        self.allowed.put(question, allowed, valid, Instant::now());
        Ok(allowed)
    }

    async fn owner(&self, token: &str) -> Result<Option<Caller>, String> {
        let digest: [u8; 32] = Sha256::digest(token).into();
        let now = Instant::now();
        if let Some(known) = self.owners.get(&digest, now) {
            return Ok(Some(known));
        }
        if self.refused.get(&digest, now).is_some() {
            return Ok(None);
        }
        let Ok(_place) = self.reviews.try_acquire() else {
            return Err("too many tokens are being reviewed".to_owned());
        };
        let owner = self.inner.owner(token).await?;
        match &owner {
            Some(owner) => self.owners.put(digest, owner.clone(), TOKEN_CACHE, Instant::now()),
            None => self.refused.put(digest, (), REFUSED_TOKEN_CACHE, Instant::now()),
        }
        Ok(owner)
    }
}

/// The token of a request that has one.
fn token(headers: &HeaderMap) -> Option<String> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    let fits = scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && token.len() <= LONGEST_TOKEN;
    fits.then(|| token.to_owned())
}

/// Whose token it is. One that cannot be reviewed is nobody's.
async fn owner(authorizer: &dyn Authorizer, token: &str) -> Option<Caller> {
    authorizer.owner(token).await.unwrap_or_else(|error| {
        warn!(error, "a token could not be reviewed");
        None
    })
}

/// Middleware around every route, unknown paths included.
pub(crate) async fn check(State(authorizer): State<Arc<dyn Authorizer>>, request: Request, next: Next) -> Response {
    let by_certificate = request.extensions().get::<Caller>().cloned();
    let token = token(request.headers()).filter(|_| by_certificate.is_none());
    let caller = match token {
        Some(token) => owner(&*authorizer, &token).await,
        None => by_certificate,
    };
    let Some(caller) = caller else {
        return (StatusCode::UNAUTHORIZED, "Unauthorized").into_response();
    };
    let path = request.uri().path();
    let verb = verb(request.method(), path);
    let subresources = subresources(path);
    for subresource in subresources {
        match authorizer.allows(&caller, verb, subresource).await {
            Ok(true) => {
                if let Some(known) = request.extensions().get::<Known>() {
                    known.0.store(true, Ordering::Relaxed);
                }
                return next.run(request).await;
            }
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

    /// Counts what it is asked.
    #[derive(Default)]
    struct Reviews(std::sync::Mutex<Vec<String>>);

    #[async_trait]
    impl Authorizer for Reviews {
        async fn allows(&self, caller: &Caller, verb: &str, subresource: &str) -> Result<bool, String> {
            self.0.lock().unwrap().push(format!("{} {verb} {subresource}", caller.user));
            if caller.user == "broken" { Err("away".to_owned()) } else { Ok(caller.user == "good") }
        }
        async fn owner(&self, token: &str) -> Result<Option<Caller>, String> {
            self.0.lock().unwrap().push(token.to_owned());
            Ok((token == "known").then(|| Caller { user: "good".to_owned(), ..Caller::default() }))
        }
    }

    #[tokio::test]
    async fn what_was_answered_is_not_asked_again_and_what_could_not_be_is() {
        let remembering = Remembering::new(Reviews::default());
        let caller = |user: &str| Caller { user: user.to_owned(), ..Caller::default() };
        for _ in 0..3 {
            assert_eq!(remembering.allows(&caller("good"), "get", "stats").await, Ok(true));
            assert_eq!(remembering.allows(&caller("bad"), "get", "stats").await, Ok(false));
            assert_eq!(remembering.owner("known").await.unwrap().unwrap().user, "good");
            assert_eq!(remembering.owner("made up").await, Ok(None));
        }
        let asked = ["good get stats", "bad get stats", "known", "made up"];
        assert_eq!(*remembering.inner.0.lock().unwrap(), asked);
        remembering.allows(&caller("good"), "create", "stats").await.unwrap();
        for _ in 0..2 {
            remembering.allows(&caller("broken"), "get", "stats").await.unwrap_err();
        }
        assert_eq!(remembering.inner.0.lock().unwrap().len(), asked.len() + 3);
    }

    #[test]
    fn a_bearer_token_is_read_and_nothing_else_is_one() {
        let read = |value: &str| token(&[(AUTHORIZATION, value.parse().unwrap())].into_iter().collect());
        assert_eq!(read("Bearer abc"), Some("abc".to_owned()));
        assert_eq!(read("bearer  abc "), Some("abc".to_owned()));
        for none in ["Basic abc", "Bearer", "Bearer ", "abc"] {
            assert_eq!(read(none), None, "{none}");
        }
        assert_eq!(read(&format!("Bearer {}", "a".repeat(LONGEST_TOKEN + 1))), None);
    }
}
