//! Builds the components in `plugins/`, and the hostile ones of the security tests.
//!
//! In: a cargo profile. Out: a directory with one `.wasm` for each package in `plugins/` and `tests/hostile` that builds a `cdylib`.
//! Makes sure that the toolchain knows the target first: machines with `RUSTUP_AUTO_INSTALL=0` do not fetch it by
//! themselves.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::cargo::{self, Workspace};

/// Components are built for this: WASI 0.2 with the component model.
pub(crate) const TARGET: &str = "wasm32-wasip2";

/// Arguments of `build-plugins`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The cargo profile to build with
    #[arg(long, default_value = "component")]
    profile: String,
}

/// The command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let workspace = Workspace::load()?;
    let dir = build(&workspace, &arguments.profile)?;
    for plugin in workspace.plugins() {
        let file = dir.join(plugin.component().unwrap_or_default());
        let size = std::fs::metadata(&file).with_context(|| format!("cargo did not make {}", file.display()))?.len();
        println!("{}  {} KiB", file.display(), size / 1024);
    }
    Ok(())
}

/// Builds all plugins, and answers where their components are.
pub(crate) fn build(workspace: &Workspace, profile: &str) -> Result<PathBuf> {
    ensure_target()?;
    let plugins = workspace.plugins();
    let names: Vec<&str> = plugins.iter().map(|plugin| plugin.name.as_str()).collect();
    cargo::heading(&format!("build components: {}", names.join(", ")));
    let mut cargo = cargo::cargo();
    cargo.args(["build", "--target", TARGET, "--profile", profile]);
    for name in names {
        cargo.args(["--package", name]);
    }
    cargo::run(&mut cargo)?;
    let folder = if profile == "dev" { "debug" } else { profile };
    Ok(workspace.target.join(TARGET).join(folder))
}

/// Fetches the toolchain of `rust-toolchain.toml` with its targets, if the standard library for [`TARGET`] is missing.
pub(crate) fn ensure_target() -> Result<()> {
    if target_is_there()? {
        return Ok(());
    }
    cargo::heading(&format!("install the toolchain of rust-toolchain.toml, for {TARGET}"));
    // Without an argument it installs what rust-toolchain.toml names, targets included.
    cargo::run(Command::new("rustup").args(["toolchain", "install"]).current_dir(cargo::repository()))
        .with_context(|| format!("the Rust target {TARGET} is missing; install rustup, or add the target yourself"))?;
    if !target_is_there()? {
        bail!(
            "rustup installed the toolchain, and the target {TARGET} is still missing: is another rustc first on PATH?"
        );
    }
    Ok(())
}

fn target_is_there() -> Result<bool> {
    let output = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", TARGET])
        .current_dir(cargo::repository())
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .context("cannot run rustc: install Rust with https://rustup.rs")?;
    let dir = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    Ok(output.status.success() && dir.is_dir())
}
