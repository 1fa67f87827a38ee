//! The client certificate of a kubeconfig, as far as one has to know it.
//!
//! In: what a kubeconfig says about its user. Out: whose certificate it is, and whether its time is over. Invariant: what cannot be read is not
//! there; that it cannot be used is told by whoever uses it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube::config::AuthInfo;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::api) struct CertifiedUser {
    /// The common name: who it is to the API server.
    pub(in crate::api) name: String,
    pub(in crate::api) expired: bool,
}

impl CertifiedUser {
    pub(in crate::api) fn of(auth: &AuthInfo) -> Option<Self> {
        let pem = match (&auth.client_certificate_data, &auth.client_certificate) {
            (Some(data), _) => STANDARD.decode(data).ok()?,
            (None, Some(file)) => std::fs::read(file).ok()?,
            (None, None) => return None,
        };
        let certificate = CertificateDer::from_pem_slice(&pem).ok()?;
        let (_, certificate) = X509Certificate::from_der(&certificate).ok()?;
        let name = certificate.subject().iter_common_name().next()?.as_str().ok()?.to_owned();
        Some(Self { name, expired: certificate.validity().time_to_expiration().is_none() })
    }
}
