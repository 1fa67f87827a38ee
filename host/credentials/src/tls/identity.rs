//! The certificate that this side shows.
//!
//! In: its files. Out: what rustls shows to the other side, be it a server or a client. Invariant: certificate and key belong together; while the files hold something
//! else (one of the two has been replaced already), the earlier pair stays.

use std::fmt;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::ClientCertificate;
use crate::FileError;
use crate::watched::{Reader, Watched, unusable};

/// A certificate in files.
pub struct Identity {
    files: ClientCertificate,
    watched: Watched<Arc<CertifiedKey>>,
}

impl Identity {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// When a file cannot be read or is not what it should be, or when the key is not that of the certificate.
    pub fn open(files: ClientCertificate) -> Result<Self, FileError> {
        let (names, provider) = (files.clone(), ring::default_provider());
        let watched = Watched::open(move |reader: &mut Reader| load(reader, &names, &provider).map(Arc::new))?;
        Ok(Self { files, watched })
    }

    /// Counts the certificates that were another one than the one before. The files are looked at once a second at most.
    pub fn version(&self) -> u64 {
        self.watched.current().1
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
    CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        rustls::Error::InvalidCertificate(_) => unusable(
            certificate_file,
            "its first certificate cannot be read: it must be an X.509 certificate of version 3",
        ),
        _ => unusable(key_file, "its key is of a kind that is not supported, or not that of the first certificate"),
    })
}

impl ResolvesClientCert for Identity {
    fn resolve(&self, _authorities: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.watched.current().0)
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.watched.current().0)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("files", &self.files).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(files: &ClientCertificate, name: &str) {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        std::fs::write(&files.certificate_file, made.cert.pem()).unwrap();
        std::fs::write(&files.key_file, made.signing_key.serialize_pem()).unwrap();
    }

    #[test]
    fn a_renewed_pair_is_shown_and_half_of_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let files = ClientCertificate { certificate_file: at("tls.crt"), key_file: at("tls.key") };
        let open = || Identity::open(files.clone());
        assert!(matches!(open().unwrap_err(), FileError::Read { path, .. } if path == files.certificate_file));
        write(&files, "one");
        let identity = open().unwrap();
        let looked = || (identity.watched.reread().0.cert.clone(), identity.watched.current().1);
        let (first, version) = looked();
        assert_eq!(version, 0);
        // Of the next pair only the certificate is there yet.
        let key = std::fs::read(&files.key_file).unwrap();
        write(&files, "two");
        let new_key = std::fs::read(&files.key_file).unwrap();
        std::fs::write(&files.key_file, key).unwrap();
        assert!(matches!(open().unwrap_err(), FileError::Parse { path, .. } if path == files.key_file));
        assert_eq!(looked(), (first.clone(), 0));
        std::fs::write(&files.key_file, new_key).unwrap();
        let (second, version) = looked();
        assert_eq!(version, 1);
        assert_ne!(second, first);
        std::fs::write(&files.certificate_file, "").unwrap();
        assert!(matches!(open().unwrap_err(), FileError::Empty { path } if path == files.certificate_file));
        assert_eq!(looked(), (second, 1));
    }
}
