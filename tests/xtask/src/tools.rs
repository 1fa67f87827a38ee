//! Programs of others that commands need: found where they are, or installed once into the user's cache.
//!
//! In: a name and a version. Out: where the program is. Invariant: nothing outside of the cache is changed.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use controlplane::binaries;

use crate::cargo;

/// A program that `cargo install` makes: on the PATH, in the cache, or, after some minutes, in the cache.
pub(crate) fn installed(name: &str, version: &str) -> Result<PathBuf> {
    let tools = binaries::cache_directory()?.join("tools").join(format!("{name}-{version}"));
    let cached = tools.join("bin").join(name);
    for program in [PathBuf::from(name), cached.clone()] {
        if runs(Command::new(&program).arg("--version")) {
            return Ok(program);
        }
    }
    cargo::heading(&format!("install {name} {version} into {}", tools.display()));
    let mut install = cargo::cargo();
    install.args(["install", "--locked", "--version", version, "--root"]).arg(&tools).arg(name);
    // Beside our own build, or the two would take turns invalidating each other.
    install.arg("--target-dir").arg(tools.join("build"));
    cargo::run(&mut install)
        .with_context(|| format!("cannot install {name}; install it yourself, or see the output above"))?;
    // Half a gigabyte that nobody needs again.
    let _ = std::fs::remove_dir_all(tools.join("build"));
    Ok(cached)
}

/// Whether a command ends well; what it prints is of no interest.
pub(crate) fn runs(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
