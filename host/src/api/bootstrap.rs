//! A kubeconfig for a node that has none yet.
//!
//! In: a kubeconfig with just the right to ask (a bootstrap token). Out: the node's own, with a certificate that renews itself. Invariant: a kubeconfig
//! that can be used is not touched.
//! Source: <https://kubernetes.io/docs/reference/access-authn-authz/kubelet-tls-bootstrapping/>.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use kube::config::{AuthInfo, Cluster, Context, Kubeconfig, NamedAuthInfo, NamedCluster, NamedContext};
use tracing::info;

use super::client;
use super::client::certificate::CertifiedUser;
use super::signing::ClusterSigner;
use crate::certificates::{Request, Signer, SigningError, Store, Wanted, obtain, store, write_private};

/// What all entries of the kubeconfig are called.
const NAME: &str = "pluglet";

/// Why there is no kubeconfig.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{} names no cluster in its current context", .0.display())]
    NoCluster(PathBuf),
    #[error(transparent)]
    Client(client::Error),
    #[error("cannot keep a key for the node's certificate")]
    Store(#[source] store::Error),
    #[error("the folder that pluglet runs in is gone")]
    Folder(#[source] std::io::Error),
    #[error("the kubeconfig cannot be written as YAML")]
    Text(#[source] serde_saphyr::ser::Error),
    #[error("cannot write kubeconfig {}", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

/// Makes `kubeconfig` with the identity of `bootstrap`, unless it is there and of use. Waits until the certificate is signed.
pub(crate) async fn kubeconfig(
    bootstrap: &Path,
    kubeconfig: &Path,
    node_name: &str,
    state_dir: &Path,
) -> Result<(), Error> {
    if is_of_use(kubeconfig)? {
        return Ok(());
    }
    let cluster = cluster(bootstrap)?;
    let unwritable = |source| Error::Write { path: kubeconfig.to_owned(), source };
    let wanted = Wanted::client(node_name);
    let store = Store::new(state_dir, &wanted);
    if store.load(&wanted).is_none() {
        // Before anybody is asked to approve something: both files can be written.
        store.pending_key().map_err(Error::Store)?;
        store::check_writable(kubeconfig).map_err(unwritable)?;
        obtain(&wanted, &store, &Bootstrapping(bootstrap.to_owned())).await;
    }
    let text = serde_saphyr::to_string(&with_certificate(cluster, store.current())).map_err(Error::Text)?;
    write_private(kubeconfig, text.as_bytes()).map_err(unwritable)?;
    info!(file = %kubeconfig.display(), "wrote the node's kubeconfig");
    Ok(())
}

/// Asks with what the bootstrap kubeconfig says at that moment: its token may be over, and be exchanged for another one meanwhile.
struct Bootstrapping(PathBuf);

#[async_trait]
impl Signer for Bootstrapping {
    async fn sign(&self, request: &Request) -> Result<String, SigningError> {
        let refused = |message: String| SigningError::Refused { name: request.name.clone(), message };
        let client = client::single(&self.0).await.map_err(|error| refused(pluglet_model::chain(&error)))?;
        match ClusterSigner::new(client).sign(request).await {
            Err(SigningError::Refused { message, .. }) => {
                Err(refused(format!("{message}; it was made with {}, which is read again each time", self.0.display())))
            }
            decided => decided,
        }
    }
}

/// Of none is one that is not there or empty, or whose certificate is over or gone. What has no certificate at all was not made here.
fn is_of_use(path: &Path) -> Result<bool, Error> {
    if std::fs::metadata(path).map_or(true, |metadata| metadata.len() == 0) {
        return Ok(false);
    }
    let auth = current(path)?.1;
    let has_one = auth.client_certificate.is_some() || auth.client_certificate_data.is_some();
    Ok(!has_one || CertifiedUser::of(&auth).is_some_and(|certified| !certified.expired))
}

/// The cluster, good for a kubeconfig in any folder.
fn cluster(path: &Path) -> Result<Cluster, Error> {
    let mut cluster = current(path)?.0.ok_or_else(|| Error::NoCluster(path.to_owned()))?;
    if let Some(file) = &cluster.certificate_authority {
        let file = std::path::absolute(file).map_err(Error::Folder)?;
        cluster.certificate_authority = Some(file.display().to_string());
    }
    Ok(cluster)
}

/// Cluster and user of the current context.
fn current(path: &Path) -> Result<(Option<Cluster>, AuthInfo), Error> {
    let config = client::load(path).map_err(Error::Client)?;
    let (cluster, user) = client::current(&config);
    Ok((cluster.cloned(), user.cloned().unwrap_or_default()))
}

fn with_certificate(cluster: Cluster, certificate: &Path) -> Kubeconfig {
    let file = Some(certificate.display().to_string());
    let user = AuthInfo { client_certificate: file.clone(), client_key: file, ..AuthInfo::default() };
    let context = Context { cluster: NAME.to_owned(), user: Some(NAME.to_owned()), ..Context::default() };
    let name = || NAME.to_owned();
    Kubeconfig {
        api_version: Some("v1".to_owned()),
        kind: Some("Config".to_owned()),
        clusters: vec![NamedCluster { name: name(), cluster: Some(cluster), ..NamedCluster::default() }],
        auth_infos: vec![NamedAuthInfo { name: name(), auth_info: Some(user), ..NamedAuthInfo::default() }],
        contexts: vec![NamedContext { name: name(), context: Some(context), ..NamedContext::default() }],
        current_context: Some(name()),
        ..Kubeconfig::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read_and_is_of_use_as_long_as_its_certificate_is() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let bootstrap = "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
            clusters: [{name: k, cluster: {server: 'https://10.0.0.1:6443', certificate-authority: ca.crt}}]\n\
            users: [{name: u, user: {token: abcdef.0123456789abcdef}}]\n\
            contexts: [{name: c, context: {cluster: k, user: u}}]\n";
        std::fs::write(at("bootstrap"), bootstrap).unwrap();
        // Made by somebody else, and not to be touched.
        assert!(is_of_use(&at("bootstrap")).unwrap());
        assert!(!is_of_use(&at("kubeconfig")).unwrap());
        let config = with_certificate(cluster(&at("bootstrap")).unwrap(), &at("pair.pem"));
        let text = serde_saphyr::to_string(&config).unwrap();
        std::fs::write(at("kubeconfig"), &text).unwrap();
        assert!(!text.contains("0123456789abcdef"));
        assert!(!is_of_use(&at("kubeconfig")).unwrap(), "its certificate is gone");
        let made = rcgen::generate_simple_self_signed([]).unwrap();
        std::fs::write(at("pair.pem"), format!("{}{}", made.cert.pem(), made.signing_key.serialize_pem())).unwrap();
        assert!(is_of_use(&at("kubeconfig")).unwrap());
        let (cluster, user) = current(&at("kubeconfig")).unwrap();
        let authority = at("ca.crt").display().to_string();
        assert_eq!(cluster.unwrap().certificate_authority, Some(authority));
        assert_eq!(user.client_key, Some(at("pair.pem").display().to_string()));
    }
}
