//! What a process has used, as `/proc` tells.

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
    fn memory_is_in_megabytes() {
        assert_eq!(field_megabytes("Name:\tx\nVmRSS:\t  1000 kB\n", "VmRSS:"), Some(1.024));
    }
}
