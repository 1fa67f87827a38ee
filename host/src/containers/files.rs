//! The files of one pod on this machine, which its containers get as mounts.
//!
//! In: volumes with their content, names. Out: paths for an engine that shares this machine. Invariant: nothing outside of the pod's own directory is ever
//! touched: every name is opened through a handle of that directory (openat with no way out), never by joining strings.
//!
//! ```text
//! STATE-DIR/pods/UID/
//!   volumes/NAME/          emptyDir, or what the host made: ..data → ..TIME/, KEY → ..data/KEY
//!   etc-hosts
//!   containers/NAME/N      the termination message of run N
//! ```

mod atomic;

use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::fchown;
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions, Permissions, PermissionsExt as _};
use pluglet_model::pod::Volume;

use super::beneath::{self, Found};

/// A kubelet keeps so much of a termination message (`MaxContainerTerminationMessageLength`); the file may be as large as the container likes.
const LONGEST_MESSAGE: u64 = 4096;

const PODS: &str = "pods";
const VOLUMES: &str = "volumes";
const CONTAINERS: &str = "containers";
const HOSTS: &str = "etc-hosts";

/// Whose the files are that a pod's containers share (`fsGroup`, one `runAsUser` for all).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Owner {
    /// Of files that nobody but their user may read.
    pub(super) user: Option<u32>,
    /// Of all files.
    pub(super) group: Option<u32>,
}

/// The directory of one pod.
pub(super) struct Files {
    /// As an engine on this machine names it.
    path: PathBuf,
    directory: Dir,
}

impl Files {
    /// Makes the directory, or finds it.
    pub(super) fn open(state: &Path, uid: &str) -> io::Result<Self> {
        let pods = state.join(PODS);
        std::fs::create_dir_all(&pods)?;
        // Secrets are in it. The engine mounts what is inside by itself, whoever may look.
        let pods_directory = Dir::open_ambient_dir(&pods, ambient_authority())?;
        pods_directory.set_permissions(".", Permissions::from_mode(0o711))?;
        pods_directory.create_dir_all(uid)?;
        Ok(Self { directory: pods_directory.open_dir(uid)?, path: pods.join(uid) })
    }

    /// Removes all of a pod's files. Fine where there are none.
    pub(super) fn remove(state: &Path, uid: &str) -> io::Result<()> {
        let pods = match Dir::open_ambient_dir(state.join(PODS), ambient_authority()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            pods => pods?,
        };
        match pods.remove_dir_all(uid) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    /// Writes a volume that the host makes; containers that have it see all of the new files at once.
    pub(super) fn write(&self, volume: &Volume, owner: Owner) -> io::Result<()> {
        let directory = self.make(&[VOLUMES, &volume.name])?;
        atomic::write(&directory, volume, owner)
    }

    /// Makes an `emptyDir`, writable for everybody as on a kubelet.
    pub(super) fn empty_dir(&self, name: &str, group: Option<u32>) -> io::Result<()> {
        let existed = self.directory.exists(Path::new(VOLUMES).join(name));
        let directory = self.make(&[VOLUMES, name])?;
        // Once: its content and its mode are the pod's from then on.
        if existed {
            return Ok(());
        }
        let mode = if group.is_some() { 0o2777 } else { 0o777 };
        directory.set_permissions(".", Permissions::from_mode(mode))?;
        match group {
            // The handle of a directory is for finding things in it only.
            Some(group) => fchown(directory.open(".")?, None, Some(group)),
            None => Ok(()),
        }
    }

    /// The path of a volume's directory.
    pub(super) fn volume(&self, name: &str) -> PathBuf {
        self.path.join(VOLUMES).join(name)
    }

    /// Something in a volume (`subPath`), which is made as a directory where it is missing and `may_make`.
    pub(super) fn sub_path(&self, name: &str, sub_path: &str, may_make: bool) -> io::Result<Found> {
        let volume = self.directory.open_dir(Path::new(VOLUMES).join(name))?;
        if may_make && !volume.exists(sub_path) {
            volume.create_dir_all(sub_path)?;
            volume.set_permissions(sub_path, Permissions::from_mode(0o777))?;
        }
        beneath::find(&volume, &self.volume(name), Path::new(sub_path))
    }

    /// Writes `/etc/hosts`; answers its path. Containers that have it mounted see the change.
    pub(super) fn hosts(&self, content: &str) -> io::Result<PathBuf> {
        let path = self.path.join(HOSTS);
        if self.has_hosts(content) {
            return Ok(path);
        }
        // In place: what is mounted is the file itself, not its name.
        let mut file = self.directory.open_with(HOSTS, OpenOptions::new().write(true).create(true).truncate(true))?;
        file.write_all(content.as_bytes())?;
        self.directory.set_permissions(HOSTS, Permissions::from_mode(0o644))?;
        Ok(path)
    }

    /// Containers can write it, and make it as large as they like: no more is read than there should be.
    fn has_hosts(&self, content: &str) -> bool {
        let mut there = vec![];
        let most = content.len() as u64 + 1;
        let read = self.directory.open(HOSTS).and_then(|file| file.take(most).read_to_end(&mut there));
        read.is_ok() && there == content.as_bytes()
    }

    /// Makes the file for a container's last words; answers its path.
    pub(super) fn termination_log(&self, container: &str, attempt: u32) -> io::Result<PathBuf> {
        let directory = self.make(&[CONTAINERS, container])?;
        let name = attempt.to_string();
        directory.open_with(&name, OpenOptions::new().write(true).create(true))?;
        // As a kubelet does: whoever the container runs as may write it.
        directory.set_permissions(&name, Permissions::from_mode(0o666))?;
        Ok(self.path.join(CONTAINERS).join(container).join(name))
    }

    /// What a container has left as its last words.
    pub(super) fn last_words(&self, container: &str, attempt: u32) -> String {
        let path = Path::new(CONTAINERS).join(container).join(attempt.to_string());
        let mut words = vec![];
        let read = self.directory.open(path).and_then(|file| file.take(LONGEST_MESSAGE).read_to_end(&mut words));
        // Without a file there are none.
        read.map(|_| String::from_utf8_lossy(&words).into_owned()).unwrap_or_default()
    }

    fn make(&self, names: &[&str]) -> io::Result<Dir> {
        let path: PathBuf = names.iter().collect();
        self.directory.create_dir_all(&path)?;
        self.directory.open_dir(&path)
    }
}

#[cfg(test)]
mod tests;
