//! A kubeconfig for a node that has none yet.
//!
//! In: a kubeconfig with just the right to ask (a bootstrap token). Out: the node's own, with a certificate that renews itself. Invariant: a kubeconfig
//! that can be used is not touched.
//! Source: <https://kubernetes.io/docs/reference/access-authn-authz/kubelet-tls-bootstrapping/>.

use std::path::{Path, PathBuf};

use kube::config::{
    AuthInfo, Cluster, Context, Kubeconfig, KubeconfigError, NamedAuthInfo, NamedCluster, NamedContext,
};
use tracing::info;

use super::client;
use super::client::certificate::CertifiedUser;
use super::signing::ClusterSigner;
use crate::certificates::{Store, Wanted, obtain, write_private};

/// What all entries of the kubeconfig are called.
const NAME: &str = "pluglet";

/// Why there is no kubeconfig.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot use kubeconfig {}", path.display())]
    Kubeconfig {
        path: PathBuf,
        #[source]
        source: KubeconfigError,
    },
    #[error("{} names no cluster in its current context", .0.display())]
    NoCluster(PathBuf),
    #[error("the API server cannot be used")]
    Client(#[source] client::Error),
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
    let wanted = Wanted::client(node_name);
    let store = Store::new(state_dir, &wanted);
    if store.load(&wanted).is_none() {
        let client = client::single(bootstrap).await.map_err(Error::Client)?;
        obtain(&wanted, &store, &ClusterSigner::new(client)).await;
    }
    let text = serde_saphyr::to_string(&with_certificate(cluster, store.current())).map_err(Error::Text)?;
    write_private(kubeconfig, text.as_bytes())
        .map_err(|source| Error::Write { path: kubeconfig.to_owned(), source })?;
    info!(file = %kubeconfig.display(), "wrote the node's kubeconfig");
    Ok(())
}

/// Of none is one that is not there, or whose certificate is over or gone. What has no certificate at all was not made here.
fn is_of_use(path: &Path) -> Result<bool, Error> {
    if !path.exists() {
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
    let config = Kubeconfig::read_from(path).map_err(|source| Error::Kubeconfig { path: path.to_owned(), source })?;
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
