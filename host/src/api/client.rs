//! The HTTP/2 client stack under kube.
//!
//! In: a kubeconfig. Out: [`Clients`]. Invariant: the lease has a connection of its own; nothing else can keep it from being renewed.
//!
//! kube's own stack speaks HTTP/1.1, so each watch and each call under way would cost a connection, and its default retry can hold a
//! call for minutes. Here a connection carries all calls of its kind, and whoever calls decides about retries.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::ConfigExt;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use tower::{BoxError, ServiceBuilder};

use super::streams::Streams;

/// Calls under way at once on the workload connection. More would only queue in the API server, and be counted against this
/// identity by its priority-and-fairness levels.
const WORKLOAD_CONCURRENCY: usize = 64;
/// Reviews under way at once.
const REVIEW_CONCURRENCY: usize = 16;
/// The node makes one call at a time; two leave room for one that hangs.
const NODE_CONCURRENCY: usize = 2;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
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

/// How long a call other than a watch may take.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// The clients of this process.
#[derive(Clone)]
pub(crate) struct Clients {
    /// The lease alone.
    pub lease: Client,
    /// The Node object.
    pub node: Client,
    /// Everything else.
    pub workload: Client,
    /// Questions about callers of the node's server: whoever calls it must not hold up the pods.
    pub reviews: Client,
    /// Room for the watches of what pods name.
    pub streams: Streams,
    /// The certificate authorities that the kubeconfig trusts, DER.
    pub cluster_ca: Vec<Vec<u8>>,
    /// Host and port of the API server.
    pub server: http::Uri,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The file cannot be read or parsed.
    #[error("cannot use kubeconfig {}", path.display())]
    Kubeconfig {
        path: PathBuf,
        #[source]
        source: KubeconfigError,
    },
    /// No `--kubeconfig` and not in a pod.
    #[error(
        "no cluster to connect to: give --kubeconfig FILE (or set KUBECONFIG), or run inside a pod with a service account"
    )]
    InCluster(#[source] kube::config::InClusterError),
    /// TLS or authentication settings do not work.
    #[error("cannot make a client for {server}")]
    Client {
        server: String,
        #[source]
        source: kube::Error,
    },
}

/// Reads the configuration and makes the clients. Connects to nothing yet.
pub(crate) async fn connect(kubeconfig: Option<&Path>) -> Result<Clients, Error> {
    let config = match kubeconfig {
        Some(path) => read(path).await.map_err(|source| Error::Kubeconfig { path: path.to_owned(), source })?,
        None => Config::incluster().map_err(Error::InCluster)?,
    };
    let failed = |source| Error::Client { server: config.cluster_url.to_string(), source };
    let cluster_ca = match (&config.root_cert, &config.root_cert_file) {
        (Some(certificates), _) => certificates.clone(),
        (None, Some(file)) => super::access::read_certificates(file).unwrap_or_default(),
        (None, None) => vec![],
    };
    let protocol = Protocol::default();
    let of = |concurrency| client(&config, concurrency, &protocol, false);
    Ok(Clients {
        lease: of(NODE_CONCURRENCY).map_err(failed)?,
        node: of(NODE_CONCURRENCY).map_err(failed)?,
        workload: of(WORKLOAD_CONCURRENCY).map_err(failed)?,
        reviews: of(REVIEW_CONCURRENCY).map_err(failed)?,
        cluster_ca,
        server: config.cluster_url.clone(),
        streams: Streams::new(Arc::new(config), protocol),
    })
}

async fn read(path: &Path) -> Result<Config, KubeconfigError> {
    let kubeconfig = Kubeconfig::read_from(path)?;
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await
}

/// Whether the API server's last answer came over HTTP/2. Nearly all speak it; what stands before one may not.
#[derive(Clone, Default)]
pub(crate) struct Protocol(Arc<AtomicBool>);

impl Protocol {
    pub(crate) fn is_http2(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn heard(&self, version: http::Version) {
        self.0.store(version == http::Version::HTTP_2, Ordering::Relaxed);
    }
}

/// A client for watches, with a connection of its own.
pub(crate) fn watching(config: &Config, protocol: &Protocol, http2_only: bool) -> Result<Client, kube::Error> {
    client(config, WORKLOAD_CONCURRENCY, protocol, http2_only)
}

/// With `http2_only` calls that come together wait for one connection. Without, each of them begins one of its own and all but one are
/// thrown away, since HTTP/1.1 would need them: eighty TLS handshakes for the first eighty watches.
fn client(config: &Config, concurrency: usize, protocol: &Protocol, http2_only: bool) -> Result<Client, kube::Error> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    tcp.set_keepalive(Some(PING_EVERY));
    tcp.set_tcp_user_timeout(Some(DEAD_PEER));
    let tls = HttpsConnectorBuilder::new().with_tls_config(config.rustls_client_config()?).https_or_http();
    let connector = if http2_only { tls.enable_http2() } else { tls.enable_all_versions() }.wrap_connector(tcp);
    let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .http2_only(http2_only)
        .http2_keep_alive_interval(Some(PING_EVERY))
        .http2_keep_alive_timeout(PING_TIMEOUT)
        .http2_keep_alive_while_idle(true)
        .http2_initial_stream_window_size(STREAM_WINDOW)
        .http2_initial_connection_window_size(CONNECTION_WINDOW)
        .build(connector);
    let protocol = protocol.clone();
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .map_request(with_user_agent)
        .map_err(BoxError::from)
        .concurrency_limit(concurrency)
        .map_response(move |response: http::Response<hyper::body::Incoming>| {
            protocol.heard(response.version());
            response
        })
        .service(http);
    Ok(Client::new(service, config.default_namespace.clone()))
}

fn with_user_agent<B>(mut request: http::Request<B>) -> http::Request<B> {
    let agent = http::HeaderValue::from_static(concat!("pluglet/", env!("CARGO_PKG_VERSION")));
    request.headers_mut().insert(http::header::USER_AGENT, agent);
    request
}

/// The API server's minor version; None when it does not say in time.
pub(crate) async fn server_minor(client: &Client) -> Option<u32> {
    let version = tokio::time::timeout(CONNECT_TIMEOUT, client.apiserver_version()).await.ok()?.ok()?;
    // Some distributions write "34+".
    version.minor.trim_end_matches(|c: char| !c.is_ascii_digit()).parse().ok()
}

/// Puts [`CALL_TIMEOUT`] around a call.
pub(crate) async fn within<T>(call: impl Future<Output = kube::Result<T>>) -> kube::Result<T> {
    match tokio::time::timeout(CALL_TIMEOUT, call).await {
        Ok(outcome) => outcome,
        Err(elapsed) => Err(kube::Error::Service(elapsed.into())),
    }
}
