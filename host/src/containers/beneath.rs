//! Paths that an engine may mount, although somebody else can write on the way to them.
//!
//! In: a directory, a path in it that a pod has named. Out: an open handle of what is there, and a path that means just that. Invariant: what was checked is what is
//! mounted: the path goes through this process's open file (`/proc/PID/fd/N`), which no link that is made meanwhile can turn elsewhere. The handle must be open for as long as the engine
//! may look.
//!
//! The kubelet does the same for `subPath` since CVE-2017-1002101 and CVE-2021-25741, with a bind mount of its own in between.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, FileType, OpenOptions, OpenOptionsExt as _};

/// `O_PATH` of Linux: a handle to mount, not to read. Opening a pipe or a device otherwise would wait or act.
const O_PATH: i32 = 0o10_000_000;

/// Something that is there.
pub(super) struct Found {
    handle: OwnedFd,
    pub(super) kind: FileType,
}

impl Found {
    /// The path that means it, and the handle to keep.
    pub(super) fn into_path(self) -> (PathBuf, OwnedFd) {
        let path = format!("/proc/{}/fd/{}", std::process::id(), self.handle.as_raw_fd());
        (PathBuf::from(path), self.handle)
    }
}

/// Opens what is at `path` in `directory`. Links are followed inside of it only.
pub(super) fn find(directory: &Dir, path: &Path) -> io::Result<Found> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let handle = directory.open_with(path, OpenOptions::new().read(true).custom_flags(O_PATH))?;
    let kind = handle.metadata()?.file_type();
    Ok(Found { handle: handle.into(), kind })
}

/// A directory of the machine that the operator has named.
pub(super) fn open(directory: &Path) -> io::Result<Dir> {
    Dir::open_ambient_dir(directory, ambient_authority())
}
