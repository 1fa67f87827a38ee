//! The control plane's directory: what lies where, who owns it, and what others need to know to join.
//!
//! ```text
//! pluglet-controlplane-XXXXXX/
//!   lock                 held by the owner for as long as it lives
//!   control-plane.json   the description: binaries and ports; written last, so whoever can read it can attach
//!   control.sock         takes "stop-apiserver" and "start-apiserver"
//!   pki/                 authorities, certificates and keys
//!   kubeconfig/          one per identity
//!   etcd/                etcd's data
//!   logs/                one file per component, and audit.log
//! ```
//!
//! Invariant: a directory whose `lock` nobody holds is garbage of a killed run; the next run removes it.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::components::Component;

const PREFIX: &str = "pluglet-controlplane-";

/// Paths inside a control plane's directory.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    root: PathBuf,
}

/// What someone else needs to use a running control plane.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Description {
    /// The directory that holds the five binaries.
    pub(crate) binaries: PathBuf,
    pub(crate) ports: Ports,
}

/// Loopback ports of the components.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Ports {
    pub(crate) etcd: u16,
    pub(crate) etcd_peer: u16,
    pub(crate) apiserver: u16,
    pub(crate) controller_manager: u16,
    pub(crate) scheduler: u16,
}

impl Ports {
    pub(crate) fn free() -> Result<Self> {
        let [etcd, etcd_peer, apiserver, controller_manager, scheduler] = crate::ports::free()?;
        Ok(Self { etcd, etcd_peer, apiserver, controller_manager, scheduler })
    }
}

impl Layout {
    /// The layout of a directory that exists, made by someone else.
    pub(crate) fn of(root: PathBuf) -> Self {
        Self { root }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn pki(&self) -> PathBuf {
        self.root.join("pki")
    }

    /// A certificate's path; its key lies beside it.
    pub(crate) fn certificate(&self, name: &str) -> PathBuf {
        self.pki().join(format!("{name}.crt"))
    }

    pub(crate) fn key(&self, name: &str) -> PathBuf {
        self.pki().join(format!("{name}.key"))
    }

    pub(crate) fn public_key(&self, name: &str) -> PathBuf {
        self.pki().join(format!("{name}.pub"))
    }

    pub(crate) fn kubeconfig(&self, name: &str) -> PathBuf {
        self.root.join("kubeconfig").join(format!("{name}.yaml"))
    }

    pub(crate) fn etcd_data(&self) -> PathBuf {
        self.root.join("etcd")
    }

    pub(crate) fn audit_policy(&self) -> PathBuf {
        self.root.join("audit-policy.yaml")
    }

    pub(crate) fn audit_log(&self) -> PathBuf {
        self.logs().join("audit.log")
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    pub(crate) fn log(&self, component: Component) -> PathBuf {
        self.logs().join(format!("{component}.log"))
    }

    pub(crate) fn control_socket(&self) -> PathBuf {
        self.root.join("control.sock")
    }

    pub(crate) fn kubectl_cache(&self) -> PathBuf {
        self.root.join("kubectl-cache")
    }

    fn description(&self) -> PathBuf {
        self.root.join("control-plane.json")
    }

    pub(crate) fn describe(&self, description: &Description) -> Result<()> {
        // Renamed into place, so that a reader never sees half of it.
        let partial = self.root.join("control-plane.json.part");
        fs::write(&partial, serde_json::to_vec_pretty(description)?)?;
        fs::rename(partial, self.description())?;
        Ok(())
    }

    pub(crate) fn read_description(&self) -> Result<Description> {
        let path = self.description();
        let bytes = fs::read(&path)
            .with_context(|| format!("no control plane at {}: cannot read {}", self.root.display(), path.display()))?;
        serde_json::from_slice(&bytes).with_context(|| format!("{} is not a description", path.display()))
    }
}

/// A directory owned by this process. Dropping it removes the directory.
#[derive(Debug)]
pub(crate) struct OwnedDir {
    dir: TempDir,
    _lock: File,
}

impl OwnedDir {
    /// A fresh directory with its sub-directories, after removing those that killed runs left behind.
    pub(crate) fn create() -> Result<(Self, Layout)> {
        let parent = std::env::temp_dir();
        sweep(&parent);
        let dir = tempfile::Builder::new().prefix(PREFIX).tempdir_in(&parent).with_context(|| {
            format!("cannot make a directory in {}; set TMPDIR to one that works", parent.display())
        })?;
        // Under another name until it is locked: a sweep of another run must never find it free.
        let partial = dir.path().join("lock.part");
        let lock = File::create(&partial)?;
        lock.lock()?;
        fs::rename(partial, dir.path().join("lock"))?;
        let layout = Layout::of(dir.path().to_owned());
        for sub in [layout.pki(), layout.root.join("kubeconfig"), layout.etcd_data(), layout.logs()] {
            fs::create_dir(sub)?;
        }
        // The kernel's limit for a socket's path is 108 bytes, and the error it gives does not say so.
        if layout.control_socket().as_os_str().len() > 100 {
            bail!("{} is too long for a Unix socket; set TMPDIR to something shorter", layout.root.display());
        }
        Ok((Self { dir, _lock: lock }, layout))
    }

    /// Leaves the directory in place when this is dropped, and out of reach of later runs' sweeps.
    pub(crate) fn keep(&mut self) {
        self.dir.disable_cleanup(true);
        let _ = fs::remove_file(self.dir.path().join("lock"));
    }
}

/// Removes directories whose owner is gone. Errors are of no interest: another run may be doing the same.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let lock = entry.path().join("lock");
        // Without a lock file it is one that is being made this very moment, or kept on purpose.
        let Ok(lock) = File::open(lock) else { continue };
        if !matches!(lock.try_lock(), Err(TryLockError::WouldBlock)) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_live_directory_is_not_swept_and_an_abandoned_one_is() {
        let (owned, layout) = OwnedDir::create().unwrap();
        let parent = layout.root().parent().unwrap();
        let abandoned = parent.join(format!("{PREFIX}abandoned-{}", std::process::id()));
        fs::create_dir(&abandoned).unwrap();
        File::create(abandoned.join("lock")).unwrap();
        sweep(parent);
        assert!(layout.root().exists());
        assert!(!abandoned.exists());
        drop(owned);
        assert!(!layout.root().exists());
    }
}
