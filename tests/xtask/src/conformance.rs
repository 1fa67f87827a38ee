//! `conformance`: Kubernetes' own end-to-end suite against a pluglet node that runs real containers.
//!
//! In: nothing but what to select. Out: `junit.xml`, the suite's output and the node's log in `target/conformance`, the table
//! `tests/conformance/RESULTS.md`, and exit code 0 if every spec that failed is explained in
//! `tests/conformance/reasons.toml`. A run of a part writes no table.
//!
//! Invariant: specs, images and expectations are Kubernetes' own; only what builds and names them is ours.

mod files;
mod images;
mod machine;
mod native;
mod programs;
mod reasons;
mod report;
mod step;
mod suite;
mod table;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use controlplane::repository;

use crate::cargo::{self, Workspace};
use crate::test::{BINARY, COMPONENTS};
use crate::{interrupt, node, plugins};
use machine::Machine;
use programs::Programs;
use reasons::Reasons;
use report::Report;
use suite::Selection;

/// What a kubelet has to do, as its authors select it.
const FOCUS: &str = r"\[NodeConformance\]";

/// In-place resize, and what cannot run beside other specs or takes very long.
const SKIP: [&str; 4] = ["InPlace Resize", r"\[Slow\]", r"\[Serial\]", r"\[Disruptive\]"];

/// Arguments of `conformance`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Only specs whose name matches; by default those of [NodeConformance]
    #[arg(long, value_name = "REGEX")]
    focus: Vec<String>,
    /// Not specs whose name matches, beside those that are skipped anyway
    #[arg(long, value_name = "REGEX")]
    skip: Vec<String>,
    /// Skip only what --skip names: with --focus, to run a spec that is [Slow] or [Serial]
    #[arg(long)]
    skip_nothing_else: bool,
    /// How many specs run at once; they mostly wait
    #[arg(long, default_value_t = 6, value_name = "N")]
    procs: usize,
    /// How often a spec is tried that fails; on a machine that others load, some miss their deadlines. The table tells which
    #[arg(long, default_value_t = 1, value_name = "N")]
    attempts: u32,
    /// For the whole suite, in minutes; what has not run by then counts as failed
    #[arg(long, default_value_t = 90, value_name = "N")]
    minutes: u64,
    /// Not an error if a spec fails that reasons.toml does not explain
    #[arg(long)]
    accept: bool,
    /// Build everything and stop before anything is started
    #[arg(long)]
    build_only: bool,
}

/// The command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let begun = Instant::now();
    let workspace = Workspace::load()?;
    let reasons = Reasons::read(&home().join("reasons.toml"))?;
    let programs = Programs::install()?;
    let (pluglet, components) = under_test(&workspace)?;
    if arguments.build_only {
        eprintln!("all is built, after {} s", begun.elapsed().as_secs());
        return Ok(());
    }
    let output = workspace.target.join("conformance");
    let selection = arguments.selection();
    let outcome = interrupt::block_on(Box::pin(async {
        fs::create_dir_all(&output).with_context(|| format!("cannot make {}", output.display()))?;
        let machine = Machine::start(&workspace, &programs, &pluglet, &components);
        let mut machine = interrupt::unless_requested(Box::pin(machine)).await?;
        let ran = suite::run(&mut machine, &programs, &selection, &output).await;
        let engine = machine.engine_version().await;
        machine.stop(ran.is_err(), &output).await?;
        ran?;
        engine
    }))?;
    let report = Report::read(&output.join(suite::JSON))?;
    conclude(arguments, &reasons, &report, &table::Setting { kubernetes: programs.version.clone(), engine: outcome })?;
    eprintln!("\n{} s after the start; the suite's files are in {}", begun.elapsed().as_secs(), output.display());
    Ok(())
}

/// Where the committed files are.
fn home() -> PathBuf {
    repository().join("tests/conformance")
}

/// The pluglet binary and the directory of components: those that the environment names, as for tests, or built.
fn under_test(workspace: &Workspace) -> Result<(PathBuf, PathBuf)> {
    let named = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let components = match named(COMPONENTS) {
        Some(components) => components,
        None => plugins::build(workspace, "component")?,
    };
    let pluglet = match named(BINARY) {
        Some(pluglet) => pluglet,
        None => node::build(workspace, "dev")?,
    };
    Ok((pluglet, components))
}

/// Tells, writes the table after a whole run, and fails if there are specs that failed without a reason.
fn conclude(arguments: &Arguments, reasons: &Reasons, report: &Report, setting: &table::Setting) -> Result<()> {
    let verdict = table::Verdict::of(report, reasons);
    cargo::heading("results");
    println!("{}", verdict.summary());
    if arguments.is_whole() {
        let path = home().join("RESULTS.md");
        fs::write(&path, verdict.markdown(setting)).with_context(|| format!("cannot write {}", path.display()))?;
        for pattern in verdict.idle(reasons) {
            eprintln!("reasons.toml explains what does not fail any more: {pattern}");
        }
    }
    let unexplained = verdict.unexplained();
    if unexplained > 0 && !arguments.accept {
        bail!("{unexplained} specs failed for no reason that tests/conformance/reasons.toml knows; see above");
    }
    if report.specs.is_empty() {
        bail!("nothing was selected");
    }
    Ok(())
}

impl Arguments {
    fn selection(&self) -> Selection {
        let focus = if self.focus.is_empty() { vec![FOCUS.to_owned()] } else { self.focus.clone() };
        let mut skip = self.skip.clone();
        if !self.skip_nothing_else {
            skip.extend(SKIP.map(str::to_owned));
        }
        let limit = Duration::from_secs(self.minutes * 60);
        Selection { focus, skip, procs: self.procs, attempts: self.attempts, limit }
    }

    fn is_whole(&self) -> bool {
        self.focus.is_empty() && self.skip.is_empty() && !self.skip_nothing_else
    }
}
