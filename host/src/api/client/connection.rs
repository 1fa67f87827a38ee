//! The HTTP/2 client stack under kube.
//!
//! In: the configuration of a cluster. Out: clients. Invariant: a client has at most one connection that new calls take; after the client
//! certificate has been renewed they take a new one.
//!
//! kube's own stack speaks HTTP/1.1, so each watch and each call under way would cost a connection, its default retry can hold a call for minutes,
//! and it reads a client certificate once. Here a connection carries all calls of its kind, and whoever calls decides about retries.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, ResponseFuture};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::{Body, ConfigExt};
use kube::{Client, Config};
use pluglet_credentials::tls::{ClientCertificate, Identity};
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use tower::{BoxError, Service, ServiceBuilder};

use super::{CONNECT_TIMEOUT, Error};

/// A peer that does not acknowledge for so long is gone: the next call dials anew.
const DEAD_PEER: Duration = Duration::from_secs(15);
/// How often an idle connection is probed.
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of one answer that may be on their way unread. The API server closes a watch whose reader falls behind, and with HTTP/2's own
/// 64 KiB a dozen pods are behind. Go's clients have the same.
const STREAM_WINDOW: u32 = 4 << 20;
/// The same for all answers of a connection together: it bounds the memory that a burst can take here.
const CONNECTION_WINDOW: u32 = 16 << 20;

/// Makes clients of one cluster. Clones are the same.
#[derive(Clone)]
pub(crate) struct Connector {
    config: Arc<Config>,
    /// A client certificate in files. One that is written into the kubeconfig stays as it is.
    identity: Option<Arc<Identity>>,
    protocol: Protocol,
}

/// Whether the API server's last answer came over HTTP/2. Nearly all speak it; what stands before one may not.
#[derive(Clone, Default)]
struct Protocol(Arc<AtomicBool>);

impl Connector {
    /// Reads the client certificate, if there is one in files.
    pub(crate) fn new(mut config: Config) -> Result<Self, Error> {
        let identity = certificate_files(&config).map(Identity::open).transpose().map_err(Error::Certificate)?;
        if identity.is_some() {
            // Or each new client would read them by itself, also while one of the two has been replaced and the other not yet.
            (config.auth_info.client_certificate, config.auth_info.client_key) = (None, None);
        }
        Ok(Self { config: Arc::new(config), identity: identity.map(Arc::new), protocol: Protocol::default() })
    }

    /// Whether calls that come together can share a connection from the first.
    pub(crate) fn is_http2(&self) -> bool {
        self.protocol.0.load(Ordering::Relaxed)
    }

    /// A client with a connection of its own.
    ///
    /// With `http2_only` calls that come together wait for one connection. Without, each of them begins one of its own and all but one are
    /// thrown away, since HTTP/1.1 would need them: eighty TLS handshakes for the first eighty watches.
    pub(crate) fn client(&self, concurrency: usize, http2_only: bool) -> Result<Client, kube::Error> {
        let http = Renewing::new(Stack::new(&self.config, self.identity.as_ref(), http2_only)?, self.identity.clone());
        let protocol = self.protocol.clone();
        let service = ServiceBuilder::new()
            .layer(self.config.base_uri_layer())
            .option_layer(self.config.auth_layer()?)
            .map_request(with_user_agent)
            .map_err(BoxError::from)
            .concurrency_limit(concurrency)
            .map_response(move |response: http::Response<hyper::body::Incoming>| {
                protocol.0.store(response.version() == http::Version::HTTP_2, Ordering::Relaxed);
                response
            })
            .service(http);
        Ok(Client::new(service, self.config.default_namespace.clone()))
    }
}

/// As kube decides what counts: what is written into the kubeconfig goes before a file.
fn certificate_files(config: &Config) -> Option<ClientCertificate> {
    let auth = &config.auth_info;
    if auth.client_certificate_data.is_some() || auth.client_key_data.is_some() || auth.exec.is_some() {
        return None;
    }
    Some(ClientCertificate {
        certificate_file: auth.client_certificate.as_ref()?.into(),
        key_file: auth.client_key.as_ref()?.into(),
    })
}

fn with_user_agent<B>(mut request: http::Request<B>) -> http::Request<B> {
    let agent = http::HeaderValue::from_static(concat!("pluglet/", env!("CARGO_PKG_VERSION")));
    request.headers_mut().insert(http::header::USER_AGENT, agent);
    request
}

/// How connections are made.
#[derive(Clone)]
struct Stack {
    tls: ClientConfig,
    /// `tls-server-name`: whom the server's certificate must be for, where the address says something else.
    server_name: Option<ServerName<'static>>,
    http2_only: bool,
}

type Connections = legacy::Client<HttpsConnector<HttpConnector>, Body>;

impl Stack {
    fn new(config: &Config, identity: Option<&Arc<Identity>>, http2_only: bool) -> Result<Self, kube::Error> {
        let mut tls = config.rustls_client_config()?;
        if let Some(identity) = identity {
            tls.client_auth_cert_resolver = identity.clone();
            // A resumed session goes on with the certificate of the earlier one.
            tls.resumption = Resumption::disabled();
        }
        let server_name = config.tls_server_name.clone().map(ServerName::try_from).transpose();
        let server_name = server_name.map_err(|error| kube::Error::Service(error.into()))?;
        Ok(Self { tls, server_name, http2_only })
    }

    /// Without any connection yet.
    fn connections(&self) -> Connections {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        tcp.set_keepalive(Some(PING_EVERY));
        tcp.set_tcp_user_timeout(Some(DEAD_PEER));
        let mut tls = HttpsConnectorBuilder::new().with_tls_config(self.tls.clone()).https_or_http();
        if let Some(name) = &self.server_name {
            tls = tls.with_server_name_resolver(FixedServerNameResolver::new(name.clone()));
        }
        let connector =
            if self.http2_only { tls.enable_http2() } else { tls.enable_all_versions() }.wrap_connector(tcp);
        legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .http2_only(self.http2_only)
            .http2_keep_alive_interval(Some(PING_EVERY))
            .http2_keep_alive_timeout(PING_TIMEOUT)
            .http2_keep_alive_while_idle(true)
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_initial_connection_window_size(CONNECTION_WINDOW)
            .build(connector)
    }
}

/// Connections that are given up when the client certificate is another one: the API server asks each call who makes it, and the answer of a
/// connection is the certificate that it began with. Calls under way end on the old one.
#[derive(Clone)]
struct Renewing {
    stack: Stack,
    identity: Option<Arc<Identity>>,
    present: Arc<Mutex<(u64, Connections)>>,
}

impl Renewing {
    fn new(stack: Stack, identity: Option<Arc<Identity>>) -> Self {
        let version = identity.as_ref().map_or(0, |identity| identity.version());
        let present = Arc::new(Mutex::new((version, stack.connections())));
        Self { stack, identity, present }
    }

    fn connections(&self) -> Connections {
        let version = self.identity.as_ref().map_or(0, |identity| identity.version());
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        if present.0 != version {
            *present = (version, self.stack.connections());
        }
        present.1.clone()
    }
}

impl Service<http::Request<Body>> for Renewing {
    type Response = http::Response<hyper::body::Incoming>;
    type Error = legacy::Error;
    type Future = ResponseFuture;

    /// Always: calls wait for their connection after this.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        self.connections().request(request)
    }
}
