//! The certificate that a client answers with.
//!
//! In: its files. Out: what rustls shows to a server. Invariant: certificate and key belong together; while the files hold something
//! else (one of the two has been replaced already), the earlier pair stays.

use std::fmt;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::ClientCertificate;
use crate::FileError;
use crate::watched::{Reader, Watched, unusable};

/// A certificate in files.
pub(super) struct Identity {
    files: ClientCertificate,
    watched: Watched<Arc<CertifiedKey>>,
}

impl Identity {
    pub(super) fn open(files: ClientCertificate, provider: Arc<CryptoProvider>) -> Result<Self, FileError> {
        let names = files.clone();
        let watched = Watched::open(move |reader: &mut Reader| load(reader, &names, &provider).map(Arc::new))?;
        Ok(Self { files, watched })
    }
}

fn load(reader: &mut Reader, files: &ClientCertificate, provider: &CryptoProvider) -> Result<CertifiedKey, FileError> {
    let ClientCertificate { certificate_file, key_file } = files;
    let pem = reader.bytes(certificate_file)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let chain = chain.map_err(|_| unusable(certificate_file, "it is not whole PEM"))?;
    if chain.is_empty() {
        return Err(unusable(certificate_file, "there is no PEM certificate in it"));
    }
    let pem = reader.bytes(key_file)?;
    let key = PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| unusable(key_file, "there is no unencrypted PEM private key in it"))?;
    // What rustls says is not told: it may quote the key.
    CertifiedKey::from_der(chain, key, provider)
        .map_err(|_| unusable(key_file, "its key cannot be used, or is not that of the first certificate"))
}

impl ResolvesClientCert for Identity {
    fn resolve(&self, _authorities: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.watched.current().0)
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("files", &self.files).finish_non_exhaustive()
    }
}
