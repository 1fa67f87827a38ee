//! A serving certificate that somebody else renews, such as cert-manager.
//!
//! In: two PEM files. Out: the certificate that the next handshake shows. Invariant: a pair that does not fit is never shown: the one before stays,
//! and a warning says why.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::time::sleep;
use tracing::{info, warn};

/// How often the files are looked at. Renewed certificates overlap by days.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// Why a pair of files is no certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot read the serving certificate {}", path.display())]
    Certificate {
        path: PathBuf,
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    #[error("cannot read the serving certificate's key {}", path.display())]
    Key {
        path: PathBuf,
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    #[error("{} holds no certificate", .0.display())]
    Empty(PathBuf),
    #[error("the key {} is of no kind that is known, or not that of the certificate", path.display())]
    Pair {
        path: PathBuf,
        #[source]
        source: rustls::Error,
    },
}

/// Where the pair is.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// The pair that is shown now.
#[derive(Debug)]
pub(crate) struct Reloaded {
    files: Files,
    shown: RwLock<Arc<CertifiedKey>>,
}

impl Files {
    fn read(&self) -> Result<CertifiedKey, Error> {
        let certificate = |source| Error::Certificate { path: self.certificate.clone(), source };
        let chain = CertificateDer::pem_file_iter(&self.certificate).map_err(certificate)?;
        let chain: Vec<CertificateDer<'static>> = chain.collect::<Result<_, _>>().map_err(certificate)?;
        if chain.is_empty() {
            return Err(Error::Empty(self.certificate.clone()));
        }
        let key =
            PrivateKeyDer::from_pem_file(&self.key).map_err(|source| Error::Key { path: self.key.clone(), source })?;
        let pair = |source| Error::Pair { path: self.key.clone(), source };
        let certified = CertifiedKey::new(chain, any_supported_type(&key).map_err(pair)?);
        certified.keys_match().map_err(pair)?;
        Ok(certified)
    }
}

impl Reloaded {
    /// The pair as it is now.
    ///
    /// # Errors
    /// When the files cannot be used: a start that shows no certificate would only fail later.
    pub(crate) fn open(files: Files) -> Result<Arc<Self>, Error> {
        let shown = RwLock::new(Arc::new(files.read()?));
        Ok(Arc::new(Self { files, shown }))
    }

    /// Follows the files, for ever.
    pub(crate) async fn follow(self: Arc<Self>) {
        let mut told = None;
        loop {
            sleep(LOOK_EVERY).await;
            match self.look() {
                Ok(true) => info!(certificate = %self.files.certificate.display(), "serving a new certificate"),
                Ok(false) => told = None,
                Err(error) => {
                    // Once for each thing that is wrong.
                    if told.replace(error.to_string()) != Some(error.to_string()) {
                        let error = &error as &dyn std::error::Error;
                        warn!(error, "the serving certificate was not renewed: the one before is still served");
                    }
                }
            }
        }
    }

    /// True when there is another.
    fn look(&self) -> Result<bool, Error> {
        let read = self.files.read()?;
        let mut shown = self.shown.write().unwrap_or_else(PoisonError::into_inner);
        let other = read.cert != shown.cert;
        if other {
            *shown = Arc::new(read);
        }
        Ok(other)
    }
}

impl ResolvesServerCert for Reloaded {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.shown.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(files: &Files, name: &str) {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        std::fs::write(&files.certificate, made.cert.pem()).unwrap();
        std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    }

    #[test]
    fn a_renewed_pair_is_shown_and_half_of_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let files = Files { certificate: directory.path().join("tls.crt"), key: directory.path().join("tls.key") };
        assert!(matches!(Reloaded::open(files.clone()).unwrap_err(), Error::Certificate { .. }));
        write(&files, "one");
        let reloaded = Reloaded::open(files.clone()).unwrap();
        let shown = || reloaded.shown.read().unwrap().cert.clone();
        let first = shown();
        assert!(!reloaded.look().unwrap());
        // Of the next pair only the certificate is there yet.
        let key = std::fs::read(&files.key).unwrap();
        write(&files, "two");
        let new_key = std::fs::read(&files.key).unwrap();
        std::fs::write(&files.key, key).unwrap();
        assert!(matches!(reloaded.look().unwrap_err(), Error::Pair { .. }));
        assert_eq!(shown(), first);
        std::fs::write(&files.key, new_key).unwrap();
        assert!(reloaded.look().unwrap());
        assert_ne!(shown(), first);
        std::fs::write(&files.certificate, "").unwrap();
        assert!(matches!(reloaded.look().unwrap_err(), Error::Empty(_)));
    }
}
