//! The clients of the API server.
//!
//! In: a kubeconfig. Out: [`Clients`]. Invariant: the lease has a connection of its own; nothing else can keep it from being renewed.

pub(super) mod certificate;
mod connection;

use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::config::{AuthInfo, Cluster, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use pluglet_credentials::FileError;

use super::streams::Streams;
use certificate::CertifiedUser;
pub(crate) use connection::Connector;

/// Calls under way at once on the connection that most calls take. More would only queue in the API server, and be counted against this
/// identity by its priority-and-fairness levels.
pub(super) const WORKLOAD_CONCURRENCY: usize = 64;
/// Reviews under way at once.
const REVIEW_CONCURRENCY: usize = 16;
/// The node makes one call at a time; two leave room for one that hangs.
const NODE_CONCURRENCY: usize = 2;
/// For the first word of the API server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

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
    /// The file of the client certificate, if it is in one.
    pub certificate_file: Option<PathBuf>,
    /// Who this is to the API server, if a client certificate says it.
    pub user: Option<String>,
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
    /// The file of a client certificate or of its key.
    #[error("the client certificate of the kubeconfig cannot be used")]
    Certificate(#[source] FileError),
    /// It would be left out, and the cluster not be reached or be reached another way than the operator wants. Not repeated: it may have a
    /// password in it.
    #[error("the proxy-url in kubeconfig {} is not supported: give one that reaches the API server directly", .0.display())]
    Proxy(PathBuf),
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
        Some(path) => read(path).await?,
        None => Config::incluster().map_err(Error::InCluster)?,
    };
    let cluster_ca = match (&config.root_cert, &config.root_cert_file) {
        (Some(certificates), _) => certificates.clone(),
        (None, Some(file)) => super::access::read_certificates(file).unwrap_or_default(),
        (None, None) => vec![],
    };
    let connector = Connector::new(config.clone())?;
    let of = |concurrency| {
        let failed = |source| Error::Client { server: config.cluster_url.to_string(), source };
        connector.client(concurrency, false).map_err(failed)
    };
    Ok(Clients {
        lease: of(NODE_CONCURRENCY)?,
        node: of(NODE_CONCURRENCY)?,
        workload: of(WORKLOAD_CONCURRENCY)?,
        reviews: of(REVIEW_CONCURRENCY)?,
        cluster_ca,
        server: config.cluster_url.clone(),
        user: CertifiedUser::of(&config.auth_info).map(|certified| certified.name),
        certificate_file: config.auth_info.client_certificate.as_ref().map(PathBuf::from),
        streams: Streams::new(connector),
    })
}

/// Cluster and user of the current context, as they are written.
pub(super) fn current(kubeconfig: &Kubeconfig) -> (Option<&Cluster>, Option<&AuthInfo>) {
    let name = kubeconfig.current_context.as_deref().unwrap_or_default();
    let context =
        kubeconfig.contexts.iter().find(|context| context.name == name).and_then(|named| named.context.as_ref());
    let Some(context) = context else { return (None, None) };
    let cluster = kubeconfig.clusters.iter().find(|cluster| cluster.name == context.cluster);
    let user = kubeconfig.auth_infos.iter().find(|user| Some(&user.name) == context.user.as_ref());
    (cluster.and_then(|named| named.cluster.as_ref()), user.and_then(|named| named.auth_info.as_ref()))
}

/// A client that needs no other beside it.
pub(super) async fn single(kubeconfig: &Path) -> Result<Client, Error> {
    let config = read(kubeconfig).await?;
    let server = config.cluster_url.to_string();
    let client = Connector::new(config)?.client(NODE_CONCURRENCY, false);
    client.map_err(|source| Error::Client { server, source })
}

/// A kubeconfig, as it is written but for paths, which count from its folder.
pub(super) fn load(path: &Path) -> Result<Kubeconfig, Error> {
    Kubeconfig::read_from(path).map_err(|source| Error::Kubeconfig { path: path.to_owned(), source })
}

/// What a kubeconfig says, for its current context.
async fn read(path: &Path) -> Result<Config, Error> {
    let kubeconfig = load(path)?;
    // Looked for here: kube's own field is also set by HTTPS_PROXY, and proxies of the environment are not used.
    if current(&kubeconfig).0.is_some_and(|cluster| cluster.proxy_url.is_some()) {
        return Err(Error::Proxy(path.to_owned()));
    }
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    config.map_err(|source| Error::Kubeconfig { path: path.to_owned(), source })
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
