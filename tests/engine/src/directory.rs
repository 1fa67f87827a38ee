//! An engine's directory: what lies where, and who owns it.
//!
//! ```text
//! pluglet-engine-XXXXXX/
//!   lock              held by the owner for as long as it lives
//!   podman.sock       the engine's socket
//!   podman.log        the service's output
//!   *.conf, auth.json, conmon, networks/
//!   root/, run/, tmp/ podman's: images, containers, volumes; what runs; what is being unpacked
//!   registry/         its configuration, log and images
//! ```
//!
//! Invariant: a directory whose `lock` nobody holds is what a killed run left; the next run takes it down, and with it
//! the containers in it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::teardown;

const PREFIX: &str = "pluglet-engine-";

/// The kernel's limit for a socket's path is 108 bytes, and the error it gives does not say so.
const LONGEST_SOCKET: usize = 100;

/// Paths inside an engine's directory.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.root.join("podman.sock")
    }

    pub(crate) fn service_log(&self) -> PathBuf {
        self.root.join("podman.log")
    }

    pub(crate) fn teardown_log(&self) -> PathBuf {
        self.root.join("teardown.log")
    }

    pub(crate) fn containers_conf(&self) -> PathBuf {
        self.root.join("containers.conf")
    }

    pub(crate) fn storage_conf(&self) -> PathBuf {
        self.root.join("storage.conf")
    }

    pub(crate) fn registries_conf(&self) -> PathBuf {
        self.root.join("registries.conf")
    }

    pub(crate) fn credentials(&self) -> PathBuf {
        self.root.join("auth.json")
    }

    pub(crate) fn conmon(&self) -> PathBuf {
        self.root.join("conmon")
    }

    pub(crate) fn networks(&self) -> PathBuf {
        self.root.join("networks")
    }

    pub(crate) fn storage(&self) -> PathBuf {
        self.root.join("root")
    }

    pub(crate) fn run(&self) -> PathBuf {
        self.root.join("run")
    }

    pub(crate) fn temporary(&self) -> PathBuf {
        self.root.join("tmp")
    }

    pub(crate) fn registry(&self) -> PathBuf {
        self.root.join("registry")
    }
}

/// A directory owned by this process. It stays until it is taken down, see [`teardown`].
#[derive(Debug)]
pub(crate) struct OwnedDirectory {
    layout: Layout,
    _lock: File,
}

impl OwnedDirectory {
    /// A fresh directory in `parent`, after taking down those that killed runs left there.
    pub(crate) fn create(parent: &Path) -> Result<Self> {
        // As the kernel spells it, which is how mounts are found again.
        let parent = parent.canonicalize().with_context(|| format!("there is no {}", parent.display()))?;
        sweep(&parent);
        let directory = tempfile::Builder::new().prefix(PREFIX).tempdir_in(&parent).with_context(|| {
            format!("cannot make a directory in {}; set TMPDIR to one that works", parent.display())
        })?;
        let layout = Layout { root: directory.path().to_owned() };
        check_path(&layout)?;
        // Under another name until it is locked: a sweep of another run must never find it free.
        let partial = layout.root.join("lock.part");
        let lock = File::create(&partial)?;
        lock.lock()?;
        fs::rename(partial, layout.root.join("lock"))?;
        // From here on there may be mounts in it: removing what is in it comes after much else.
        let _ = directory.keep();
        Ok(Self { layout, _lock: lock })
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }
}

/// The path goes into files and lists of four syntaxes, none of which is worth an escape here.
fn check_path(layout: &Layout) -> Result<()> {
    let root = layout.root.display();
    if layout.socket().as_os_str().len() > LONGEST_SOCKET {
        bail!("{root} is too long for a Unix socket; set TMPDIR to something shorter");
    }
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/-_.+".contains(byte);
    if !layout.root.as_os_str().as_encoded_bytes().iter().all(plain) {
        bail!("{root} has characters that podman's files would need quotes for; set TMPDIR to something plain");
    }
    Ok(())
}

/// Takes down directories whose owner is gone. What cannot be taken down stays for the next run.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        // Without a lock file it is one that is being made, or removed, this very moment.
        let Ok(lock) = File::open(entry.path().join("lock")) else { continue };
        // Held until the directory is gone: another run that sweeps leaves this one alone.
        if lock.try_lock().is_err() {
            continue;
        }
        eprintln!("container engine: taking down {}, which a killed run left", entry.path().display());
        if let Err(error) = teardown::take_down(&Layout { root: entry.path() }) {
            eprintln!("container engine: {error:#}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_live_directory_is_not_swept_and_an_abandoned_one_is() {
        let parent = tempfile::tempdir().unwrap();
        let owned = OwnedDirectory::create(parent.path()).unwrap();
        let abandoned = parent.path().join(format!("{PREFIX}abandoned"));
        let unfinished = parent.path().join(format!("{PREFIX}unfinished"));
        fs::create_dir(&abandoned).unwrap();
        fs::create_dir(&unfinished).unwrap();
        File::create(abandoned.join("lock")).unwrap();
        sweep(parent.path());
        assert!(owned.layout().root().exists());
        assert!(!abandoned.exists());
        assert!(unfinished.exists());
    }

    #[test]
    fn a_path_that_would_need_quotes_or_is_too_long_is_refused_and_not_left() {
        let parent = tempfile::tempdir().unwrap();
        for (name, complaint) in [("with a space".to_owned(), "quotes"), ("x".repeat(100), "too long")] {
            let inner = parent.path().join(name);
            fs::create_dir(&inner).unwrap();
            let message = OwnedDirectory::create(&inner).unwrap_err().to_string();
            assert!(message.contains(complaint), "{message}");
            assert_eq!(fs::read_dir(&inner).unwrap().count(), 0);
        }
    }
}
