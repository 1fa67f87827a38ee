//! What the provider may use up, as the operator wrote it.
//!
//! In: the `limits` mapping. Out: [`Limits`]. Invariant: each limit is within a range in which a provider can start and the host is safe; none
//! can be switched off.

use std::ops::RangeInclusive;
use std::time::Duration;

use pluglet_wasm::Limits;

use super::fields::{Field, Fields};

const KI: u64 = 1 << 10;
const MI: u64 = 1 << 20;
const GI: u64 = 1 << 30;

/// rustc's components have a shadow stack of 1 MiB before they have anything else; 4 GiB is all that 32 bits can address.
const MEMORY: RangeInclusive<u64> = MI..=4 * GI;

/// A CPU share of less than 10m would take minutes for what takes a second.
const CPU: RangeInclusive<u32> = 10..=1000;

/// Less would stop providers at work.
const CPU_STALL: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(60);

const START: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(600);
const COMPILE_TIME: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);

/// The compiler itself needs some hundred MiB of address space.
const COMPILE_MEMORY: RangeInclusive<u64> = 256 * MI..=64 * GI;

/// Reads them; those that are not there have their defaults.
pub(super) fn read(field: Option<Field<'_>>) -> Limits {
    let mut limits = Limits::default();
    let Some(mut fields) = field.and_then(|field| field.fields()) else { return limits };
    let f = &mut fields;
    size(f, "memory", MEMORY, &mut limits.memory_bytes);
    count(f, "tableElements", 1000..=10_000_000, &mut limits.table_elements);
    count(f, "instances", 8..=1000, &mut limits.instances);
    size(f, "hostcallBytes", 64 * KI..=GI, &mut limits.hostcall_bytes);
    count(f, "handles", 100..=1_000_000, &mut limits.handles);
    count(f, "concurrency", 1..=4096, &mut limits.concurrency);
    count(f, "requests", 1..=10_000, &mut limits.outbound.requests);
    count(f, "waitingRequests", 0..=100_000, &mut limits.outbound.waiting);
    count(f, "streams", 1..=10_000, &mut limits.outbound.streams);
    size(f, "bodyBytes", MI..=4 * GI - 1, &mut limits.outbound.body_bytes);
    count(f, "logRate", 1..=100_000, &mut limits.log_lines_per_second);
    size(f, "logLine", 256..=MI, &mut limits.log_line_bytes);
    count(f, "events", 1..=10_000, &mut limits.events_per_minute);
    size(f, "kv", 0..=16 * GI, &mut limits.kv_bytes);
    if let Some(share) = f.take("cpu").and_then(|field| field.millicores(CPU)) {
        limits.cpu_millicores = share;
    }
    duration(f, "cpuStall", CPU_STALL, &mut limits.cpu_stall);
    duration(f, "start", START, &mut limits.start);
    duration(f, "compileTime", COMPILE_TIME, &mut limits.compile);
    size(f, "compileMemory", COMPILE_MEMORY, &mut limits.compile_memory_bytes);
    size(f, "componentSize", 4 * KI..=GI, &mut limits.component_bytes);
    fields.finish();
    limits
}

fn size<T: TryFrom<u64>>(fields: &mut Fields<'_>, key: &'static str, range: RangeInclusive<u64>, into: &mut T) {
    let given = fields.take(key).and_then(|field| field.size(range));
    // The ranges fit into the types.
    if let Some(value) = given.and_then(|value| T::try_from(value).ok()) {
        *into = value;
    }
}

fn count<T: TryFrom<u64>>(fields: &mut Fields<'_>, key: &'static str, range: RangeInclusive<u64>, into: &mut T) {
    let given = fields.take(key).and_then(|field| field.count(range));
    if let Some(value) = given.and_then(|value| T::try_from(value).ok()) {
        *into = value;
    }
}

fn duration(fields: &mut Fields<'_>, key: &'static str, range: RangeInclusive<Duration>, into: &mut Duration) {
    if let Some(value) = fields.take(key).and_then(|field| field.duration(range)) {
        *into = value;
    }
}
