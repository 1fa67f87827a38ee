//! Which tests belong to which rung, and what each rung needs set up.
//!
//! In: the compiled programs. Out: the names of those that failed. An error means that a rung could not be run at all.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::ValueEnum;
use controlplane::{ControlPlane, ENVIRONMENT, Options, dump};

use super::Arguments;
use super::programs::{Program, Programs};
use crate::cargo::{self, Workspace};
use crate::{failure, interrupt, plugins};

/// Tells a test where the pluglet binary is.
pub(crate) const BINARY: &str = "PLUGLET_BIN";
/// Tells a test the directory with the components of `plugins/` and `tests/hostile`.
pub(crate) const COMPONENTS: &str = "PLUGLET_COMPONENTS";

/// A rung of the ladder. Use the lowest that can show what is to be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Rung {
    /// Unit and documentation tests
    Unit,
    /// Real components in the real engine
    Component,
    /// pluglet on a real control plane
    Cluster,
    /// Real containers, on a real engine and a real control plane
    Engine,
}

impl Rung {
    /// All, from cheap to real.
    pub(super) const ALL: [Self; 4] = [Self::Unit, Self::Component, Self::Cluster, Self::Engine];

    /// What it consists of.
    pub(super) fn about(self) -> &'static str {
        match self {
            Self::Unit => "unit and documentation tests of all crates, loopback tests of egress and credentials",
            Self::Component => "real components in the real engine",
            Self::Cluster => "pluglet on a real control plane",
            Self::Engine => {
                "real containers, on a real engine and a real control plane; skipped with a reason where there is no engine"
            }
        }
    }

    fn of(package: &str) -> Self {
        match package {
            "pluglet-wasm" => Self::Component,
            "controlplane" | "cluster" => Self::Cluster,
            "engine" | "containers-suite" => Self::Engine,
            _ => Self::Unit,
        }
    }

    /// Runs it, and answers which programs failed.
    pub(super) fn run(
        self,
        workspace: &Workspace,
        programs: &Programs,
        components: Option<&Path>,
        arguments: &Arguments,
    ) -> Result<Vec<String>> {
        let programs = programs.of(|package| Self::of(package) == self);
        let filter = arguments.filter.as_deref();
        match self {
            Self::Unit => {
                let mut failed = run_each(&programs, |command| command.args(filter));
                failed.extend(documentation(filter));
                Ok(failed)
            }
            Self::Component => {
                let components = components.context("the components were not built")?;
                Ok(run_each(&programs, |command| command.env(COMPONENTS, components).args(filter)))
            }
            Self::Cluster | Self::Engine => {
                let components = components.context("the components were not built")?;
                cluster(workspace, &programs, components, arguments)
            }
        }
    }
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Unit => "unit",
            Self::Component => "component",
            Self::Cluster => "cluster",
            Self::Engine => "engine",
        })
    }
}

/// The directory with the components, built if one of `rungs` needs them.
pub(super) fn components(workspace: &Workspace, rungs: &[Rung]) -> Result<Option<PathBuf>> {
    if rungs == [Rung::Unit] {
        return Ok(None);
    }
    plugins::build(workspace, "component").map(Some)
}

/// The pluglet binary that the tests run, built.
pub(crate) fn pluglet(workspace: &Workspace) -> Result<PathBuf> {
    // Together with the tests, so that cargo chooses the same features as for them and has nothing left to compile.
    cargo::run(cargo::cargo().args(["build", "--workspace", "--tests", "--bin", "pluglet"]))?;
    Ok(workspace.binary("pluglet", "dev"))
}

fn cluster(
    workspace: &Workspace,
    programs: &[&Program],
    components: &Path,
    arguments: &Arguments,
) -> Result<Vec<String>> {
    let binary = pluglet(workspace)?;
    interrupt::block_on(async {
        let plane = interrupt::unless_requested(ControlPlane::start(Options::default())).await?;
        let dumps = failure::directory(workspace, "test");
        let failed = run_each(programs, |command| {
            command
                .env(ENVIRONMENT, plane.dir())
                .env(dump::ENVIRONMENT, &dumps)
                .env(BINARY, &binary)
                .env(COMPONENTS, components)
                .arg(format!("--test-threads={}", arguments.cluster_threads))
                .args(&arguments.filter)
        });
        if !failed.is_empty() {
            failure::dump(&plane, &dumps, &[]);
        }
        Ok(failed)
    })
}

fn run_each(programs: &[&Program], adjust: impl Fn(&mut Command) -> &mut Command) -> Vec<String> {
    let mut failed = vec![];
    for program in programs {
        eprintln!("\n-- {}", program.title);
        let mut command = program.command();
        adjust(&mut command);
        if let Err(error) = cargo::run(&mut command) {
            eprintln!("{error:#}");
            failed.push(program.title.clone());
        }
    }
    failed
}

fn documentation(filter: Option<&str>) -> Option<String> {
    eprintln!("\n-- documentation");
    let mut cargo = cargo::cargo();
    cargo.args(["test", "--workspace", "--doc", "--quiet"]);
    if let Some(filter) = filter {
        cargo.args(["--", filter]);
    }
    let error = cargo::run(&mut cargo).err()?;
    eprintln!("{error:#}");
    Some("documentation".to_owned())
}
