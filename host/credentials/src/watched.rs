//! Files that are read again when they change.
//!
//! In: a function that reads some files and makes a value of them. Out: [`Watched`]. Invariant: there is always a value, the last one
//! that was whole; a file that vanishes or breaks later is told once and changes nothing.
//!
//! Reading is synchronous although it happens inside requests: one `stat` a second, and at a change one read of at most 64 KiB that
//! somebody has just written, so it comes from memory. A thread for that would cost more than it saves, and would make the callers
//! (one of which is rustls, which cannot wait) asynchronous.

use std::fs::{File, Metadata};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::error::chain;
use crate::{FileError, Secret, locked};

/// The largest file that is read. A token or a certificate chain is far below; a wrong path (a log, a disk) must not fill the memory.
pub(crate) const MAX_FILE_BYTES: usize = 64 << 10;

/// How often the files are looked at. At each request would be a system call each; rotation gives days.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What tells that a file is another one or has other content. The inode and the device, because Kubernetes swaps a link; the change
/// time, because a copy may keep the modification time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Reads files for a [`Watched`] and remembers which, and what they were like.
pub(crate) struct Reader {
    stamps: Vec<(PathBuf, Stamp)>,
    digest: Sha256,
}

impl Reader {
    fn new() -> Self {
        Self { stamps: vec![], digest: Sha256::new() }
    }

    /// The content, not empty and at most [`MAX_FILE_BYTES`].
    pub(crate) fn bytes(&mut self, path: &Path) -> Result<Zeroizing<Vec<u8>>, FileError> {
        let (bytes, stamp) = read(path, MAX_FILE_BYTES)?;
        self.stamps.push((path.to_owned(), stamp));
        // The length first, so that bytes moving from one file to the next make a difference.
        self.digest.update(bytes.len().to_le_bytes());
        self.digest.update(&*bytes);
        Ok(bytes)
    }

    /// The content without the line ends at its end.
    pub(crate) fn line(&mut self, path: &Path) -> Result<Secret, FileError> {
        let bytes = self.bytes(path)?;
        let length = bytes.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |last| last + 1);
        Ok(Secret::new(bytes.get(..length).unwrap_or_default()))
    }

    /// The content without white space around it; visible ASCII without spaces, as every token and key is.
    pub(crate) fn word(&mut self, path: &Path) -> Result<Secret, FileError> {
        let bytes = self.bytes(path)?;
        let word = bytes.trim_ascii();
        if word.iter().all(u8::is_ascii_graphic) {
            Ok(Secret::new(word))
        } else {
            Err(unusable(path, "it has a space, a line end or a character beyond ASCII in the middle"))
        }
    }
}

/// A [`FileError::Parse`].
pub(crate) fn unusable(path: &Path, reason: &'static str) -> FileError {
    FileError::Parse { path: path.to_owned(), reason }
}

/// A regular file that is not empty and has at most `limit` bytes.
pub(crate) fn read(path: &Path, limit: usize) -> Result<(Zeroizing<Vec<u8>>, Stamp), FileError> {
    let failed = |source| FileError::Read { path: path.to_owned(), source: Arc::new(source) };
    // Before opening: opening a pipe waits until somebody writes to it.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(failed(std::io::Error::other("it is not a regular file")));
    }
    let file = File::open(path).map_err(failed)?;
    // Of the opened file and before reading it: whatever is written from here on makes the next look see a difference.
    let stamp = Stamp::of(&file.metadata().map_err(failed)?);
    // With all the room at once: a growing vector leaves unwiped copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(limit + 1));
    file.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > limit {
        return Err(FileError::TooLarge { path: path.to_owned(), limit });
    }
    if bytes.trim_ascii().is_empty() {
        return Err(FileError::Empty { path: path.to_owned() });
    }
    Ok((bytes, stamp))
}

type Load<T> = dyn Fn(&mut Reader) -> Result<T, FileError> + Send + Sync;

/// A value made of files.
pub(crate) struct Watched<T> {
    load: Box<Load<T>>,
    state: Mutex<State<T>>,
}

struct State<T> {
    value: T,
    /// Counts the contents that were different.
    version: u64,
    digest: [u8; 32],
    /// Empty after a failure, so that the next look reads.
    stamps: Vec<(PathBuf, Stamp)>,
    looked: Instant,
    /// Whether the present failure has been told.
    warned: bool,
}

impl<T: Clone> Watched<T> {
    /// Reads for the first time.
    pub(crate) fn open(
        load: impl Fn(&mut Reader) -> Result<T, FileError> + Send + Sync + 'static,
    ) -> Result<Self, FileError> {
        let mut reader = Reader::new();
        let value = load(&mut reader)?;
        let state = State {
            value,
            version: 0,
            digest: reader.digest.finalize().into(),
            stamps: reader.stamps,
            looked: Instant::now(),
            warned: false,
        };
        Ok(Self { load: Box::new(load), state: Mutex::new(state) })
    }

    /// The value and its version. Looks at the files at most once a second.
    pub(crate) fn current(&self) -> (T, u64) {
        let mut state = locked(&self.state);
        if state.looked.elapsed() >= LOOK_EVERY {
            state.looked = Instant::now();
            let same = |(path, stamp): &(PathBuf, Stamp)| {
                std::fs::metadata(path).is_ok_and(|metadata| Stamp::of(&metadata) == *stamp)
            };
            if state.stamps.is_empty() || !state.stamps.iter().all(same) {
                self.read(&mut state);
            }
        }
        (state.value.clone(), state.version)
    }

    /// The same, but reads in any case: the value was refused, or is needed once an hour and must be the newest.
    pub(crate) fn reread(&self) -> (T, u64) {
        let mut state = locked(&self.state);
        state.looked = Instant::now();
        self.read(&mut state);
        (state.value.clone(), state.version)
    }

    fn read(&self, state: &mut State<T>) {
        let mut reader = Reader::new();
        match (self.load)(&mut reader) {
            Ok(value) => {
                let digest = reader.digest.finalize().into();
                if state.digest != digest {
                    let files: Vec<_> = reader.stamps.iter().map(|(path, _)| path.display().to_string()).collect();
                    tracing::info!(files = files.join(" "), "using what the files hold now");
                    state.value = value;
                    state.version += 1;
                    state.digest = digest;
                }
                state.stamps = reader.stamps;
                state.warned = false;
            }
            Err(error) => {
                state.stamps.clear();
                if !std::mem::replace(&mut state.warned, true) {
                    tracing::warn!(error = chain(&error), "a file is unusable now: keeping what it held before");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
