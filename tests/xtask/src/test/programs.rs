//! The compiled test programs of the workspace.
//!
//! In: one `cargo test --no-run` for everything. Out: the programs, each with the package it belongs to, ready to be run
//! the way cargo would.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::cargo::{self, Workspace};

/// All of them.
#[derive(Debug)]
pub(crate) struct Programs {
    all: Vec<Program>,
}

/// One of them: the unit tests of a library or binary, or one integration test.
#[derive(Debug)]
pub(crate) struct Program {
    /// `package target`.
    pub(crate) title: String,
    package: String,
    dir: PathBuf,
    path: PathBuf,
}

/// The part of cargo's messages that matters.
#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    package_id: String,
    target: Option<TargetName>,
    executable: Option<PathBuf>,
    profile: Option<Profile>,
}

#[derive(Deserialize)]
struct TargetName {
    name: String,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

impl Programs {
    /// Compiles the tests of the whole workspace.
    pub(crate) fn build(workspace: &Workspace) -> Result<Self> {
        cargo::heading("compile all tests");
        let mut child = cargo::cargo()
            .args(["test", "--workspace", "--no-run", "--message-format=json-render-diagnostics"])
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run cargo")?;
        let stdout = child.stdout.take().context("cargo has no stdout")?;
        let mut all = vec![];
        for line in BufReader::new(stdout).lines() {
            all.extend(Self::read(workspace, &line?));
        }
        if !child.wait()?.success() {
            bail!("the tests do not compile; cargo's output is above");
        }
        Ok(Self { all })
    }

    /// The programs of the packages for which `wanted` says so.
    pub(crate) fn of(&self, wanted: impl Fn(&str) -> bool) -> Vec<&Program> {
        self.all.iter().filter(|program| wanted(&program.package)).collect()
    }

    fn read(workspace: &Workspace, line: &str) -> Option<Program> {
        // Cargo prints other kinds of messages too; those lack what is needed.
        let message: Message = serde_json::from_str(line).ok()?;
        let path = message.executable.filter(|_| message.profile.is_some_and(|profile| profile.test))?;
        let package = workspace.package(&message.package_id)?;
        let title = format!("{} {}", package.name, message.target?.name);
        Some(Program { title, package: package.name.clone(), dir: package.dir().to_owned(), path })
    }
}

impl Program {
    /// The command that runs it, in its package's directory as cargo does.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.current_dir(&self.dir).env("CARGO_MANIFEST_DIR", &self.dir).env("CARGO_PKG_NAME", &self.package);
        command.stdin(Stdio::null());
        command
    }
}
