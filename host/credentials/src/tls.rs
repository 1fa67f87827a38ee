//! Configurations of TLS clients: whom to trust, and with which certificate to answer when asked for one. And the certificate of a server.
//!
//! In: [`TlsOptions`]; certificates in files. Out: a [`ClientConfig`]; what a server shows. Invariant: certificates of servers are always checked. The cryptography provider is
//! given with each configuration, so nothing has to be installed for the process.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::{ClientConfig, RootCertStore};

use crate::FileError;
use crate::watched::read;

mod certificates;
mod identity;
mod nobody;

pub use certificates::Authorities;
pub use identity::Identity;

/// The largest CA file that is read. The bundle of a whole system is a quarter of it.
const MAX_CA_BYTES: usize = 1 << 20;

/// How to speak TLS with one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsOptions {
    /// PEM certificates to trust. Read once.
    pub ca_file: Option<PathBuf>,
    /// What to answer when the server asks for a certificate.
    pub client_certificate: Option<ClientCertificate>,
    /// Whether to trust the system's certificates too; `true` by default. Those of `ca_file` are in addition to them. As everywhere,
    /// `SSL_CERT_FILE` and `SSL_CERT_DIR` tell where they are.
    pub system_roots: bool,
}

impl Default for TlsOptions {
    fn default() -> Self {
        Self { ca_file: None, client_certificate: None, system_roots: true }
    }
}

/// A certificate and its key. Both files are read again when they change, for new connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// PEM with the certificate and what is between it and the authority.
    pub certificate_file: PathBuf,
    /// PEM with its key, not encrypted.
    pub key_file: PathBuf,
}

/// Why there is no configuration.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TlsError {
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is nobody to trust.
    #[error(
        "no certificate authority is known to check the server with: give a ca_file, or install the system's certificates"
    )]
    NoRoots,
    /// rustls refuses the combination.
    #[error("cannot configure TLS")]
    Configuration {
        /// What it said.
        #[source]
        source: rustls::Error,
    },
}

/// A client configuration, with ALPN left to the caller.
///
/// Without any authority to trust (a bare container without certificates, and no `ca_file`) there still is a configuration, because
/// it may never be used; its handshakes then fail and say why.
///
/// With a client certificate sessions are not resumed: a resumed session goes on with the identity of the earlier certificate.
///
/// # Errors
/// When a file cannot be read or is not what it should be, or when the key is not that of the certificate.
pub fn client_config(options: &TlsOptions) -> Result<ClientConfig, TlsError> {
    with_roots(options, roots(options)?)
}

/// The same for who knows that TLS will be used: fails when there is nobody to trust.
pub(crate) fn https_config(options: &TlsOptions) -> Result<ClientConfig, TlsError> {
    let roots = roots(options)?;
    if roots.is_empty() { Err(TlsError::NoRoots) } else { with_roots(options, roots) }
}

fn with_roots(options: &TlsOptions, roots: RootCertStore) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|source| TlsError::Configuration { source })?
        .dangerous()
        .with_custom_certificate_verifier(verifier(roots, &provider)?);
    let Some(files) = options.client_certificate.clone() else { return Ok(builder.with_no_client_auth()) };
    let mut config = builder.with_client_cert_resolver(Arc::new(Identity::open(files)?));
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn verifier(roots: RootCertStore, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
    if roots.is_empty() {
        return Ok(Arc::new(nobody::TrustsNobody::new(provider)));
    }
    match WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build() {
        Ok(verifier) => Ok(verifier),
        Err(error) => Err(TlsError::Configuration { source: rustls::Error::General(error.to_string()) }),
    }
}

fn roots(options: &TlsOptions) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = &options.ca_file {
        let (pem, _) = read(path, MAX_CA_BYTES)?;
        roots = certificates::parse(path, &pem)?;
    }
    if options.system_roots {
        let system = rustls_native_certs::load_native_certs();
        for error in &system.errors {
            tracing::debug!(%error, "some of the system's certificates cannot be read");
        }
        // What is broken in a bundle of the system is left out, as everywhere.
        roots.add_parsable_certificates(system.certs);
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_nobody_to_trust_only_who_is_sure_to_use_tls_is_refused() {
        let nobody = TlsOptions { system_roots: false, ..TlsOptions::default() };
        assert!(client_config(&nobody).is_ok());
        assert!(matches!(https_config(&nobody), Err(TlsError::NoRoots)));
    }
}
