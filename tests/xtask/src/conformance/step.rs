//! One program that takes minutes, with a line of progress now and then.
//!
//! In: a command. Out: success, or an error with the end of its output. Invariant: it ends with this process, and the log is its own.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use controlplane::Process;

/// Between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(15);
/// Between two looks.
const POLL: Duration = Duration::from_millis(100);
/// How much of a failed program's output an error shows.
const TAIL: usize = 20;

/// Runs `command` to its end, with its output in `log`.
pub(super) fn run(title: &str, command: &Command, log: &Path) -> Result<()> {
    eprintln!("{title} …");
    let begun = Instant::now();
    let mut told = begun;
    // What it said before is no progress.
    let _ = std::fs::remove_file(log);
    let mut process = Process::spawn(title, command, log)?;
    let status = loop {
        if let Some(status) = process.ended()? {
            break status;
        }
        if told.elapsed() >= PROGRESS {
            told = Instant::now();
            let said = process.log_tail(1);
            let said = if said.is_empty() { "nothing told yet" } else { &said };
            eprintln!("  {title}: {} s, now {said}", begun.elapsed().as_secs());
        }
        std::thread::sleep(POLL);
    };
    if !status.success() {
        bail!("{title} failed ({status}):\n{}", process.log_tail(TAIL));
    }
    eprintln!("{title}: done after {} s", begun.elapsed().as_secs());
    Ok(())
}
