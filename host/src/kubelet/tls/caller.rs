//! Client certificates: what the handshake asks of them, and what makes one somebody's.
//!
//! In: the authorities, what a caller has shown. Out: a [`Caller`]. Invariant: the handshake proves that the caller has the key of its certificate,
//! and no more; nobody is believed before [`Authorities::caller`] has checked the chain.
//!
//! rustls would end the handshake of a caller whose certificate it does not know. A kubelet goes on and looks for a token: callers exist
//! that show everybody the one certificate that they have.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ServerConnection, WebPkiClientVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use tracing::debug;

use crate::kubelet::auth::Caller;

/// The authorities whose client certificates are believed. None: no certificate is. Clones are the same ones.
#[derive(Clone)]
pub(crate) struct Authorities(Option<Arc<dyn ClientCertVerifier>>);

impl Authorities {
    /// Of these certificates, DER.
    pub(crate) fn new(certificates: &[Vec<u8>]) -> Result<Self, super::Error> {
        if certificates.is_empty() {
            return Ok(Self(None));
        }
        let mut roots = RootCertStore::empty();
        for certificate in certificates {
            roots.add(CertificateDer::from(certificate.clone())).map_err(super::Error::ClientCa)?;
        }
        let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).allow_unauthenticated().build();
        verifier.map(|verifier| Self(Some(verifier))).map_err(super::Error::Verifier)
    }

    /// Asks for a certificate, and takes any whose key the caller has.
    pub(super) fn handshake(&self) -> Arc<dyn ClientCertVerifier> {
        match &self.0 {
            Some(verifier) => Arc::new(AnyCertificate(verifier.clone())),
            None => WebPkiClientVerifier::no_client_auth(),
        }
    }

    /// Who the other side of a connection is by its certificate. None for one that shows none, or one that proves nothing.
    pub(crate) fn caller(&self, connection: &ServerConnection) -> Option<Caller> {
        let (certificate, intermediates) = connection.peer_certificates()?.split_first()?;
        match self.0.as_ref()?.verify_client_cert(certificate, intermediates, UnixTime::now()) {
            Ok(_) => Caller::of(certificate),
            Err(error) => {
                debug!(%error, "a client certificate is not believed");
                None
            }
        }
    }
}

/// Leaves the chain for later.
struct AnyCertificate(Arc<dyn ClientCertVerifier>);

impl fmt::Debug for AnyCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AnyCertificate").finish()
    }
}

impl ClientCertVerifier for AnyCertificate {
    fn offer_client_auth(&self) -> bool {
        self.0.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
