//! Which cluster this is.
//!
//! In: the API server, what an earlier process has learned. Out: an identity that stays for the cluster's life. Invariant: the same for every
//! kind of identity that pluglet runs with, and known also while the API server is away, once it was known.
//!
//! It is the UID of the Service `default/kubernetes`: every cluster has one, and even a node may read it (not so the Namespace
//! `kube-system`, whose UID is often taken for this).

use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use kube::{Api, Client};
use sha2::{Digest, Sha256};
use tracing::{info, warn};

use super::client::within;
use super::pods::describe;

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The identity: kept in `state_dir`, or asked for until the API server answers.
pub(crate) async fn identity(client: &Client, server: &http::Uri, state_dir: &Path) -> String {
    let file = file(server, state_dir);
    if let Some(known) = std::fs::read_to_string(&file).ok().filter(|text| is_uid(text)) {
        return known;
    }
    let services = Api::<Service>::namespaced(client.clone(), "default");
    let mut pause = FIRST_PAUSE;
    let uid = loop {
        let failure = match within(services.get("kubernetes")).await {
            Ok(service) => match service.metadata.uid.filter(|uid| is_uid(uid)) {
                Some(uid) => break uid,
                None => "the Service default/kubernetes has no UID".to_owned(),
            },
            Err(error) => describe(&error),
        };
        warn!(failure, ?pause, "cannot tell which cluster this is, trying again; --cluster-id says it by hand");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    };
    if let Err(error) = keep(&file, &uid) {
        warn!(%error, file = %file.display(), "the cluster's identity could not be kept: the next start has to ask again");
    }
    info!(cluster = uid, "this is the cluster's identity");
    uid
}

/// One for each API server: a state directory may serve several.
fn file(server: &http::Uri, state_dir: &Path) -> PathBuf {
    let digest = Sha256::digest(server.to_string());
    let name: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
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
