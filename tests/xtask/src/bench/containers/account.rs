//! What the engine uses of the machine's processors.
//!
//! In: the engine. Out: its CPU time so far. Invariant: with a control group nothing is missed: it has the service from its beginning, and with it all
//! that the service starts (conmon, runc, the network's programs, the cleaning up after a container's end); pods are made below it. Where none can be
//! made, it is the service and its children that have ended, which [`Account::what`] says.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use engine::Engine;

/// Where the first version of control groups has each kind, and the second all of them.
const GROUPS: &str = "/sys/fs/cgroup";
/// Between two tries to remove a group whose last process is just ending.
const PAUSE: Duration = Duration::from_millis(100);
const TRIES: usize = 20;

/// Ends with the engine: drop it after that.
pub(super) struct Account {
    service: u32,
    name: String,
    /// The file with the group's CPU time.
    usage: Option<PathBuf>,
}

impl Account {
    pub(super) fn open(engine: &Engine) -> Result<Self> {
        let service = service(&engine.socket())?;
        let name = format!("pluglet-bench-{}", std::process::id());
        let usage = join(&name, service);
        if usage.is_none() {
            eprintln!("no control group can be made; CPU times are the service's and those of its children");
        }
        Ok(Self { service, name, usage })
    }

    /// The group below which pods are to be made.
    pub(super) fn parent(&self) -> Option<String> {
        self.usage.as_ref().map(|_| format!("/{}/pods", self.name))
    }

    pub(super) fn what(&self) -> &'static str {
        match self.usage {
            Some(_) => "podman's service, conmon, runc and all else that they start, by control group",
            None => "podman's service and those of its children that have ended, without conmon",
        }
    }

    /// What has been used so far.
    pub(super) fn look(&self) -> Result<Used> {
        Ok(Used { at: Instant::now(), engine: self.cpu()?, machine: machine()? })
    }

    /// In seconds.
    fn cpu(&self) -> Result<f64> {
        let Some(usage) = &self.usage else { return with_children(self.service) };
        let text = fs::read_to_string(usage).with_context(|| format!("cannot read {}", usage.display()))?;
        seconds(&text).with_context(|| format!("{} has an unknown form", usage.display()))
    }
}

/// CPU time until a moment, in seconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Used {
    at: Instant,
    engine: f64,
    /// All processes of the machine.
    machine: f64,
}

impl Used {
    /// What the engine has used since then.
    pub(super) fn engine_since(&self, before: &Self) -> f64 {
        self.engine - before.engine
    }

    /// How many cores all others have used since then, this program and the API server too.
    pub(super) fn others_since(&self, before: &Self) -> f64 {
        let others = self.machine - before.machine - self.engine_since(before);
        others / self.at.saturating_duration_since(before.at).as_secs_f64()
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        if self.usage.is_none() {
            return;
        }
        for _ in 0..TRIES {
            if places(&self.name).into_iter().filter(|place| place.exists()).all(|place| remove(&place).is_ok()) {
                return;
            }
            std::thread::sleep(PAUSE);
        }
        eprintln!("control groups called {} are left in {GROUPS}", self.name);
    }
}

/// The process behind the socket.
fn service(socket: &Path) -> Result<u32> {
    let url = format!("unix://{}", socket.display());
    let serves = |pid: &u32| {
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut words = command.split(|byte| *byte == 0);
        words.any(|word| word == b"service") && command.split(|byte| *byte == 0).any(|word| word == url.as_bytes())
    };
    let entries = fs::read_dir("/proc").context("cannot read /proc")?.flatten();
    let mut processes = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    processes.find(serves).with_context(|| format!("no process serves {url}"))
}

/// Moves the service into a group of its own; answers where that has its CPU time. None where that cannot be done.
fn join(name: &str, service: u32) -> Option<PathBuf> {
    let (root, file) = [("cpuacct", "cpuacct.usage"), ("", "cpu.stat")]
        .map(|(kind, file)| (Path::new(GROUPS).join(kind), file))
        .into_iter()
        .find(|(root, _)| root.join("cgroup.procs").exists())?;
    // Not the group itself: one that has processes may have no groups below it that have limits.
    let group = root.join(name).join("service");
    fs::create_dir_all(&group).ok()?;
    let joined = fs::write(group.join("cgroup.procs"), service.to_string());
    let usage = root.join(name).join(file);
    (joined.is_ok() && usage.exists()).then_some(usage)
}

/// Where groups of that name may be.
fn places(name: &str) -> Vec<PathBuf> {
    let kinds = fs::read_dir(GROUPS).into_iter().flatten().flatten().map(|entry| entry.path().join(name));
    kinds.chain([Path::new(GROUPS).join(name)]).collect()
}

/// Groups have files that cannot be removed, and go with them.
fn remove(group: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(group)?.flatten().filter(|entry| entry.path().is_dir()) {
        remove(&entry.path())?;
    }
    fs::remove_dir(group)
}

/// CPU time of a process and of its children that have ended: the 14th to the 17th field of its stat line.
fn with_children(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let (_, after_name) = stat.rsplit_once(')').with_context(|| format!("{path} has an unknown form"))?;
    let ticks: u64 = after_name.split_whitespace().skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(of_ticks(ticks))
}

/// CPU time of all processes: the first line of `/proc/stat` has user, nice, system, idle, iowait, irq, softirq and steal.
fn machine() -> Result<f64> {
    const RESTING: [usize; 2] = [3, 4];
    let stat = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu ")).context("/proc/stat has an unknown form")?;
    let fields = line.split_whitespace().take(8).enumerate().filter(|(index, _)| !RESTING.contains(index));
    Ok(of_ticks(fields.filter_map(|(_, field)| field.parse::<u64>().ok()).sum()))
}

#[expect(clippy::cast_precision_loss, reason = "ticks stay far below 2^52")]
fn of_ticks(ticks: u64) -> f64 {
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}

/// Of the first version, which has nanoseconds, or the second, which has microseconds among other things.
fn seconds(text: &str) -> Option<f64> {
    if let Some(line) = text.lines().find_map(|line| line.strip_prefix("usage_usec ")) {
        return Some(Duration::from_micros(line.trim().parse().ok()?).as_secs_f64());
    }
    Some(Duration::from_nanos(text.trim().parse().ok()?).as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_of_control_groups_are_read() {
        assert_eq!(seconds("1500000000\n"), Some(1.5));
        assert_eq!(seconds("usage_usec 1500000\nuser_usec 1\nsystem_usec 2\n"), Some(1.5));
        assert_eq!(seconds("nr_periods 0\n"), None);
    }
}
