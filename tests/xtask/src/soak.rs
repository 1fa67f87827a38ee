//! `soak`: the one test of the cluster rung that gets better by running longer.
//!
//! In: minutes, perhaps a seed. Out: the test's own output, which begins with the seed; an error if the sides did not agree. It has a control plane of
//! its own, so nothing else needs to run.

use anyhow::{Context, Result};
use clap::Args;
use controlplane::dump;

use crate::cargo::{self, Workspace};
use crate::test::{self, BINARY, COMPONENTS, Programs};
use crate::{failure, plugins};

/// The test, by the beginning of its name.
const TEST: &str = "soak::";

/// Arguments of `soak`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// How long things happen; some minutes come on top, until all has settled
    #[arg(long, default_value_t = 5, value_name = "N")]
    minutes: u64,
    /// The seed of a run that is to be played again; by default a new one
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,
}

/// The command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let workspace = Workspace::load()?;
    let programs = Programs::build(&workspace)?;
    let components = plugins::build(&workspace, "component")?;
    let binary = test::pluglet(&workspace)?;
    let program = programs.of(|package| package == "cluster").into_iter().find(|program| program.title == "cluster it");
    let mut command = program.context("the cluster tests were not built")?.command();
    command
        .env(BINARY, binary)
        .env(COMPONENTS, components)
        .env(dump::ENVIRONMENT, failure::directory(&workspace, "soak"))
        .env("PLUGLET_SOAK_SECONDS", (arguments.minutes * 60).to_string())
        .args([TEST, "--nocapture"]);
    if let Some(seed) = arguments.seed {
        command.env("PLUGLET_SOAK_SEED", seed.to_string());
    }
    cargo::heading(&format!("soak for {} minutes", arguments.minutes));
    cargo::run(&mut command)
}
