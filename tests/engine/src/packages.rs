//! Makes sure that the programs are there, with apt-get if need be.
//!
//! In: whether a registry is wanted. Out: nothing more to do, or the reason why there can be no engine.
//!
//! Invariant: one run at a time installs, and whoever waited for it looks again before it installs anything itself. What
//! failed is not tried again by the same run.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, anyhow, bail};
use controlplane::binaries::cache_directory;

use crate::programs::{self, Machine};

/// How long apt-get waits for another one, in seconds: as long as an upgrade in the background may take.
const APT_PATIENCE: &str = "DPkg::Lock::Timeout=600";

/// Lines of apt-get's output in an error: the last ones tell what went wrong.
const LINES: usize = 20;

/// Installs what is missing. Answers the reason to do without an engine, for people to read, if there is one.
pub(crate) fn ensure(registry: bool) -> Result<Option<String>> {
    match Machine::look(registry).plan() {
        Err(reason) => return Ok(Some(reason)),
        Ok(packages) if packages.is_empty() => return Ok(None),
        Ok(_) => {}
    }
    let _lock = lock()?;
    // Another run may have installed them while this one waited for the lock.
    let packages = match Machine::look(registry).plan() {
        Err(reason) => return Ok(Some(reason)),
        Ok(packages) if packages.is_empty() => return Ok(None),
        Ok(packages) => packages,
    };
    // Once for each run: many tests ask, and each would wait for a network that is not there.
    static FAILED: Mutex<BTreeMap<Vec<&str>, String>> = Mutex::new(BTreeMap::new());
    let mut failed = FAILED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(reason) = failed.get(&packages) {
        return Ok(Some(reason.clone()));
    }
    let reason = match install(&packages).map(|()| programs::missing(registry)) {
        Ok(missing) if missing.is_empty() => return Ok(None),
        Ok(missing) => format!("apt-get installed {}, and their programs are not to be found", missing.join(" ")),
        Err(error) => format!("cannot install {}: {error:#}", packages.join(" ")),
    };
    failed.insert(packages, reason.clone());
    Ok(Some(reason))
}

fn install(packages: &[&str]) -> Result<()> {
    eprintln!("container engine: installing {} with apt-get, once …", packages.join(" "));
    apt(&["update"])?;
    apt(&[&["install", "--yes", "--no-install-recommends"], packages].concat())?;
    eprintln!("container engine: installed");
    Ok(())
}

/// It is not bound to the life of this process: packages that are half installed help nobody.
fn apt(arguments: &[&str]) -> Result<()> {
    let output = Command::new("apt-get")
        .args(["-o", APT_PATIENCE])
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("PATH", programs::search_path())
        .stdin(Stdio::null())
        .output()
        .context("cannot run apt-get")?;
    if output.status.success() {
        return Ok(());
    }
    // Both streams: apt-get tells errors on the one, and dpkg's maintainer scripts what they did on the other.
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let mut tail: Vec<&str> = text.lines().rev().take(LINES).collect();
    tail.reverse();
    bail!("apt-get {} ended with {}:\n{}", arguments.join(" "), output.status, tail.join("\n"))
}

/// Holds everyone else back who wants to install the same. Released when the file is dropped.
fn lock() -> Result<File> {
    let directory = cache_directory()?;
    fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let path = directory.join("engine.lock");
    let file = File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => eprintln!("waiting for another run that is installing a container engine …"),
        Err(TryLockError::Error(error)) => return Err(anyhow!(error).context("cannot lock the cache")),
    }
    file.lock().context("cannot lock the cache")?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_install_tells_what_apt_get_said() {
        if programs::find("apt-get").is_none() {
            eprintln!("skipped: there is no apt-get");
            return;
        }
        let error = apt(&["install", "--simulate", "no-package-is-called-this"]).unwrap_err().to_string();
        assert!(error.contains("Unable to locate package no-package-is-called-this"), "{error}");
    }
}
