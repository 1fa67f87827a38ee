//! The serving certificate and the client certificate check.
//!
//! In: what to show, client certificate authorities. Out: a rustls configuration, and who a caller is by its certificate. Invariant: only a
//! certificate that chains to an authority, is in its time and is meant for clients names anybody; with any other, or none, a caller is nobody
//! until it shows a token.

mod caller;

use std::sync::Arc;

use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::ResolvesServerCert;
use rustls::sign::CertifiedKey;

pub(crate) use caller::{Authorities, CertifiedCaller};

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot make a self-signed serving certificate")]
    SelfSigned(#[source] rcgen::Error),
    #[error("a client certificate authority is not usable")]
    ClientCa(#[source] rustls::Error),
    #[error("the client certificate check cannot be set up")]
    Verifier(#[source] rustls::server::VerifierBuilderError),
    #[error("the serving certificate and its key do not fit")]
    ServingCertificate(#[source] rustls::Error),
}

/// The server's configuration.
pub(crate) fn config(serving: Arc<dyn ResolvesServerCert>, authorities: &Authorities) -> ServerConfig {
    let builder = ServerConfig::builder().with_client_cert_verifier(authorities.handshake());
    let mut config = builder.with_cert_resolver(serving);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

/// A fresh certificate for these names. API servers that were given no kubelet certificate authority accept it.
pub(crate) fn self_signed(names: Vec<String>) -> Result<CertifiedKey, Error> {
    let mut params = CertificateParams::new(names).map_err(Error::SelfSigned)?;
    params.distinguished_name.push(DnType::CommonName, "pluglet, self-signed");
    let key = KeyPair::generate().map_err(Error::SelfSigned)?;
    let certificate = params.self_signed(&key).map_err(Error::SelfSigned)?;
    let key = PrivateKeyDer::from(key);
    CertifiedKey::from_der(vec![certificate.der().clone()], key, &ring::default_provider())
        .map_err(Error::ServingCertificate)
}
