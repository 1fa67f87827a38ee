//! Kubeconfig files: one per identity, with a client certificate or a token.
//!
//! In: who it is for. Out: a path. Files are named by path rather than embedded, so that they stay readable.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;

use crate::certificates::{self, CLUSTER_CA, Subject};
use crate::layout::Layout;

/// Writes the kubeconfig `name` for `subject`, with a new certificate.
pub(crate) fn create(layout: &Layout, port: u16, name: &str, subject: &Subject<'_>) -> Result<PathBuf> {
    certificates::create_user(layout, name, subject)?;
    let certificate = layout.certificate(name);
    let key = layout.key(name);
    let user = format!("client-certificate: {}\n    client-key: {}", certificate.display(), key.display());
    write(layout, port, name, &user)
}

/// The same for a user of any kind: what stands below `user`, indented by four.
pub(crate) fn write(layout: &Layout, port: u16, name: &str, user: &str) -> Result<PathBuf> {
    let path = layout.kubeconfig(name);
    let text = format!(
        "apiVersion: v1
kind: Config
clusters:
- name: pluglet-tests
  cluster:
    server: https://127.0.0.1:{port}
    certificate-authority: {authority}
users:
- name: {name}
  user:
    {user}
contexts:
- name: {name}
  context:
    cluster: pluglet-tests
    user: {name}
current-context: {name}
",
        authority = layout.certificate(CLUSTER_CA).display(),
    );
    fs::write(&path, text)?;
    Ok(path)
}
