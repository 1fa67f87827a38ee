//! Child processes that end with their parent, with their output in a file.
//!
//! In: a [`Command`] and a log file. Out: a [`Process`] that can be asked whether it still runs, terminated, killed.
//!
//! Invariant: the child does not outlive this process. Dropping a [`Process`] kills and reaps it; for a parent that is
//! itself killed, the child is started through `setpriv --pdeathsig KILL` (util-linux), which asks the kernel to do it.
//! The kernel ties that signal to the *thread* that forked, so all children are forked by one thread that never ends
//! (see [`spawner`]): a test's thread ends with the test, and would take a control plane shared by all tests with it.
//! Where there is no `setpriv` (macOS), only the drop remains.

mod spawner;

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal};

/// Between two looks at a child that was asked to end.
const POLL: Duration = Duration::from_millis(10);

/// A child process. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with stdout and stderr appended to `log`. `name` is what errors call it.
    ///
    /// The command's program, arguments, environment changes and working directory are used; its stdio is not, and
    /// `env_clear` has no effect.
    pub fn spawn(name: &str, command: &Command, log: &Path) -> Result<Self> {
        let output = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("cannot open {} for the output of {name}", log.display()))?;
        let mut command = dying_with_parent(command);
        // A group of its own: Ctrl-C in a terminal is for this process, which then ends its children in order.
        command.process_group(0).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = spawner::spawn(command).with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name: name.to_owned(), child, log: log.to_owned() })
    }

    /// What errors call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id: that of the program itself, also behind `setpriv`, which replaces itself by the program.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The file its output goes to.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The last `lines` lines of its output.
    pub fn log_tail(&self, lines: usize) -> String {
        log_tail(&self.log, lines)
    }

    /// Its exit status, if it ended.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// An error with the end of its output, if it ended. For loops that wait for it to become ready.
    pub fn check_running(&mut self) -> Result<()> {
        if let Some(status) = self.ended()? {
            bail!("{} ended with {status}; the end of {}:\n{}", self.name, self.log.display(), self.log_tail(30));
        }
        Ok(())
    }

    /// Sends SIGKILL and waits for the end. Does nothing to a child that ended already.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill().with_context(|| format!("cannot kill {}", self.name))?;
        self.child.wait().with_context(|| format!("cannot wait for {}", self.name))?;
        Ok(())
    }

    /// Sends `signal` and returns at once.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("not a process id")?;
        rustix::process::kill_process(pid, signal).with_context(|| format!("cannot signal {}", self.name))
    }

    /// Sends SIGTERM and waits for the end; after `grace` it is an error, and the child runs on.
    pub fn terminate(&mut self, grace: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        let begun = Instant::now();
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if begun.elapsed() > grace {
                bail!("{} still runs {grace:?} after SIGTERM; see {}", self.name, self.log.display());
            }
            std::thread::sleep(POLL);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nothing can be done about an error here, and a child that ended already is the usual reason for one.
        let _ = self.kill();
    }
}

/// The last `lines` lines of a log file; a remark instead if it cannot be read.
pub fn log_tail(log: &Path, lines: usize) -> String {
    match fs::read(log) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let mut tail: Vec<&str> = text.lines().rev().take(lines).collect();
            tail.reverse();
            tail.join("\n")
        }
        Err(error) => format!("(cannot read {}: {error})", log.display()),
    }
}

/// Starts `command`, whose stdio `adjust` sets; the kernel kills it when this process ends. For work that is waited for
/// here, which [`Process`] is not made for.
pub(crate) fn spawn_bound(command: &Command, adjust: impl FnOnce(&mut Command)) -> Result<Child> {
    let mut bound = dying_with_parent(command);
    adjust(&mut bound);
    spawner::spawn(bound).with_context(|| format!("cannot run {}", command.get_program().display()))
}

/// The same command, started in a way that the kernel kills it when this process ends.
fn dying_with_parent(command: &Command) -> Command {
    let mut wrapped = match setpriv() {
        Some(setpriv) => {
            let mut wrapped = Command::new(setpriv);
            wrapped.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program());
            wrapped
        }
        None => Command::new(command.get_program()),
    };
    wrapped.args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(key, value),
            None => wrapped.env_remove(key),
        };
    }
    if let Some(dir) = command.get_current_dir() {
        wrapped.current_dir(dir);
    }
    wrapped
}

/// Where `setpriv` is, if it is there and knows the option (busybox' does not).
fn setpriv() -> Option<&'static Path> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    FOUND
        .get_or_init(|| {
            let program = PathBuf::from("setpriv");
            let works = Command::new(&program)
                .args(["--pdeathsig", "KILL", "--", "true"])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success());
            works.then_some(program)
        })
        .as_deref()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, log: &Path) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Process::spawn("a shell", &command, log).unwrap()
    }

    #[test]
    fn an_early_end_is_reported_with_the_output() {
        let dir = tempfile::tempdir().unwrap();
        let mut process = shell("echo out of cheese >&2; exit 3", &dir.path().join("log"));
        process.child.wait().unwrap();
        let message = process.check_running().unwrap_err().to_string();
        assert!(message.contains("out of cheese") && message.contains('3'), "{message}");
    }

    #[test]
    fn a_child_survives_the_thread_that_asked_for_it_and_ends_with_the_handle() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let mut process = std::thread::spawn(move || shell("exec sleep 600", &log)).join().unwrap();
        assert!(process.ended().unwrap().is_none());
        let status = process.terminate(Duration::from_secs(10)).unwrap();
        assert!(!status.success());
    }
}
