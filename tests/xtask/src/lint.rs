//! `lint` and `deny`: what is checked without running anything of ours.

use std::process::Command;

use anyhow::Result;

use crate::cargo::{self, Workspace};
use crate::{plugins, tools};

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
    let program = tools::installed("cargo-deny", CARGO_DENY)?;
    cargo::heading("cargo deny: bans, licences, sources");
    let mut deny = Command::new(program);
    deny.current_dir(cargo::repository()).args(["--all-features", "--locked"]);
    cargo::run(deny.args(["check", "bans", "licenses", "sources"]))
}
