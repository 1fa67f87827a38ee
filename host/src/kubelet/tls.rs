//! The serving certificate and the client certificate check.
//!
//! In: files or the node's name and address, client certificate authorities. Out: a rustls configuration. Invariant: a client certificate that does not
//! chain to an authority fails the handshake; a connection without one stays anonymous.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ResolvesServerCert, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};

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

/// Who the node says that it is.
pub(crate) enum Serving {
    /// A fresh certificate for these names. API servers that were given no kubelet certificate authority accept it.
    SelfSigned(Vec<String>),
    /// What is in files, as it is renewed.
    Files(Arc<dyn ResolvesServerCert>),
}

/// The server's configuration.
pub(crate) fn config(serving: Serving, client_ca: &[Vec<u8>]) -> Result<ServerConfig, Error> {
    let builder = ServerConfig::builder();
    let builder = if client_ca.is_empty() {
        builder.with_no_client_auth()
    } else {
        let mut roots = RootCertStore::empty();
        for certificate in client_ca {
            roots.add(CertificateDer::from(certificate.clone())).map_err(Error::ClientCa)?;
        }
        let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).allow_unauthenticated().build();
        builder.with_client_cert_verifier(verifier.map_err(Error::Verifier)?)
    };
    let mut config = match serving {
        Serving::Files(certificate) => builder.with_cert_resolver(certificate),
        Serving::SelfSigned(names) => {
            let made = rcgen::generate_simple_self_signed(names).map_err(Error::SelfSigned)?;
            let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())
                .map_err(|message| Error::ServingCertificate(rustls::Error::General(message.to_owned())))?;
            builder.with_single_cert(vec![made.cert.der().clone()], key).map_err(Error::ServingCertificate)?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
