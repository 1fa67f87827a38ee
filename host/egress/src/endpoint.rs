//! One endpoint: its connections, its credential, its places.
//!
//! In: a [`Right`]; a checked request with its body. Out: a response's head, with what has to be masked in it. Invariant: certificates are
//! always checked; the credential is added to a request whose every other byte is fixed; a 401 makes one more attempt with a fresh
//! credential, never two.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use pluglet_credentials::{Applied, Credential, CredentialError, Payload, tls};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tracing::warn;

use crate::check::Checked;
use crate::connect::{ConnectError, Connector, Resolve};
use crate::egress::places;
use crate::error::{Error, Refusal};
use crate::fetch::word;
use crate::grant::Right;
use crate::mask::{Mask, Suspicions};
use crate::metrics::EndpointMetrics;
use crate::rate::Rate;
use crate::seldom::Seldom;

/// Connections kept open to one endpoint. As many as requests may be under way by default; more would only be cut by the backend.
const IDLE_CONNECTIONS: usize = 64;

/// The same for a range of hosts or addresses, where the number counts for each of them: a provider that goes through the names of a
/// wildcard would leave as many open connections behind as it finds names in [`IDLE_TIMEOUT`].
const IDLE_CONNECTIONS_OF_A_RANGE: usize = 0;

/// How long an unused connection is kept. Shorter than the minute after which many load balancers forget it without a word.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);

/// Bytes of an answer's head. A peer could otherwise send headers without end.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// Bytes of one HTTP/2 answer that may be on their way before somebody reads them. All streams of a connection together may have the sum of
/// it: with less room, one answer that nobody reads (a log that is followed) would block all others.
const STREAM_WINDOW: u32 = 512 << 10;

/// The largest window of HTTP/2 (RFC 9113 section 6.9.1).
const MAX_WINDOW: u32 = (1 << 31) - 1;

/// How often an HTTP/2 connection is asked whether it still lives, and how long it has to answer.
const PING: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));

const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("pluglet/", env!("CARGO_PKG_VERSION")));

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Body = UnsyncBoxBody<Bytes, BoxError>;
type HttpClient = Client<HttpsConnector<Connector>, Body>;

/// Why an endpoint cannot be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Certificates.
    #[error("endpoint `{endpoint}`: TLS cannot be set up")]
    Tls {
        /// Its name.
        endpoint: String,
        /// Why.
        #[source]
        source: tls::TlsError,
    },
    /// The name that the server shall have.
    #[error("endpoint `{endpoint}`: `{name}` is not a server name")]
    ServerName {
        /// Its name.
        endpoint: String,
        /// As given.
        name: String,
    },
    /// The credential.
    #[error("endpoint `{endpoint}`: the credential cannot be used")]
    Credential {
        /// Its name.
        endpoint: String,
        /// Why.
        #[source]
        source: CredentialError,
    },
}

/// An endpoint with its connections.
pub(crate) struct Endpoint {
    pub(crate) right: Right,
    pub(crate) metrics: EndpointMetrics,
    pub(crate) requests: Semaphore,
    pub(crate) streams: Arc<Semaphore>,
    rate: Option<Rate>,
    credential: Option<Credential>,
    client: HttpClient,
    /// HTTP/1.1 only: in HTTP/2 a connection cannot stop being HTTP.
    upgrading: HttpClient,
    pub(crate) suspicions: Suspicions,
    /// For requests that are not sent for want of a credential.
    told: Mutex<Seldom>,
}

/// A response whose body is still to come.
pub(crate) struct Exchange {
    pub(crate) response: Response<Incoming>,
    pub(crate) mask: Mask,
    /// Whether the host identified itself: with a credential, or with its certificate.
    pub(crate) authorized: bool,
    applied: Option<Applied>,
}

/// Which connections are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    /// Those that are kept.
    Pool,
    /// One that will stop being HTTP.
    Upgrading,
}

impl Endpoint {
    pub(crate) fn bind(right: Right, metrics: EndpointMetrics, resolver: Arc<dyn Resolve>) -> Result<Self, BindError> {
        let endpoint = || right.name.clone();
        let credential = match &right.grant.auth {
            Some(auth) => {
                Some(Credential::new(auth).map_err(|source| BindError::Credential { endpoint: endpoint(), source })?)
            }
            None => None,
        };
        let connector = Connector::new(&right.grant, resolver);
        let limits = &right.grant.limits;
        Ok(Self {
            client: client(&right, connector.clone(), true)?,
            upgrading: client(&right, connector, false)?,
            requests: places(limits.concurrency),
            streams: Arc::new(places(limits.concurrency)),
            rate: limits.requests_per_second.map(Rate::new),
            credential,
            metrics,
            right,
            suspicions: Suspicions::default(),
            told: Mutex::default(),
        })
    }

    /// Headers that only the host sets.
    pub(crate) fn owned_headers(&self) -> &[http::HeaderName] {
        self.credential.as_ref().map_or(&[], Credential::headers)
    }

    /// What was refused for want of room is counted, though it never began.
    pub(crate) fn counted<T>(&self, outcome: Result<T, Error>) -> Result<T, Error> {
        outcome.inspect_err(|error| self.metrics.ended(word(Err(error)), 0.0))
    }

    /// Wait until the rate allows another request.
    pub(crate) async fn turn(&self) {
        if let Some(rate) = &self.rate {
            rate.turn().await;
        }
    }

    /// Send a request whose body is whole; with a fresh credential once more when the first was refused.
    pub(crate) async fn exchange(&self, checked: Checked, body: Bytes, via: Via) -> Result<Exchange, Error> {
        let Some(credential) = &self.credential else {
            return self.attempt(checked, Payload::Bytes(&[]), whole(body), via).await;
        };
        let first = self.attempt(checked.clone(), Payload::Bytes(&body), whole(body.clone()), via).await?;
        let refused = first.response.status() == StatusCode::UNAUTHORIZED
            && first.applied.as_ref().is_some_and(|applied| credential.rejected(applied));
        if !refused {
            return Ok(first);
        }
        drop(first);
        self.attempt(checked, Payload::Bytes(&body), whole(body.clone()), via).await
    }

    /// Send a request once. After a 401 the credential is renewed for the next one.
    pub(crate) async fn stream(&self, checked: Checked, body: Body) -> Result<Exchange, Error> {
        let exchange = self.attempt(checked, Payload::Streamed, body, Via::Pool).await?;
        if exchange.response.status() == StatusCode::UNAUTHORIZED
            && let (Some(credential), Some(applied)) = (&self.credential, &exchange.applied)
        {
            credential.rejected(applied);
        }
        Ok(exchange)
    }

    async fn attempt(&self, checked: Checked, payload: Payload<'_>, body: Body, via: Via) -> Result<Exchange, Error> {
        let (mut head, body) = Request::new(body).into_parts();
        head.method = checked.method;
        head.uri = checked.uri;
        head.headers = checked.headers;
        head.headers.entry(header::USER_AGENT).or_insert(USER_AGENT);
        let mut applied = None;
        if let Some(credential) = &self.credential {
            // Of a compressed answer nobody could tell whether it holds the credential.
            head.headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            let done = credential.authorize(&mut head, payload).await;
            applied = Some(done.map_err(|error| self.without_credential(&error))?);
        }
        let client = match via {
            Via::Pool => &self.client,
            Via::Upgrading => &self.upgrading,
        };
        let mask = applied.as_ref().map(|applied| Mask::new(applied.secrets())).unwrap_or_default();
        let response =
            client.request(Request::from_parts(head, body)).await.map_err(|error| classify(&error, &mask))?;
        let authorized = applied.is_some() || self.right.grant.tls.client_certificate.is_some();
        Ok(Exchange { response, mask, authorized, applied })
    }

    fn without_credential(&self, error: &CredentialError) -> Error {
        // Each request comes here while the token server is away; the operator needs to read it now and then.
        let due = self.told.lock().unwrap_or_else(PoisonError::into_inner).admit(Instant::now());
        if due.is_some() {
            let endpoint = &self.right.name;
            let error = error as &dyn std::error::Error;
            warn!(endpoint, error, "no credential for the endpoint: its requests are not sent");
        }
        Error::Credential { transient: error.is_transient() }
    }
}

fn whole(body: Bytes) -> Body {
    Full::new(body).map_err(|never| match never {}).boxed_unsync()
}

fn client(right: &Right, connector: Connector, http2: bool) -> Result<HttpClient, BindError> {
    let grant = &right.grant;
    let tls_failed = |source| BindError::Tls { endpoint: right.name.clone(), source };
    let options = if grant.target.is_tls() {
        grant.tls.clone()
    } else {
        // Without TLS the system's certificates are not needed, and a bare container image has none to load.
        tls::TlsOptions { system_roots: false, ..tls::TlsOptions::default() }
    };
    let config = tls::client_config(&options).map_err(tls_failed)?;
    let builder = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http();
    let builder = match &grant.server_name {
        Some(name) => {
            let parsed = rustls::pki_types::ServerName::try_from(name.clone());
            let parsed =
                parsed.map_err(|_| BindError::ServerName { endpoint: right.name.clone(), name: name.clone() })?;
            builder.with_server_name_resolver(FixedServerNameResolver::new(parsed))
        }
        None => builder,
    };
    let connector = if http2 {
        builder.enable_all_versions().wrap_connector(connector)
    } else {
        builder.enable_http1().wrap_connector(connector)
    };
    let idle = if grant.target.is_range() { IDLE_CONNECTIONS_OF_A_RANGE } else { IDLE_CONNECTIONS };
    // Requests and streams are counted apart.
    let answers = u32::try_from(grant.limits.concurrency).unwrap_or(u32::MAX).saturating_mul(2);
    Ok(Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_max_idle_per_host(idle)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .http1_max_buf_size(MAX_HEAD_BYTES)
        .http2_max_header_list_size(MAX_HEAD_BYTES as u32)
        .http2_initial_stream_window_size(STREAM_WINDOW)
        .http2_initial_connection_window_size(STREAM_WINDOW.saturating_mul(answers).min(MAX_WINDOW))
        .http2_keep_alive_interval(PING.0)
        .http2_keep_alive_timeout(PING.1)
        .build(connector))
}

/// Which of the cases a failure is.
fn classify(error: &legacy::Error, mask: &Mask) -> Error {
    from_source(error, error.is_connect(), mask)
}

/// The same for a body that broke off.
pub(crate) fn body_failed(error: &hyper::Error, mask: &Mask) -> Error {
    from_source(error, false, mask)
}

/// The text may have words of the peer, such as those of HTTP/2 when it goes away.
fn from_source(error: &(dyn std::error::Error + 'static), connecting: bool, mask: &Mask) -> Error {
    let mut text = String::new();
    let mut broken = connecting;
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(ConnectError::Forbidden { host, address, class }) = inner.downcast_ref() {
            return Error::Denied(Refusal::Address { host: host.clone(), address: *address, class: *class });
        }
        if inner.is::<http_body_util::LengthLimitError>() {
            return Error::TooLarge;
        }
        if let Some(late) = inner.downcast_ref::<crate::outflow::TrailersRefused>() {
            return Error::Denied(Refusal::Header(late.0.clone()));
        }
        // The HTTP stack tells broken framing with these two kinds.
        broken |= inner
            .downcast_ref::<std::io::Error>()
            .is_some_and(|io| !matches!(io.kind(), std::io::ErrorKind::InvalidData | std::io::ErrorKind::InvalidInput));
        broken |= inner
            .downcast_ref::<hyper::Error>()
            .is_some_and(|error| error.is_incomplete_message() || error.is_closed());
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    if text.is_empty() {
        text = error.to_string();
    }
    let text = mask.text(text.as_bytes());
    if broken { Error::Connect(text) } else { Error::Protocol(text) }
}
