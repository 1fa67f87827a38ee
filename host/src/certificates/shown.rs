//! The certificate that the node's server shows.
//!
//! In: certificates, as they are renewed. Out: what rustls shows in the next handshake. Invariant: there is always one.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::pair::Pair;

/// See the module. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Shown(Arc<RwLock<Arc<CertifiedKey>>>);

impl Shown {
    /// One that nobody has signed, to begin with.
    pub(crate) fn own(certificate: CertifiedKey) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(certificate))))
    }

    /// One that an earlier process was given.
    pub(crate) fn signed(pair: &Pair) -> Self {
        Self(Arc::new(RwLock::new(pair.certified.clone())))
    }

    pub(super) fn present(&self) -> Arc<CertifiedKey> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From the next handshake on. Connections that there are stay.
    pub(super) fn set(&self, certificate: Arc<CertifiedKey>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = certificate;
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.present())
    }
}
