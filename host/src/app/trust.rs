//! Who the node is to others, and whom it believes.
//!
//! In: the command line. Out: the node's kubeconfig, what its server shows, whose certificates it believes. Invariant: the server has a certificate from
//! the first moment, and nothing is asked of the cluster before all that the operator gave is known to be usable.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use pluglet_credentials::tls as tls_files;
use pluglet_credentials::tls::{ClientCertificate, Identity};
use rustls::server::ResolvesServerCert;
use tracing::warn;

use super::error::Error;
use crate::api::access;
use crate::api::bootstrap;
use crate::api::client::Clients;
use crate::api::signing::ClusterSigner;
use crate::args::Run;
use crate::certificates::{Rotation, Shown, Store, Wanted};
use crate::kubelet::tls::{self, Authorities};
use crate::tasks::Tasks;

/// Gets the node its own kubeconfig, where it is to have one.
pub(super) async fn bootstrap(run: &Run) -> Result<(), Error> {
    let (Some(bootstrap), Some(kubeconfig)) = (&run.bootstrap_kubeconfig, &run.kubeconfig) else { return Ok(()) };
    let made = bootstrap::kubeconfig(bootstrap, kubeconfig, &run.node_name, &super::state_dir(run)).await;
    made.map_err(Error::Bootstrap)
}

/// Another node's identity may do nothing for this one.
pub(super) fn check_identity(run: &Run, clients: &Clients) -> Result<(), Error> {
    let other = clients.user.as_ref().filter(|user| user.starts_with("system:node:"));
    match other.filter(|user| **user != Wanted::client(&run.node_name).user()) {
        Some(user) => Err(Error::Identity { user: user.clone(), node: run.node_name.clone() }),
        None => Ok(()),
    }
}

/// Whose client certificates are believed.
pub(super) async fn authorities(run: &Run, clients: &Clients) -> Result<Authorities, Error> {
    if let Some(file) = &run.client_ca_file {
        let file = tls_files::Authorities::open(file.clone()).map_err(Error::ClientCa)?;
        return Authorities::of_file(file).map_err(Error::Tls);
    }
    let published = access::published_client_ca(clients.workload.clone()).await;
    let certificates = published.as_ref().unwrap_or(&clients.cluster_ca);
    if certificates.is_empty() {
        warn!("no client certificate authority is known: kubectl logs is refused; give --client-ca-file");
    }
    Authorities::new(certificates).map_err(Error::Tls)
}

/// What the node's server shows.
pub(super) struct Serving {
    pub(super) certificate: Arc<dyn ResolvesServerCert>,
    /// Where a better one can be put, and when that is due; None of the second: at once. None: it is the operator's own.
    rotated: Option<(Shown, Option<SystemTime>)>,
}

impl Serving {
    pub(super) fn new(run: &Run, address: IpAddr) -> Result<Self, Error> {
        if let (Some(certificate), Some(key)) = (&run.tls_cert_file, &run.tls_private_key_file) {
            let files = ClientCertificate { certificate_file: certificate.clone(), key_file: key.clone() };
            let identity = Identity::open(files).map_err(Error::ServingCertificate)?;
            return Ok(Self { certificate: Arc::new(identity), rotated: None });
        }
        let wanted = Wanted::serving(&run.node_name, address);
        let (shown, renewal) = match Store::new(&super::state_dir(run), &wanted).load(&wanted) {
            Some(signed) => (Shown::signed(&signed), Some(signed.renewal(None))),
            None => (Shown::own(tls::self_signed(wanted.names().to_vec()).map_err(Error::Tls)?), None),
        };
        Ok(Self { certificate: Arc::new(shown.clone()), rotated: Some((shown, renewal)) })
    }
}

/// Asks for the certificates that the cluster is to sign, and renews them.
pub(super) fn rotate(run: &Run, address: IpAddr, serving: Serving, clients: &Clients, tasks: &Tasks) {
    let client = Wanted::client(&run.node_name);
    let is_node = clients.user.as_ref() == Some(&client.user());
    if let Some((shown, renewal)) = serving.rotated.filter(|_| run.rotate_server_certificates.unwrap_or(is_node)) {
        let wanted = Wanted::serving(&run.node_name, address);
        let rotation = rotation(run, wanted, clients).serving(shown, renewal);
        let cancel = tasks.cancel_token();
        tasks.spawn("serving certificate", async move {
            // What is asked for is found again by the next process.
            cancel.run_until_cancelled(rotation).await;
        });
    }
    // Others are renewed by whoever made them.
    let rotation = rotation(run, client, clients);
    if clients.certificate_file.as_deref().is_some_and(|file| rotation.store.is_current(file)) {
        let cancel = tasks.cancel_token();
        // Critical: without a certificate nothing can be asked, not even for another one. The next process may have a way to begin anew.
        tasks.spawn_critical("client certificate", async move {
            cancel.run_until_cancelled(rotation.client()).await;
        });
    }
}

fn rotation(run: &Run, wanted: Wanted, clients: &Clients) -> Rotation<ClusterSigner> {
    let store = Store::new(&super::state_dir(run), &wanted);
    Rotation { wanted, store, signer: ClusterSigner::new(clients.workload.clone()) }
}
