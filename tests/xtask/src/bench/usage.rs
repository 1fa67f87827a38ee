//! What a process has used, as `/proc` tells.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// CPU time of the process `pid` and of its threads that ended, user and system together.
pub(super) fn cpu(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let ticks = cpu_ticks(&stat).with_context(|| format!("{path} has an unknown form"))?;
    #[expect(clippy::cast_precision_loss, reason = "ticks of one process stay far below 2^52")]
    Ok(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
}

/// Memory of the process `pid` in MB (10^6 bytes): resident now, and at most so far.
pub(super) fn memory(pid: u32) -> Result<(f64, f64)> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let field = |name| field_megabytes(&status, name).with_context(|| format!("{path} has no {name}"));
    Ok((field("VmRSS:")?, field("VmHWM:")?))
}

/// Lets the most that the process `pid` has had resident begin anew with what it has now (`proc(5)`, `clear_refs`).
pub(super) fn forget_peak(pid: u32) -> Result<()> {
    let path = format!("/proc/{pid}/clear_refs");
    fs::write(&path, "5").with_context(|| format!("cannot write {path}"))
}

/// TCP connections of the process `pid` to port `port` of this machine.
pub(super) fn connections(pid: u32, port: u16) -> Result<usize> {
    let path = format!("/proc/{pid}/fd");
    let entries = fs::read_dir(&path).with_context(|| format!("cannot read {path}"))?;
    // A descriptor may be closed while it is looked at.
    let own: BTreeSet<String> = entries
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    let mut count = 0;
    for table in ["tcp", "tcp6"] {
        let path = format!("/proc/{pid}/net/{table}");
        // There is no second table where there is no IPv6.
        let text = fs::read_to_string(&path).unwrap_or_default();
        count +=
            text.lines().filter_map(|line| established_to(line, port)).filter(|inode| own.contains(*inode)).count();
    }
    Ok(count)
}

/// The inode of a line of `/proc/net/tcp` that is an established connection to `port`.
fn established_to(line: &str, port: u16) -> Option<&str> {
    const ESTABLISHED: &str = "01";
    let mut fields = line.split_whitespace().skip(2);
    let (_, remote_port) = fields.next()?.rsplit_once(':')?;
    let is_it = u16::from_str_radix(remote_port, 16).ok()? == port && fields.next()? == ESTABLISHED;
    fields.nth(5).filter(|_| is_it)
}

/// `utime + stime` of a stat line: the 14th and 15th field. The 2nd, the name, may contain anything, but it ends at the
/// last parenthesis.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn field_megabytes(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u32 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(f64::from(kibibytes) * 1024.0 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b) S 1 1 1 0 -1 4194304 10 0 0 0 250 50 0 0 20 0 9 0 100 1000 200";
        assert_eq!(cpu_ticks(stat), Some(300));
    }

    #[test]
    fn only_established_connections_to_the_port_count() {
        let line = |remote: &str, state: &str| {
            format!(
                "   1: 0100007F:C350 0100007F:{remote} {state} 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0"
            )
        };
        assert_eq!(established_to(&line("192B", "01"), 6443), Some("4711"));
        assert_eq!(established_to(&line("192B", "06"), 6443), None);
        assert_eq!(established_to(&line("192C", "01"), 6443), None);
        assert_eq!(established_to("  sl  local_address rem_address   st", 6443), None);
    }

    #[test]
    fn memory_is_in_megabytes() {
        assert_eq!(field_megabytes("Name:\tx\nVmRSS:\t  1000 kB\n", "VmRSS:"), Some(1.024));
    }
}
