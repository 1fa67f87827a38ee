//! What one provider may use up.
//!
//! In: the operator's `limits:`. Out: [`Limits`]. Invariant: each default is a constant here, whose comment says which attack it bounds; no
//! limit can be switched off, only moved.

use std::time::Duration;

use pluglet_egress::Ceilings;

/// A guest that allocates without end would take the host's memory. Beyond the limit an allocation fails, which ends the incarnation.
const MEMORY_BYTES: usize = 256 << 20;

/// A table element costs the host 8 bytes that the memory limit does not see; a guest that grows tables instead of memory would
/// otherwise take what it likes. A component of 700 KB has about 3000.
const TABLE_ELEMENTS: usize = 100_000;

/// Core instances cost the host bookkeeping, and memories 4 GiB of address space each. rustc makes 3 instances, 2 tables, 1 memory.
const INSTANCES: usize = 64;

/// What a call moves from the guest is copied into the host's memory before anybody can look at it. A `list` of 10 000 pods with 6 KiB
/// each fits; wasmtime would allow 128 MiB, for each of many calls at once.
const HOSTCALL_BYTES: usize = 64 << 20;

/// A guest makes streams and futures without the host's help, and each costs memory that its limit does not see. A log takes 2, so this
/// is 50 for each session.
const HANDLES: usize = 10_000;

/// Each call inside costs about 20 KiB of the host's memory and a stack frame's worth of the guest's. Pods that hang would otherwise
/// pile up inside.
const CONCURRENCY: usize = 64;

/// The most that can be configured. 20 000 in flight have been seen to exhaust a guest's memory and so to be lost all together.
pub(crate) const MAX_CONCURRENCY: usize = 4096;

/// A guest could otherwise write gigabytes a second into whatever stores the host's log.
const LOG_LINES_PER_SECOND: u32 = 200;

/// The same attack with few long lines.
const LOG_LINE_BYTES: usize = 8 << 10;

/// An API server that is flooded with events is slow for everyone. A real kubelet sends 25 in a burst about one object, then one in five
/// minutes; a provider has more to tell of a pod that starts.
const EVENTS_PER_MINUTE: u32 = 60;

/// A guest could otherwise fill the disk.
const KV_BYTES: usize = 64 << 20;

/// A guest that computes all the time would take a whole core from the node's own work. Half of one is what a hundred thousand pod
/// calls a minute need.
const CPU_MILLICORES: u32 = 500;

/// A guest that does not give way keeps all other calls of its provider waiting. Nothing that a provider has to compute takes this long.
const CPU_STALL: Duration = Duration::from_secs(2);

/// A guest that does not get through its start would keep the node from being told what is wrong.
const START: Duration = Duration::from_secs(30);

/// Compile time grows faster than the component for some code, and wasmtime does not promise to bound it.
const COMPILE: Duration = Duration::from_secs(120);

/// A component of a few MiB can be made to need many GiB of the compiler's memory.
const COMPILE_MEMORY_BYTES: u64 = 4 << 30;

/// A file larger than this is not read: a hundred times what a provider with all of `k8s-openapi` has. Compiling costs about a minute and
/// a gigabyte for each 20 MiB.
pub(crate) const COMPONENT_BYTES: u64 = 64 << 20;

/// The limits of one provider.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Linear memory of the component, in bytes.
    pub memory_bytes: usize,
    /// Elements of each table.
    pub table_elements: usize,
    /// Core instances, and as many tables; an eighth as many memories.
    pub instances: usize,
    /// Bytes that one call may move from the guest to the host.
    pub hostcall_bytes: usize,
    /// Live handles (streams, futures, resources) of one incarnation.
    pub handles: usize,
    /// Calls about pods that may be inside the component at once; 1 to 4096. The others wait outside.
    pub concurrency: usize,
    /// Outbound requests, streams and their bytes.
    pub outbound: Ceilings,
    /// Log lines in a second; others are counted and dropped.
    pub log_lines_per_second: u32,
    /// Longest log line, in bytes; the rest is cut.
    pub log_line_bytes: usize,
    /// Kubernetes events that the provider may tell about one pod in a minute; others are counted and dropped.
    pub events_per_minute: u32,
    /// Keys and values of `kv` together, in bytes.
    pub kv_bytes: usize,
    /// CPU that the component may use over time, in thousandths of a core. Beyond it, after a burst, it is made to pause. 1000 means no
    /// limit: an incarnation runs on one thread.
    pub cpu_millicores: u32,
    /// How long the component may compute without giving way before it is stopped.
    pub cpu_stall: Duration,
    /// How long `start` may take.
    pub start: Duration,
    /// CPU time of a compilation; twice as long by the clock.
    pub compile: Duration,
    /// Address space of the process that compiles, in bytes.
    pub compile_memory_bytes: u64,
    /// Size of the component's file, in bytes.
    pub component_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: MEMORY_BYTES,
            table_elements: TABLE_ELEMENTS,
            instances: INSTANCES,
            hostcall_bytes: HOSTCALL_BYTES,
            handles: HANDLES,
            concurrency: CONCURRENCY,
            outbound: Ceilings::default(),
            log_lines_per_second: LOG_LINES_PER_SECOND,
            log_line_bytes: LOG_LINE_BYTES,
            events_per_minute: EVENTS_PER_MINUTE,
            kv_bytes: KV_BYTES,
            cpu_millicores: CPU_MILLICORES,
            cpu_stall: CPU_STALL,
            start: START,
            compile: COMPILE,
            compile_memory_bytes: COMPILE_MEMORY_BYTES,
            component_bytes: COMPONENT_BYTES,
        }
    }
}
