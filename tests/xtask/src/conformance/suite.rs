//! A run of the suite: `ginkgo` with several processes of `e2e.test`.
//!
//! In: a [`Machine`], and what to select. Out: `junit.xml`, `report.json` and the output in a directory, lines of progress
//! on stderr. That specs fail is no error here.
//!
//! Invariant: no process of the suite outlives this one, however it ends: ginkgo is the first process of a namespace of its own, and the kernel ends the
//! others with it.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use controlplane::Process;

use super::machine::Machine;
use super::programs::Programs;
use crate::{cargo, interrupt};

/// ginkgo's report.
pub(super) const JSON: &str = "report.json";
const JUNIT: &str = "junit.xml";
const LOG: &str = "suite.log";

/// Between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(15);
/// Between two looks.
const POLL: Duration = Duration::from_millis(200);

/// Which specs to run, and how.
#[derive(Debug)]
pub(super) struct Selection {
    pub(super) focus: Vec<String>,
    pub(super) skip: Vec<String>,
    pub(super) procs: usize,
    pub(super) attempts: u32,
    pub(super) limit: Duration,
}

/// Runs it to its end, unless someone wants this program to end, or the node does.
pub(super) async fn run(
    machine: &mut Machine,
    programs: &Programs,
    selection: &Selection,
    output: &Path,
) -> Result<()> {
    cargo::heading(&format!("run the suite with {} processes", selection.procs));
    for old in [JSON, JUNIT, LOG] {
        let _ = fs::remove_file(output.join(old));
    }
    let command = command(machine, programs, selection, output);
    let mut suite = Process::spawn("ginkgo", &command, &output.join(LOG))?;
    eprintln!("its output: {}", output.join(LOG).display());
    let status = tokio::select! {
        status = ended(&mut suite) => status?,
        error = machine.node.ended() => return Err(error),
        asked = interrupt::requested() => { asked?; bail!("interrupted") }
    };
    if !output.join(JSON).is_file() {
        bail!("ginkgo ended with {status} and no report:\n{}", suite.log_tail(30));
    }
    Ok(())
}

fn command(machine: &Machine, programs: &Programs, selection: &Selection, output: &Path) -> Command {
    let mut ginkgo = Command::new("unshare");
    ginkgo
        .args(["--pid", "--fork", "--kill-child=KILL", "--"])
        .arg(programs.path("ginkgo"))
        .args(["--no-color", "--succinct", "--keep-separate-reports=false"])
        .arg(format!("--procs={}", selection.procs))
        .arg(format!("--timeout={}s", selection.limit.as_secs()))
        .arg(format!("--flake-attempts={}", selection.attempts))
        .arg("--poll-progress-after=5m")
        .args([format!("--json-report={JSON}"), format!("--junit-report={JUNIT}")])
        .arg(in_directory("--output-dir", output))
        .args(selection.focus.iter().map(|focus| format!("--focus={focus}")))
        .args(selection.skip.iter().map(|skip| format!("--skip={skip}")))
        .arg(programs.path("e2e.test"))
        .arg("--")
        .args(["--provider=skeleton", "--num-nodes=1", "--minStartupPods=0", "--allowed-not-ready-nodes=0"])
        .args(["--disable-log-dump", "--dump-logs-on-failure=true"])
        .arg(in_directory("--kubeconfig", machine.plane.kubeconfig_admin()))
        .arg(in_directory("--kubectl-path", &machine.plane.binaries().join("kubectl")))
        .arg(in_directory("--e2e-output-dir", output))
        .env("KUBECACHEDIR", machine.plane.dir().join("kubectl-cache"))
        .current_dir(output);
    ginkgo
}

fn in_directory(flag: &str, path: &Path) -> std::ffi::OsString {
    let mut argument = std::ffi::OsString::from(format!("{flag}="));
    argument.push(path);
    argument
}

/// Returns when it has ended; tells how far it is meanwhile.
async fn ended(suite: &mut Process) -> Result<ExitStatus> {
    let begun = Instant::now();
    let mut told = begun;
    let mut progress = Progress { log: suite.log().to_owned(), offset: 0, ended: 0, failed: 0 };
    loop {
        if let Some(status) = suite.ended()? {
            return Ok(status);
        }
        if told.elapsed() >= PROGRESS {
            told = Instant::now();
            progress.read()?;
            let Progress { ended, failed, .. } = progress;
            eprintln!("  {} s: {ended} specs ended, {failed} of them failed", begun.elapsed().as_secs());
        }
        tokio::time::sleep(POLL).await;
    }
}

/// How far the suite is, by what it printed.
struct Progress {
    log: PathBuf,
    offset: u64,
    ended: usize,
    failed: usize,
}

impl Progress {
    /// Counts what is new. A line may be counted when it is only half there: this is for people.
    fn read(&mut self) -> Result<()> {
        let mut file = fs::File::open(&self.log).context("the suite's output is gone")?;
        file.seek(SeekFrom::Start(self.offset))?;
        let mut bytes = vec![];
        self.offset += u64::try_from(file.read_to_end(&mut bytes)?)?;
        let (ended, failed) = count(&String::from_utf8_lossy(&bytes));
        self.ended += ended;
        self.failed += failed;
        Ok(())
    }
}

/// ginkgo prints a dot for each spec that ended and an S for each that was not selected, in lines of nothing else, but for those that failed or
/// were slow: their dot begins a line that says so.
fn count(text: &str) -> (usize, usize) {
    const DOT: char = '•';
    let mut counts = (0, 0);
    for line in text.lines() {
        // The first line begins with a title.
        let dots = if line.starts_with('[') { line.rsplit(' ').next().unwrap_or_default() } else { line.trim_end() };
        if dots.chars().all(|c| c == DOT || c == 'S' || c == 'P') {
            counts.0 += dots.matches(DOT).count();
        } else if let Some(rest) = line.strip_prefix("• [") {
            counts.0 += 1;
            counts.1 += usize::from(["FAIL", "PANIC", "TIMED"].iter().any(|word| rest.starts_with(word)));
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_specs() {
        assert_eq!(count("[1] Kubernetes e2e suite - 6 procs S•S\n[sig-node] Pods [Conformance]\n"), (1, 0));
        assert_eq!(count("SS•S••\n• [FAILED] [3.2 seconds]\n  a • within\n• [SLOW TEST] [9 seconds]\n"), (5, 1));
    }
}
