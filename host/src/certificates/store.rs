//! Where the node's certificates are kept.
//!
//! In: pairs, keys. Out: the same after a restart. Invariant: only this user can read the files, and each is replaced as a whole: a certificate is never
//! beside the key of another.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rcgen::KeyPair;
use tracing::warn;

use super::pair::{Pair, Unusable};
use super::request::Wanted;

/// What went wrong with a file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot make a key")]
    Key(#[source] rcgen::Error),
    #[error("cannot write {}", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// The files of one certificate.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    current: PathBuf,
    pending: PathBuf,
}

impl Store {
    /// Below the state directory, which nodes may share. The names are those that a kubelet gives.
    pub(crate) fn new(state_dir: &Path, wanted: &Wanted) -> Self {
        let directory = state_dir.join("pki").join(wanted.node_name());
        let file = |end: &str| directory.join(format!("{}-{end}", wanted.file_stem()));
        Self { current: file("current.pem"), pending: file("pending.key") }
    }

    /// The file with certificate and key.
    pub(crate) fn current(&self) -> &Path {
        &self.current
    }

    /// Whether a path leads to that file, however it is written.
    pub(crate) fn is_current(&self, path: &Path) -> bool {
        let real = |path: &Path| fs::canonicalize(path).ok();
        real(path).is_some_and(|path| Some(path) == real(&self.current))
    }

    /// The pair that was kept, if it is still of use.
    pub(crate) fn load(&self, wanted: &Wanted) -> Option<Pair> {
        let pem = match fs::read_to_string(&self.current) {
            Ok(pem) => pem,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                warn!(file = %self.current.display(), %error, "a certificate cannot be read: asking for another one");
                return None;
            }
        };
        match Pair::read(&pem, wanted, SystemTime::now()) {
            Ok(pair) => Some(pair),
            Err(error) => {
                warn!(file = %self.current.display(), %error, "a certificate is of no use any more: asking for another one");
                None
            }
        }
    }

    /// Makes a pair of a certificate and the pending key, and keeps it.
    pub(crate) fn complete(
        &self,
        certificate: &str,
        key: &KeyPair,
        wanted: &Wanted,
    ) -> Result<Result<Pair, Unusable>, Error> {
        let pem = format!("{}\n{}", certificate.trim_end(), key.serialize_pem());
        let pair = Pair::read(&pem, wanted, SystemTime::now());
        if pair.is_ok() {
            write(&self.current, pem.as_bytes())?;
        }
        self.give_up();
        Ok(pair)
    }

    /// The key that a request under way was made with, or a new one. It is kept, so that the request can be found again.
    pub(crate) fn pending_key(&self) -> Result<KeyPair, Error> {
        let kept = fs::read_to_string(&self.pending).ok();
        if let Some(key) = kept.and_then(|pem| KeyPair::from_pem(&pem).ok()) {
            return Ok(key);
        }
        let key = KeyPair::generate().map_err(Error::Key)?;
        write(&self.pending, key.serialize_pem().as_bytes())?;
        Ok(key)
    }

    /// The next request is made with another key.
    pub(crate) fn give_up(&self) {
        if let Err(error) = fs::remove_file(&self.pending) {
            warn!(file = %self.pending.display(), %error, "a key that is not needed any more stays");
        }
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    write_private(path, bytes).map_err(|source| Error::Write { path: path.to_owned(), source })
}

/// Whether [`write_private`] will work, as far as one can know before.
pub(crate) fn check_writable(path: &Path) -> io::Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(".check");
    write_private(Path::new(&draft), b"")?;
    fs::remove_file(draft)
}

/// Writes a file that only this user can read, whole or not at all, and the directories that it needs.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}.tmp", std::process::id()));
    // What a process of the same number has left behind.
    fs::remove_file(&draft).ok();
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(draft, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::pair::tests::signed;
    use super::*;

    #[test]
    fn a_key_waits_for_its_certificate_over_restarts_and_both_are_kept_for_this_user_only() {
        let directory = tempfile::tempdir().unwrap();
        let wanted = Wanted::serving("n", "10.0.0.7".parse().unwrap());
        let store = || Store::new(directory.path(), &wanted);
        assert!(store().load(&wanted).is_none());
        let key = store().pending_key().unwrap();
        assert_eq!(store().pending_key().unwrap().serialize_pem(), key.serialize_pem());
        let wrong = signed(&wanted, &key, &["m"]);
        assert!(store().complete(&wrong, &key, &wanted).unwrap().is_err());
        let next = store().pending_key().unwrap();
        assert_ne!(next.serialize_pem(), key.serialize_pem());
        store().complete(&signed(&wanted, &next, &["n", "10.0.0.7"]), &next, &wanted).unwrap().unwrap();
        assert!(store().load(&wanted).is_some());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(store().current()), 0o600);
        assert_eq!(mode(store().current().parent().unwrap()), 0o700);
        // Of another node, or of this one at another address.
        assert!(store().load(&Wanted::serving("n", "10.0.0.8".parse().unwrap())).is_none());
        let left = fs::read_dir(store().current().parent().unwrap()).unwrap().count();
        assert_eq!(left, 1, "the pair, and neither a key nor a draft");
    }
}
