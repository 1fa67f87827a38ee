//! The user's cache directory, and how a directory gets into it whole or not at all.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

/// `$XDG_CACHE_HOME/pluglet`, or `~/.cache/pluglet`.
pub fn directory() -> Result<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .filter(|dir| !dir.is_empty())
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cache")))
        .context("there is neither $XDG_CACHE_HOME nor a home directory: set XDG_CACHE_HOME")?;
    Ok(base.join("pluglet"))
}

/// Holds everyone else back who wants to install the same. Released when the file is dropped.
pub(super) fn lock(name: &str) -> Result<File> {
    let dir = directory()?;
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let path = dir.join(format!("{name}.lock"));
    let file = File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => eprintln!("waiting for another run that is installing {name} …"),
        Err(TryLockError::Error(error)) => return Err(error).context("cannot lock the cache"),
    }
    file.lock().context("cannot lock the cache")?;
    Ok(file)
}

/// A directory to fill, beside those in the cache so that [`publish`] is a rename. The caller holds the lock.
pub(super) fn staging(name: &str) -> Result<TempDir> {
    let dir = directory()?;
    fs::create_dir_all(&dir)?;
    let prefix = format!(".{name}-");
    for entry in fs::read_dir(&dir)?.flatten() {
        // Under the lock there is no other: it is what a killed run left.
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    tempfile::Builder::new()
        .prefix(&prefix)
        .tempdir_in(&dir)
        .with_context(|| format!("cannot write to {}", dir.display()))
}

/// Makes the filled directory the one called `name`. A former one, which lacked something, goes.
pub(super) fn publish(filled: &Path, name: &str) -> Result<PathBuf> {
    let target = directory()?.join(name);
    if target.exists() {
        fs::remove_dir_all(&target).with_context(|| format!("cannot replace {}", target.display()))?;
    }
    fs::rename(filled, &target).with_context(|| format!("cannot make {}", target.display()))?;
    Ok(target)
}
