//! What one incarnation leaves for the next, across a restart of the host.
//!
//! In: the bytes that `lifecycle.stop` gave. Out: the same bytes at the next start, once. Invariant: they are taken away before they
//! are used, so that a provider which crashes on them does not find them again.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use tracing::warn;

/// Largest handoff in bytes, as the contract says. A guest's whole memory would otherwise end up on the disk at each stop.
const MAX_HANDOFF_BYTES: usize = 1 << 20;

/// The file of one provider on one node.
pub(crate) struct Handoff(PathBuf);

impl Handoff {
    /// The file is beside the provider's `kv`, whose lock keeps other hosts away and whose directory exists by then.
    pub(crate) fn new(state_dir: &Path, node: &str, provider: &str) -> Self {
        Self(state_dir.join("kv").join(node).join(format!("{provider}.handoff")))
    }

    /// The bytes, if there are any; they are gone afterwards.
    pub(crate) fn take(&self) -> Option<Vec<u8>> {
        let bytes = match fs::read(&self.0) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                warn!(file = %self.0.display(), %error, "the handoff of the last run cannot be read; the provider starts without it");
                return None;
            }
        };
        match fs::remove_file(&self.0) {
            Ok(()) => Some(bytes),
            Err(error) => {
                warn!(file = %self.0.display(), %error, "the handoff of the last run cannot be removed, so it is not used");
                None
            }
        }
    }

    /// Keep the bytes for the next start. What cannot be kept is warned about: a provider must bear a start without it.
    pub(crate) fn leave(&self, bytes: &[u8]) {
        if bytes.len() > MAX_HANDOFF_BYTES {
            warn!(bytes = bytes.len(), max = MAX_HANDOFF_BYTES, "the provider's handoff is too large and is dropped");
            return;
        }
        if let Err(error) = self.write(bytes) {
            warn!(file = %self.0.display(), %error, "the provider's handoff cannot be kept");
        }
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        // Mode 0600, renamed when complete.
        let mut file = tempfile::NamedTempFile::new_in(self.0.parent().unwrap_or(Path::new(".")))?;
        file.write_all(bytes)?;
        file.persist(&self.0).map_err(|error| error.error)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handoff_is_given_once() {
        let state = tempfile::tempdir().unwrap();
        fs::create_dir_all(state.path().join("kv/node")).unwrap();
        let handoff = Handoff::new(state.path(), "node", "mock");
        assert_eq!(handoff.take(), None);
        handoff.leave(b"remember");
        assert_eq!(handoff.take().as_deref(), Some(&b"remember"[..]));
        assert_eq!(handoff.take(), None);
    }

    #[test]
    fn a_handoff_over_the_limit_is_dropped() {
        let state = tempfile::tempdir().unwrap();
        fs::create_dir_all(state.path().join("kv/node")).unwrap();
        let handoff = Handoff::new(state.path(), "node", "mock");
        handoff.leave(&vec![0; MAX_HANDOFF_BYTES + 1]);
        assert_eq!(handoff.take(), None);
    }
}
