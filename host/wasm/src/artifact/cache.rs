//! The directory of compiled components.
//!
//! In: a component to keep. Out: the same component, later. Invariant: the directory is enterable by this user alone; a file is
//! written whole or not at all, and ends in the SHA-256 of what is before it.
//!
//! A `.cwasm` is native code: who can write one runs code in this process. So nothing is ever loaded from anywhere else, and the
//! file and the directory must belong to this user. The checksum is against damage, not against an attacker.

use std::fs::{self, DirBuilder, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

/// Length of the checksum at the end.
const CHECKSUM_BYTES: usize = 32;

/// How many compiled components are kept. Each upgrade of a provider or of pluglet leaves one behind, 0.4–2 MB; without an end they
/// would fill the state directory over the years.
const KEPT: usize = 16;

/// Why an entry cannot be used or made.
#[derive(Debug, thiserror::Error)]
pub(super) enum CacheError {
    #[error("cannot make {}", .0.display())]
    Directory(PathBuf, #[source] std::io::Error),
    #[error("cannot make {} private", .0.display())]
    Private(PathBuf, #[source] std::io::Error),
    #[error("cannot read the entry")]
    Read(#[source] std::io::Error),
    #[error("the directory or the entry belongs to another user, or others may write the entry")]
    Foreign,
    #[error("the entry's checksum is wrong")]
    Checksum,
    #[error("wasmtime refuses the entry")]
    Deserialize(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("cannot write the entry")]
    Write(#[source] std::io::Error),
}

pub(super) struct Cache {
    directory: PathBuf,
    /// The user that this process writes files as.
    owner: u32,
}

impl Cache {
    /// Make the directory and close it to others.
    pub(super) fn open(directory: &Path) -> Result<Self, CacheError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|source| CacheError::Directory(directory.to_owned(), source))?;
        fs::set_permissions(directory, Permissions::from_mode(0o700))
            .map_err(|source| CacheError::Private(directory.to_owned(), source))?;
        // A file that we make belongs to us; asking for it needs no system call that the standard library lacks.
        let owner =
            tempfile::tempfile_in(directory).and_then(|file| Ok(file.metadata()?.uid())).map_err(CacheError::Write)?;
        if fs::metadata(directory).map_err(CacheError::Read)?.uid() != owner {
            return Err(CacheError::Foreign);
        }
        Ok(Self { directory: directory.to_owned(), owner })
    }

    /// The component of that name; None when there is none.
    pub(super) fn load(&self, engine: &Engine, entry: &Path) -> Result<Option<Component>, CacheError> {
        let path = self.directory.join(entry);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(CacheError::Read(error)),
        };
        let file = fs::symlink_metadata(&path).map_err(CacheError::Read)?;
        if !file.is_file() || file.uid() != self.owner || file.mode() & 0o022 != 0 {
            return Err(CacheError::Foreign);
        }
        let Some((code, checksum)) = bytes.split_last_chunk::<CHECKSUM_BYTES>() else {
            return Err(CacheError::Checksum);
        };
        if Sha256::digest(code).as_slice() != checksum {
            return Err(CacheError::Checksum);
        }
        deserialize(engine, code).map(Some)
    }

    /// Keep the code under that name.
    pub(super) fn store(&self, code: &[u8], entry: &Path) -> Result<(), CacheError> {
        // A file of its own, then renamed: a reader sees the old entry or the new one, and a crash leaves neither half.
        let mut file = tempfile::NamedTempFile::new_in(&self.directory).map_err(CacheError::Write)?;
        file.write_all(code).map_err(CacheError::Write)?;
        file.write_all(&Sha256::digest(code)).map_err(CacheError::Write)?;
        file.persist(self.directory.join(entry)).map_err(|error| CacheError::Write(error.error))?;
        self.forget_oldest();
        Ok(())
    }

    /// Remove all but the newest [`KEPT`] entries. What cannot be removed stays: it costs space only.
    fn forget_oldest(&self) {
        let Ok(files) = fs::read_dir(&self.directory) else { return };
        let mut entries: Vec<(SystemTime, PathBuf)> = files
            .filter_map(|file| {
                let file = file.ok()?;
                Some((file.metadata().ok()?.modified().ok()?, file.path()))
            })
            .collect();
        entries.sort_by(|a, b| b.cmp(a));
        for (_, path) in entries.into_iter().skip(KEPT) {
            let _ = fs::remove_file(path);
        }
    }
}

/// The component whose code the compiler just gave.
pub(super) fn compiled(engine: &Engine, code: &[u8]) -> Result<Component, CacheError> {
    deserialize(engine, code)
}

#[expect(
    unsafe_code,
    reason = "wasmtime cannot know where native code comes from; this is the one place that vouches for it"
)]
fn deserialize(engine: &Engine, code: &[u8]) -> Result<Component, CacheError> {
    // SAFETY: `code` must be what wasmtime's compiler gave. It comes from one of two places. From a directory that only this user (or
    // root) can enter or write, from a regular file of that user, and its checksum shows that it is complete and unchanged since
    // `Cache::store` wrote it. Or over a pipe from the process that `compile::compile` started, which is this program running that
    // compiler and nothing else. Entries are named by component and engine, and wasmtime checks version and configuration again.
    unsafe { Component::deserialize(engine, code) }.map_err(|error| CacheError::Deserialize(error.into()))
}
