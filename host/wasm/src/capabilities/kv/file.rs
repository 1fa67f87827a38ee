//! The file behind `kv`.
//!
//! In: changes. Out: the same changes after a restart. Invariant: one change is one `write`; a change that failed to be written is
//! taken out of the file again before the next one, so that a torn record can only be the last.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use tracing::warn;

use super::cost_of;
use super::record::{Change, MAGIC, decode};

/// History that is tolerated besides twice the live data, in bytes: below it rewriting would cost more than it frees.
const TOLERATED_GARBAGE: u64 = 1 << 20;

/// Why the memory of a provider cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No directory.
    #[error("cannot make the directory {}", .0.display())]
    Directory(PathBuf, #[source] io::Error),
    /// No lock file.
    #[error("cannot open the lock file {}", .0.display())]
    LockFile(PathBuf, #[source] io::Error),
    /// Somebody else has it.
    #[error("another pluglet uses {} for the same node and provider; give this one another --state-dir", .0.display())]
    Locked(PathBuf),
    /// Unreadable.
    #[error("cannot read {}", .0.display())]
    Read(PathBuf, #[source] io::Error),
    /// Something else is in its place.
    #[error("{} is not a pluglet kv file of this version", .0.display())]
    Format(PathBuf),
    /// Not writable.
    #[error("cannot write {}", .0.display())]
    Write(PathBuf, #[source] io::Error),
}

/// The open file.
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    /// Bytes of whole records, with the magic. What is beyond is the rest of a write that failed.
    length: u64,
    /// Half a record is beyond `length` and has to go before the next one.
    torn: bool,
    /// Held for as long as this exists. A file of its own, because rewriting replaces the other.
    _lock: File,
}

impl Journal {
    /// Open or make `{directory}/{name}.kv`, give back what it holds, and rewrite it if most of it is history.
    pub(super) fn open(directory: &Path, name: &str) -> Result<(Self, BTreeMap<String, Vec<u8>>), OpenError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|source| OpenError::Directory(directory.to_owned(), source))?;
        let lock = lock(&directory.join(format!("{name}.lock")))?;
        let path = directory.join(format!("{name}.kv"));
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(OpenError::Read(path, error)),
        };
        let (map, length) = replay(&bytes).ok_or_else(|| OpenError::Format(path.clone()))?;
        if length < bytes.len() as u64 {
            warn!(file = %path.display(), lost = bytes.len() as u64 - length, "the last change of the kv file was torn and is dropped");
        }
        let failed = |source| OpenError::Write(path.clone(), source);
        let file = OpenOptions::new()
            .create(true)
            .read(true)
            .write(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        let mut journal = Self { path: path.clone(), file, length, torn: false, _lock: lock };
        journal.cut().map_err(failed)?;
        if length == 0 || journal.is_mostly_garbage(cost_of(&map)) {
            journal.rewrite(&map).map_err(failed)?;
        }
        Ok((journal, map))
    }

    /// Write one change. On an error nothing is left of it.
    pub(super) fn append(&mut self, change: &Change<'_>) -> io::Result<()> {
        if self.torn {
            self.cut()?;
        }
        let record = change.encode();
        if let Err(error) = self.file.write_all(&record) {
            // A full disk may have taken the first half. If it cannot be cut off now, that is tried before the next change; a crash
            // before then leaves a torn last record, which `open` drops.
            self.torn = self.cut().is_err();
            return Err(error);
        }
        self.length += record.len() as u64;
        Ok(())
    }

    /// Whether the file should be rewritten: more than twice the live data, and some, is history. `live` counts more for an entry than its
    /// record has besides key and value; otherwise a file of tiny entries would be mostly garbage for ever, and rewritten at every put.
    pub(super) fn is_mostly_garbage(&self, live: usize) -> bool {
        let live = live as u64;
        self.length.saturating_sub(live) > live * 2 + TOLERATED_GARBAGE
    }

    /// Replace the file by one that holds exactly `map`. On an error the old one stays in use.
    pub(super) fn rewrite(&mut self, map: &BTreeMap<String, Vec<u8>>) -> io::Result<()> {
        let directory = self.path.parent().unwrap_or(Path::new("."));
        // Mode 0600, and unnamed until it is complete.
        let mut fresh = tempfile::NamedTempFile::new_in(directory)?;
        let mut length = MAGIC.len() as u64;
        let mut buffered = io::BufWriter::new(fresh.as_file_mut());
        buffered.write_all(MAGIC)?;
        for (key, value) in map {
            let record = Change::Put { key, value }.encode();
            length += record.len() as u64;
            buffered.write_all(&record)?;
        }
        buffered.flush()?;
        drop(buffered);
        self.file = fresh.persist(&self.path).map_err(|error| error.error)?;
        self.length = length;
        self.torn = false;
        Ok(())
    }

    /// Drop what is beyond the last whole record and go there.
    fn cut(&mut self) -> io::Result<()> {
        self.file.set_len(self.length)?;
        self.file.seek(SeekFrom::Start(self.length))?;
        self.torn = false;
        Ok(())
    }
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|source| OpenError::LockFile(path.to_owned(), source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked(path.with_extension("kv"))),
        Err(TryLockError::Error(source)) => Err(OpenError::LockFile(path.to_owned(), source)),
    }
}

/// The map that the records make, and how many bytes of them are whole. None when the file is something else.
fn replay(bytes: &[u8]) -> Option<(BTreeMap<String, Vec<u8>>, u64)> {
    let mut map = BTreeMap::new();
    if bytes.is_empty() {
        return Some((map, 0));
    }
    let mut rest = bytes.strip_prefix(MAGIC)?;
    while let Some((change, following)) = decode(rest) {
        match change {
            Change::Put { key, value } => {
                map.insert(key.to_owned(), value.to_vec());
            }
            Change::Delete { key } => {
                map.remove(key);
            }
        }
        rest = following;
    }
    Some((map, (bytes.len() - rest.len()) as u64))
}
