//! Certificates in a file: whom to believe.
//!
//! In: a PEM file. Out: what it holds now. Invariant: never empty; while the file holds nothing usable the earlier ones stay.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::FileError;
use crate::watched::{Reader, Watched, unusable};

/// The authorities in a file, which is read again when it changes.
pub struct Authorities {
    path: PathBuf,
    watched: Watched<Arc<RootCertStore>>,
}

impl Authorities {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// When it cannot be read, or holds no certificate or one that cannot be an authority's.
    pub fn open(path: PathBuf) -> Result<Self, FileError> {
        let file = path.clone();
        let watched = Watched::open(move |reader: &mut Reader| {
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(&reader.bytes(&file)?) {
                let certificate = certificate.map_err(|_| unusable(&file, "it is not whole PEM"))?;
                roots
                    .add(certificate)
                    .map_err(|_| unusable(&file, "one of its certificates cannot be an authority's"))?;
            }
            if roots.is_empty() {
                Err(unusable(&file, "there is no PEM certificate in it"))
            } else {
                Ok(Arc::new(roots))
            }
        })?;
        Ok(Self { path, watched })
    }

    /// What the file holds, and a number that changes with it. The file is looked at once a second at most.
    pub fn current(&self) -> (Arc<RootCertStore>, u64) {
        self.watched.current()
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorities").field("path", &self.path).finish_non_exhaustive()
    }
}
