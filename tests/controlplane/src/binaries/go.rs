//! Building the programs of a Go module, with progress.
//!
//! In: a [`GoModule`]. Out: its programs in the cache. `go install tool` in the module's directory builds what its
//! `tool` lines name, at the versions that `go.sum` pins.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{GoModule, cache};
use crate::process;

/// Between two progress lines.
const PROGRESS: Duration = Duration::from_secs(15);
/// Between two looks at the compiler.
const POLL: Duration = Duration::from_millis(100);
/// How much of the compiler's output an error shows.
const TAIL: usize = 20;

/// Builds the module's programs and puts them into the cache under its name. The caller holds the lock.
pub(super) fn build(module: &GoModule) -> Result<PathBuf> {
    let staging = cache::staging(&module.cache_name)?;
    let programs = staging.path().join("bin");
    fs::create_dir(&programs)?;
    eprintln!("{}: building it from its Go module (cached afterwards)", module.title);
    let begun = Instant::now();
    install(module, &programs, begun)?;
    for (built, name) in &module.programs {
        if built != name {
            fs::rename(programs.join(built), programs.join(name))
                .with_context(|| format!("go install did not make {built}"))?;
        }
    }
    let dir = cache::publish(&programs, &module.cache_name)?;
    eprintln!("{}: {} (built in {} s)", module.title, dir.display(), begun.elapsed().as_secs());
    Ok(dir)
}

fn install(module: &GoModule, programs: &PathBuf, begun: Instant) -> Result<()> {
    let mut command = Command::new("go");
    // -v prints each package when it is compiled: the only progress that go gives.
    command.args(["install", "-v", "-trimpath", "-ldflags", &module.ldflags, "tool"]);
    command.current_dir(&module.dir).env("GOBIN", programs).env("CGO_ENABLED", "0");
    let mut go = process::spawn_bound(&command, |go| {
        go.stdin(Stdio::null()).stderr(Stdio::piped());
    })?;
    let stderr = go.stderr.take().context("go has no stderr")?;
    let output = Mutex::new(Vec::new());
    let status = thread::scope(|scope| {
        scope.spawn(|| collect(stderr, &output));
        let mut told = begun;
        loop {
            if let Some(status) = go.try_wait()? {
                return anyhow::Ok(status);
            }
            if told.elapsed() >= PROGRESS {
                told = Instant::now();
                let lines = output.lock().unwrap_or_else(PoisonError::into_inner);
                let now = lines.last().map_or("resolving modules", String::as_str);
                eprintln!("  {}: {} s, {} packages, now {now}", module.title, begun.elapsed().as_secs(), lines.len());
            }
            thread::sleep(POLL);
        }
    })?;
    if !status.success() {
        let lines = output.into_inner().unwrap_or_else(PoisonError::into_inner);
        let tail = lines.iter().skip(lines.len().saturating_sub(TAIL)).cloned().collect::<Vec<_>>().join("\n");
        bail!("go install in {} failed ({status}):\n{tail}", module.dir.display());
    }
    Ok(())
}

fn collect(stderr: impl Read, output: &Mutex<Vec<String>>) {
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        output.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }
}
