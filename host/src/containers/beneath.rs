//! Paths in a directory, although somebody else can write on the way to them.
//!
//! In: a directory, a path in it that a pod has named. Out: what is there and its path without links. Invariant: links are followed inside of the directory only, as the kernel follows
//! them (`openat2` with `RESOLVE_BENEATH`), not by comparing strings.
//!
//! The engine follows the path a moment later. Where a pod can write meanwhile it could put a link there; that is why such a `subPath` needs a grant of its own. (A handle that is kept
//! open would not help: an engine mounts in another mount namespace, where the kernel refuses `/proc/PID/fd/N` of this one.)

use std::io;
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, FileType};

/// Something that is there.
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) kind: FileType,
}

/// Finds what is at `path` in `directory`, which is `place`.
pub(super) fn find(directory: &Dir, place: &Path, path: &Path) -> io::Result<Found> {
    let inside = directory.canonicalize(path)?;
    let kind = directory.metadata(&inside)?.file_type();
    Ok(Found { path: place.join(inside), kind })
}

/// A directory of the machine that the operator has named.
pub(super) fn open(directory: &Path) -> io::Result<Dir> {
    Dir::open_ambient_dir(directory, ambient_authority())
}
