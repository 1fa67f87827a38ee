//! Calls of cargo and of other programs, and where cargo puts things.
//!
//! In: arguments. Out: success, or an error that repeats the command line. Output of the programs goes straight to the
//! terminal: their progress is our progress.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// What `cargo metadata` tells about this workspace.
#[derive(Debug, Deserialize)]
pub(crate) struct Workspace {
    /// Where cargo builds.
    #[serde(rename = "target_directory")]
    pub(crate) target: PathBuf,
    /// The repository.
    #[serde(rename = "workspace_root")]
    pub(crate) root: PathBuf,
    packages: Vec<Package>,
}

/// A package of the workspace.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) id: String,
    pub(crate) name: String,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
struct Target {
    name: String,
    crate_types: Vec<String>,
}

impl Workspace {
    /// Asks cargo.
    pub(crate) fn load() -> Result<Self> {
        let output = cargo()
            .args(["metadata", "--no-deps", "--format-version=1"])
            .stderr(Stdio::inherit())
            .output()
            .context("cannot run cargo")?;
        if !output.status.success() {
            bail!("cargo metadata failed: correct Cargo.toml first");
        }
        serde_json::from_slice(&output.stdout).context("cargo metadata printed something unexpected")
    }

    /// The packages in `plugins/` and `tests/hostile` that build a component.
    pub(crate) fn plugins(&self) -> Vec<&Package> {
        let folders = [self.root.join("plugins"), self.root.join("tests/hostile")];
        let is_one = |package: &&Package| {
            folders.iter().any(|folder| package.manifest_path.starts_with(folder)) && package.component().is_some()
        };
        self.packages.iter().filter(is_one).collect()
    }

    /// The package with cargo's id `id`.
    pub(crate) fn package(&self, id: &str) -> Option<&Package> {
        self.packages.iter().find(|package| package.id == id)
    }

    /// Where a binary of this workspace is after it was built with `profile`.
    pub(crate) fn binary(&self, name: &str, profile: &str) -> PathBuf {
        let folder = if profile == "dev" { "debug" } else { profile };
        self.target.join(folder).join(name)
    }
}

impl Package {
    /// The directory of its `Cargo.toml`.
    pub(crate) fn dir(&self) -> &Path {
        self.manifest_path.parent().unwrap_or(&self.manifest_path)
    }

    /// The file name of the component that it builds, if it builds one.
    pub(crate) fn component(&self) -> Option<String> {
        self.targets
            .iter()
            .find(|target| target.crate_types.iter().any(|kind| kind == "cdylib"))
            .map(|target| format!("{}.wasm", target.name.replace('-', "_")))
    }
}

/// `cargo`, the one that runs this program if it was cargo.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(repository()).stdin(Stdio::null());
    // What `cargo run` tells this program about its own package would reach build scripts that watch such variables (ring's does):
    // each call from here and each call by hand would then compile half of the dependencies anew.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            cargo.env_remove(name);
        }
    }
    cargo
}

pub(crate) use controlplane::repository;

/// Runs a command to its end; anything but success is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {}", line(command)))?;
    if !status.success() {
        bail!("{} failed ({status}); its output is above", line(command));
    }
    Ok(())
}

/// A line that says what comes next.
pub(crate) fn heading(text: &str) {
    eprintln!("\n==> {text}");
}

fn line(command: &Command) -> String {
    let mut words = vec![Path::new(command.get_program()).file_name().unwrap_or_default().display().to_string()];
    words.extend(command.get_args().map(|word| word.display().to_string()));
    words.join(" ")
}
