//! Client certificates: what the handshake asks of them, and what makes one somebody's.
//!
//! In: the authorities, what a caller has shown. Out: a [`Caller`]. Invariant: the handshake proves that the caller has the key of its certificate,
//! and no more; nobody is believed before [`Authorities::caller`] has checked the chain.
//!
//! rustls would end the handshake of a caller whose certificate it does not know. A kubelet goes on and looks for a token: callers exist
//! that show everybody the one certificate that they have.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use pluglet_credentials::tls;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ServerConnection, WebPkiClientVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use tracing::{debug, warn};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::kubelet::auth::Caller;

/// The authorities whose client certificates are believed. Clones are the same ones.
#[derive(Clone)]
pub(crate) struct Authorities(Arc<Source>);

enum Source {
    /// Without any no certificate is believed.
    Fixed(Option<Arc<dyn ClientCertVerifier>>),
    File(tls::Authorities, Mutex<(u64, Arc<dyn ClientCertVerifier>)>),
}

/// A caller, as long as its certificate says so.
#[derive(Clone)]
pub(crate) struct CertifiedCaller {
    caller: Caller,
    until: SystemTime,
}

impl CertifiedCaller {
    /// None once the certificate's time is over: a connection may outlive it.
    pub(crate) fn now(&self) -> Option<Caller> {
        (SystemTime::now() < self.until).then(|| self.caller.clone())
    }
}

impl Authorities {
    /// Of these certificates, DER.
    pub(crate) fn new(certificates: &[Vec<u8>]) -> Result<Self, super::Error> {
        if certificates.is_empty() {
            return Ok(Self(Arc::new(Source::Fixed(None))));
        }
        let mut roots = RootCertStore::empty();
        for certificate in certificates {
            roots.add(CertificateDer::from(certificate.clone())).map_err(super::Error::ClientCa)?;
        }
        Ok(Self(Arc::new(Source::Fixed(Some(verifier(Arc::new(roots))?)))))
    }

    /// Of a file, as it is now and later.
    pub(crate) fn of_file(file: tls::Authorities) -> Result<Self, super::Error> {
        let (roots, version) = file.current();
        let present = Mutex::new((version, verifier(roots)?));
        Ok(Self(Arc::new(Source::File(file, present))))
    }

    /// Asks for a certificate, and takes any whose key the caller has.
    pub(super) fn handshake(&self) -> Arc<dyn ClientCertVerifier> {
        match &*self.0 {
            Source::Fixed(None) => WebPkiClientVerifier::no_client_auth(),
            _ => Arc::new(AnyCertificate(ring::default_provider().signature_verification_algorithms)),
        }
    }

    /// Who the other side of a connection is by its certificate. None for one that shows none, or one that proves nothing.
    pub(crate) fn caller(&self, connection: &ServerConnection) -> Option<CertifiedCaller> {
        let (certificate, intermediates) = connection.peer_certificates()?.split_first()?;
        if let Err(error) = self.verifier()?.verify_client_cert(certificate, intermediates, UnixTime::now()) {
            debug!(%error, "a client certificate is not believed");
            return None;
        }
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let end = u64::try_from(parsed.validity().not_after.timestamp()).ok()?;
        Some(CertifiedCaller { caller: Caller::of(&parsed)?, until: SystemTime::UNIX_EPOCH + Duration::from_secs(end) })
    }

    fn verifier(&self) -> Option<Arc<dyn ClientCertVerifier>> {
        let (file, present) = match &*self.0 {
            Source::Fixed(verifier) => return verifier.clone(),
            Source::File(file, present) => (file, present),
        };
        let (roots, version) = file.current();
        let mut present = present.lock().unwrap_or_else(PoisonError::into_inner);
        if present.0 != version {
            match verifier(roots) {
                Ok(next) => *present = (version, next),
                Err(error) => warn!(%error, "the client certificate authorities stay as they were"),
            }
        }
        Some(present.1.clone())
    }
}

fn verifier(roots: Arc<RootCertStore>) -> Result<Arc<dyn ClientCertVerifier>, super::Error> {
    WebPkiClientVerifier::builder(roots).build().map_err(super::Error::Verifier)
}

/// Leaves the chain for later.
#[derive(Debug)]
struct AnyCertificate(WebPkiSupportedAlgorithms);

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// Of any authority: the known ones may change.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
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
        verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
