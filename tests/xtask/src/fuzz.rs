//! `fuzz`: throws bytes at what reads bytes of the network, for some minutes each.
//!
//! In: minutes, perhaps targets. Out: libFuzzer's own output; an error at the first crash, with the input that caused it. What is found on the way goes below
//! cargo's target directory and is used again by the next run; the corpus in `tests/fuzz/corpus` is only read.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::cargo::{self, Workspace};
use crate::tools;

/// The cargo-fuzz that is installed where there is none.
const CARGO_FUZZ: &str = "0.13.1";
/// The compiler that has what the fuzzer needs.
const TOOLCHAIN: &str = "nightly";
/// An input that takes longer is a finding, seconds.
const TIMEOUT: u32 = 10;

/// Arguments of `fuzz`.
#[derive(Debug, Args)]
#[command(
    after_help = "Targets: spdy_frames, spdy_headers, spdy_connection, websocket, query; see tests/fuzz/README.md.

The first run installs cargo-fuzz into the user's cache and a nightly toolchain where they are missing, and builds for ten minutes or more."
)]
pub(crate) struct Arguments {
    /// How long each target runs
    #[arg(long, default_value_t = 10, value_name = "N")]
    minutes: u64,
    /// Only these targets, see tests/fuzz/fuzz_targets; by default all
    targets: Vec<String>,
}

/// The command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let workspace = Workspace::load()?;
    let directory = workspace.root.join("tests/fuzz");
    let known = names(&directory.join("fuzz_targets"))?;
    let targets = if arguments.targets.is_empty() { known.clone() } else { arguments.targets.clone() };
    if let Some(unknown) = targets.iter().find(|target| !known.contains(target)) {
        bail!("there is no target {unknown}: there are {}", known.join(", "));
    }
    let program = tools::installed("cargo-fuzz", CARGO_FUZZ)?;
    if !tools::runs(Command::new("rustup").args(["run", TOOLCHAIN, "rustc", "--version"])) {
        cargo::heading(&format!("install the toolchain {TOOLCHAIN}"));
        cargo::run(Command::new("rustup").args(["toolchain", "install", TOOLCHAIN, "--profile", "minimal"]))?;
    }
    for target in &targets {
        let found = workspace.target.join("fuzz/corpus").join(target);
        fs::create_dir_all(&found).with_context(|| format!("cannot make {}", found.display()))?;
        cargo::heading(&format!("fuzz {target} for {} minutes", arguments.minutes));
        let mut fuzz = Command::new("rustup");
        fuzz.args(["run", TOOLCHAIN]).arg(&program).args(["run", "--fuzz-dir"]).arg(&directory);
        // One target directory for all: by default each checkout has its own, with the engine in it.
        fuzz.arg("--target-dir").arg(workspace.target.join("fuzz/build"));
        fuzz.arg(target).arg(found).arg(directory.join("corpus").join(target));
        fuzz.args(["--", &format!("-max_total_time={}", arguments.minutes * 60), &format!("-timeout={TIMEOUT}")]);
        fuzz.arg("-print_final_stats=1").env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN");
        cargo::run(fuzz.current_dir(&directory))?;
    }
    println!("\nno crash: {} for {} minutes each", targets.join(", "), arguments.minutes);
    Ok(())
}

fn names(directory: &std::path::Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    let mut names: Vec<String> =
        entries.flatten().filter_map(|entry| Some(entry.path().file_stem()?.to_string_lossy().into_owned())).collect();
    names.sort();
    Ok(names)
}
