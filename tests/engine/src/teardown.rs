//! Takes down an engine, whoever started it: containers, then processes, then mounts, then files.
//!
//! In: its directory. Out: nothing of it. The order is that of dependence: podman needs its files to remove containers,
//! processes hold mounts, and a mount that is still there would lead the removal of files out of the directory.
//!
//! Invariant: no file is removed while anything is mounted in the directory; then it is an error and everything stays,
//! for the next run to try again.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use controlplane::Process;
use rustix::process::{Pid, Signal};

use crate::configuration;
use crate::directory::Layout;

/// For podman to remove all containers: each takes 0.1 s.
const REMOVAL: Duration = Duration::from_secs(120);

/// For killed processes to be gone.
const END: Duration = Duration::from_secs(10);

/// Between two looks.
const POLL: Duration = Duration::from_millis(10);

/// A container that ends by itself at that moment makes podman say that its state is improper; then it is asked again.
const ATTEMPTS: u32 = 5;

/// Programs that work for an engine, as the kernel calls them (it cuts names off at 15 bytes).
const PROGRAMS: [&str; 4] = ["podman", "conmon", "runc", "docker-registry"];

/// Removes everything that the engine in `layout` has and is. Its own processes may run or not.
pub(crate) fn take_down(layout: &Layout) -> Result<()> {
    let root = layout.root().display();
    let containers = remove_containers(layout);
    kill_processes(layout.root()).with_context(|| format!("cannot end what runs for {root}"))?;
    unmount(layout.root()).with_context(|| format!("{root} stays, for things are mounted in it"))?;
    fs::remove_dir_all(layout.root()).with_context(|| format!("cannot remove {root}"))?;
    // What podman did not remove has been killed above; that it did not is still worth a word.
    containers
}

/// Removes all pods and containers, through podman's command line: that works with and without a service.
pub(crate) fn remove_containers(layout: &Layout) -> Result<()> {
    // Without an image there is no container. What podman was never started in, it must not be started in now.
    if !layout.storage().exists() || !layout.storage_conf().exists() {
        return Ok(());
    }
    let mut attempt = 1;
    loop {
        let outcome = run_podman(layout, &["pod", "rm", "--all", "--force", "--time", "0"])
            .and_then(|()| run_podman(layout, &["rm", "--all", "--force", "--time", "0"]));
        if outcome.is_ok() || attempt == ATTEMPTS {
            return outcome;
        }
        attempt += 1;
    }
}

fn run_podman(layout: &Layout, arguments: &[&str]) -> Result<()> {
    let mut command = configuration::podman(layout);
    command.args(arguments);
    let name = format!("podman {}", arguments.join(" "));
    let mut process = Process::spawn(&name, &command, &layout.teardown_log())?;
    let begun = Instant::now();
    loop {
        match process.ended()? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => bail!("{name} ended with {status}:\n{}", process.log_tail(5)),
            None if begun.elapsed() > REMOVAL => bail!("{name} did not end in {REMOVAL:?}"),
            None => std::thread::sleep(POLL),
        }
    }
}

/// Kills what still works for the engine: chiefly what keeps the exit codes of commands in containers for a while, and
/// would make the directory anew to clean up in it. Its children too: if podman could not, these are the containers.
fn kill_processes(root: &Path) -> Result<()> {
    let begun = Instant::now();
    loop {
        let found = processes_of(root);
        if found.is_empty() {
            return Ok(());
        }
        if begun.elapsed() > END {
            bail!("they do not die: {found:?}");
        }
        for pid in found.into_iter().filter_map(Pid::from_raw) {
            // One that ended in between is as good.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
        std::thread::sleep(POLL);
    }
}

/// The programs whose command line has a path in `root`, and their children.
fn processes_of(root: &Path) -> BTreeSet<i32> {
    let mut parents = Vec::new();
    let mut found = BTreeSet::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // One that ended in between has no files any more.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        let Some((name, parent)) = name_and_parent(&stat) else { continue };
        parents.push((pid, parent));
        if PROGRAMS.contains(&name) && names(&fs::read(entry.path().join("cmdline")).unwrap_or_default(), root) {
            found.insert(pid);
        }
    }
    let children = parents.iter().filter(|(_, parent)| found.contains(parent)).map(|(pid, _)| *pid);
    let children: Vec<i32> = children.collect();
    found.extend(children);
    found
}

/// Of `/proc/PID/stat`: `PID (name) state parent …`. The name may have any characters, brackets too.
fn name_and_parent(stat: &str) -> Option<(&str, i32)> {
    let (_, rest) = stat.split_once('(')?;
    let (name, rest) = rest.rsplit_once(')')?;
    Some((name, rest.split_whitespace().nth(1)?.parse().ok()?))
}

/// Whether an argument is a path in `root`, or ends with one, as in `unix://…`.
fn names(command_line: &[u8], root: &Path) -> bool {
    let root = format!("{}/", root.display());
    command_line.split(|byte| *byte == 0).any(|argument| {
        let argument = String::from_utf8_lossy(argument);
        argument.starts_with(&root) || argument.strip_prefix("unix://").is_some_and(|path| path.starts_with(&root))
    })
}

/// Unmounts everything below `root`, the innermost first.
fn unmount(root: &Path) -> Result<()> {
    for mount in mounts_below(root).iter().rev() {
        // Lazily: out of the tree at once, even if something that is about to end is still in it.
        let output = Command::new("umount").arg("--lazy").arg(mount).output().context("cannot run umount")?;
        if !output.status.success() {
            bail!("cannot unmount {}: {}", mount.display(), String::from_utf8_lossy(&output.stderr).trim());
        }
    }
    match mounts_below(root).first() {
        Some(mount) => bail!("{} is mounted again", mount.display()),
        None => Ok(()),
    }
}

fn mounts_below(root: &Path) -> Vec<PathBuf> {
    // Only Linux has the file, and only Linux has such mounts.
    below(&fs::read_to_string("/proc/self/mounts").unwrap_or_default(), root)
}

/// Of the lines `device directory …`, the directories below `root`, in the order they were mounted.
fn below(mounts: &str, root: &Path) -> Vec<PathBuf> {
    mounts
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1))
        .map(PathBuf::from)
        .filter(|mount| mount.starts_with(root) && mount != root)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_mounts_inside_of_the_directory_are_its_own() {
        let mounts = "proc /proc proc rw 0 0\n/dev/a /tmp/e ext4 rw 0 0\n/dev/a /tmp/e/root ext4 rw 0 0\n\
                      shm /tmp/e/root/shm tmpfs rw 0 0\nshm /tmp/e2/root tmpfs rw 0 0\n";
        assert_eq!(below(mounts, Path::new("/tmp/e")), ["/tmp/e/root", "/tmp/e/root/shm"].map(PathBuf::from));
    }

    #[test]
    fn a_process_is_told_by_its_name_and_its_arguments() {
        assert_eq!(name_and_parent("12 (con) mon) S 7 12 12 0"), Some(("con) mon", 7)));
        assert_eq!(name_and_parent(""), None);
        let root = Path::new("/tmp/e");
        assert!(names(b"podman\0system\0unix:///tmp/e/podman.sock\0", root));
        assert!(names(b"conmon\0-b\0/tmp/e/root/x\0", root));
        assert!(!names(b"conmon\0-b\0/tmp/e2/root/x\0", root));
        assert!(!names(b"conmon\0-b\0/other/tmp/e/root\0", root));
        assert!(!names(b"", root));
    }
}
