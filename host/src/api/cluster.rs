//! Which cluster this is.
//!
//! In: the API server, what an earlier process has learned. Out: an identity that stays for the cluster's life. Invariant: the same for every
//! kind of identity that pluglet runs with, and known also while the API server is away, once it was known.
//!
//! It is the UID of the Service `default/kubernetes`: every cluster has one, and even a node may read it (not so the Namespace
//! `kube-system`, whose UID is often taken for this).

use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Service;
use kube::Api;
use sha2::{Digest, Sha256};
use tracing::{info, warn};

use super::client::{Clients, within};
use super::pods::describe;
use super::watch::Pauses;

/// The identity: kept in `state_dir`, or asked for until the API server answers.
pub(crate) async fn identity(clients: &Clients, state_dir: &Path) -> String {
    let file = file(&clients.server, &clients.cluster_ca, state_dir);
    if let Some(known) = std::fs::read_to_string(&file).ok().filter(|text| is_uid(text)) {
        return known;
    }
    let services = Api::<Service>::namespaced(clients.node.clone(), "default");
    let mut pauses = Pauses::default();
    let uid = loop {
        let failure = match within(services.get("kubernetes")).await {
            Ok(service) => match service.metadata.uid.filter(|uid| is_uid(uid)) {
                Some(uid) => break uid,
                None => "the Service default/kubernetes has no UID".to_owned(),
            },
            Err(error) => describe(&error),
        };
        let pause = pauses.next().unwrap_or_default();
        warn!(failure, ?pause, "cannot tell which cluster this is, trying again; --cluster-id says it by hand");
        tokio::time::sleep(pause).await;
    };
    if let Err(error) = keep(&file, &uid) {
        warn!(%error, file = %file.display(), "the cluster's identity could not be kept: the next start has to ask again");
    }
    info!(cluster = uid, "this is the cluster's identity");
    uid
}

/// One for each API server: a state directory may serve several. A cluster that was built anew at the same address has another authority,
/// and is another cluster.
fn file(server: &http::Uri, authority: &[Vec<u8>], state_dir: &Path) -> PathBuf {
    let mut digest = Sha256::new_with_prefix(server.to_string());
    authority.iter().for_each(|certificate| digest.update(certificate));
    let name: String = digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    state_dir.join(format!("cluster-{name}"))
}

fn keep(file: &Path, uid: &str) -> std::io::Result<()> {
    if let Some(directory) = file.parent() {
        std::fs::create_dir_all(directory)?;
    }
    // Whole or not at all: half an identity would be another cluster's.
    let draft = file.with_extension(format!("{}.tmp", std::process::id()));
    std::fs::write(&draft, uid)?;
    std::fs::rename(draft, file)
}

fn is_uid(text: &str) -> bool {
    (8..=63).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_that_was_built_anew_at_the_same_address_is_another() {
        let server = http::Uri::from_static("https://10.0.0.1:6443");
        let [old, new] =
            [[b"old".to_vec()], [b"new".to_vec()]].map(|authority| file(&server, &authority, Path::new("s")));
        assert_ne!(old, new);
        assert_eq!(old, file(&server, &[b"old".to_vec()], Path::new("s")));
    }
}
