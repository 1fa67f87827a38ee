//! `lint` and `deny`: what is checked without running anything of ours.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use controlplane::binaries;

use crate::cargo::{self, Workspace};
use crate::plugins;

/// The cargo-deny that is installed where there is none. Pinned, so that its opinion changes only with a commit.
const CARGO_DENY: &str = "0.20.2";

/// Clippy over the workspace, then over the plugins as the components that they are.
pub(crate) fn lint() -> Result<()> {
    let workspace = Workspace::load()?;
    cargo::heading("clippy, everything on this machine's target");
    cargo::run(cargo::cargo().args(["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]))?;
    plugins::ensure_target()?;
    cargo::heading(&format!("clippy, plugins on {}", plugins::TARGET));
    let mut clippy = cargo::cargo();
    clippy.args(["clippy", "--locked", "--target", plugins::TARGET]);
    for plugin in workspace.plugins() {
        clippy.args(["--package", &plugin.name]);
    }
    cargo::run(clippy.args(["--", "-D", "warnings"]))
}

/// cargo-deny with the rules of `deny.toml`. No advisories: they change with no change here, and need the network.
pub(crate) fn deny() -> Result<()> {
    let program = cargo_deny()?;
    cargo::heading("cargo deny: bans, licences, sources");
    let mut deny = Command::new(program);
    deny.current_dir(cargo::repository()).args(["--all-features", "--locked"]);
    cargo::run(deny.args(["check", "bans", "licenses", "sources"]))
}

/// Where cargo-deny is: on the PATH, in the cache, or, after some minutes, in the cache.
fn cargo_deny() -> Result<PathBuf> {
    let tools = binaries::cache_directory()?.join("tools").join(format!("cargo-deny-{CARGO_DENY}"));
    let cached = tools.join("bin/cargo-deny");
    for program in [PathBuf::from("cargo-deny"), cached.clone()] {
        if runs(program.as_os_str()) {
            return Ok(program);
        }
    }
    cargo::heading(&format!("install cargo-deny {CARGO_DENY} into {}", tools.display()));
    let mut install = cargo::cargo();
    install.args(["install", "--locked", "--version", CARGO_DENY, "--root"]).arg(&tools).arg("cargo-deny");
    // Beside our own build, or the two would take turns invalidating each other.
    install.arg("--target-dir").arg(tools.join("build"));
    cargo::run(&mut install).context("cannot install cargo-deny; install it yourself, or see the output above")?;
    // Half a gigabyte that nobody needs again.
    let _ = std::fs::remove_dir_all(tools.join("build"));
    Ok(cached)
}

fn runs(program: &OsStr) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
