//! `test`: the rungs of the test ladder, from the cheapest to the most real.
//!
//! In: a filter and the rungs to run, by default all. Out: the test programs' own output under a heading each, a summary,
//! and an error if any failed. All tests of all rungs are compiled by one cargo call, for two reasons: cargo chooses the
//! features of shared dependencies by what is built together, so separate calls would compile them again; and a mistake
//! in the last rung shows before the first one runs.

mod programs;
mod rung;

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;

use crate::cargo::{self, Workspace};
pub(crate) use programs::Programs;
use rung::Rung;
pub(crate) use rung::{BINARY, COMPONENTS, pluglet};

/// Arguments of `test`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Only tests whose name contains this
    filter: Option<String>,
    /// Only these rungs; may be given several times
    #[arg(long = "rung", value_name = "RUNG")]
    rungs: Vec<Rung>,
    /// How many cluster tests run at once; they mostly wait for each other's processes, not for a core
    #[arg(long, default_value_t = 4, value_name = "N")]
    cluster_threads: usize,
}

/// How one rung ended.
struct Outcome {
    rung: Rung,
    failed: Vec<String>,
    took: Duration,
}

/// The command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let workspace = Workspace::load()?;
    let rungs = if arguments.rungs.is_empty() { Rung::ALL.to_vec() } else { arguments.rungs.clone() };
    let begun = Instant::now();
    let programs = Programs::build(&workspace)?;
    let components = rung::components(&workspace, &rungs)?;
    let mut outcomes = vec![];
    for rung in rungs {
        let begun = Instant::now();
        cargo::heading(&format!("rung {rung}: {}", rung.about()));
        let failed = rung.run(&workspace, &programs, components.as_deref(), arguments)?;
        outcomes.push(Outcome { rung, failed, took: begun.elapsed() });
    }
    summarise(&outcomes, begun.elapsed())
}

fn summarise(outcomes: &[Outcome], took: Duration) -> Result<()> {
    cargo::heading(&format!("summary, after {} s", took.as_secs()));
    for outcome in outcomes {
        let verdict = if outcome.failed.is_empty() { "ok" } else { "FAILED" };
        println!("{:<10} {verdict:<7} {:>5} s  {}", outcome.rung, outcome.took.as_secs(), outcome.failed.join(", "));
    }
    let failed: Vec<&str> = outcomes.iter().flat_map(|outcome| &outcome.failed).map(String::as_str).collect();
    if !failed.is_empty() {
        bail!("failed: {}; the output of each is above", failed.join(", "));
    }
    Ok(())
}
