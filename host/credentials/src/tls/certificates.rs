//! Certificates in a file: whom to believe.
//!
//! In: a PEM file. Out: what it holds now. Invariant: never empty; while the file holds nothing usable the earlier ones stay.

use std::fmt;
use std::path::{Path, PathBuf};
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
            let pem = reader.bytes(&file)?;
            parse(&file, &pem).map(Arc::new)
        })?;
        Ok(Self { path, watched })
    }

    /// What the file holds, and a number that changes with it. The file is looked at once a second at most.
    pub fn current(&self) -> (Arc<RootCertStore>, u64) {
        self.watched.current()
    }
}

/// The authorities in PEM that was read from `path`: one at least.
pub(super) fn parse(path: &Path, pem: &[u8]) -> Result<RootCertStore, FileError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| unusable(path, "it is not whole PEM"))?;
        roots.add(certificate).map_err(|_| unusable(path, "one of its certificates cannot be an authority's"))?;
    }
    if roots.is_empty() { Err(unusable(path, "there is no PEM certificate in it")) } else { Ok(roots) }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorities").field("path", &self.path).finish_non_exhaustive()
    }
}
