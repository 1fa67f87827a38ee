//! What this process uses, which is part of what its node does.
//!
//! In: `/proc/self`. Out: [`Figures`]. Invariant: nothing is 0, or readers would drop a node whose pods do nothing.

use std::time::{SystemTime, UNIX_EPOCH};

use super::Figures;

/// Clock ticks in a second (`_SC_CLK_TCK`): 100 on every Linux that Rust runs on.
const TICKS: u64 = 100;
/// Bytes of a page in `statm`, likewise on those without larger ones; memory is told too low there.
const PAGE: u64 = 4096;

/// Now. What cannot be read is the least there can be.
pub(super) fn figures() -> Figures {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let memory = resident().unwrap_or(1).max(1);
    Figures {
        time_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
        cpu_ns: Some(cpu_ns().unwrap_or(1).max(1)),
        nano_cores: None,
        working_set: Some(memory),
        memory: Some(memory),
    }
}

/// The 14th and 15th field, counted behind the name, which may hold anything.
fn cpu_ns() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some((ticks(11)? + ticks(12)?) * (1_000_000_000 / TICKS))
}

fn resident() -> Option<u64> {
    let pages: u64 = std::fs::read_to_string("/proc/self/statm").ok()?.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * PAGE)
}
