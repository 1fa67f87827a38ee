//! What the provider may use up.

use super::*;

#[test]
fn all_limits_can_be_set() {
    let limits = ok("limits:\n  memory: 1Gi\n  tableElements: 5000\n  instances: 10\n  hostcallBytes: 1Mi\n  handles: 500\n  \
         concurrency: 7\n  requests: 8\n  waitingRequests: 9\n  streams: 10\n  bodyBytes: 16Mi\n  logRate: 11\n  logLine: 1Ki\n  \
         events: 12\n  kv: 0\n  cpu: 0.25\n  cpuStall: 1s\n  start: 1m\n  compileTime: 3s\n  compileMemory: 1Gi\n  \
         componentSize: 1Mi\n")
    .limits;
    let Limits { outbound, .. } = &limits;
    assert_eq!((limits.memory_bytes, limits.table_elements, limits.instances), (1 << 30, 5000, 10));
    assert_eq!((limits.hostcall_bytes, limits.handles, limits.concurrency), (1 << 20, 500, 7));
    assert_eq!((outbound.requests, outbound.waiting, outbound.streams, outbound.body_bytes), (8, 9, 10, 16 << 20));
    assert_eq!((limits.log_lines_per_second, limits.log_line_bytes, limits.events_per_minute), (11, 1024, 12));
    assert_eq!((limits.kv_bytes, limits.cpu_millicores, limits.cpu_stall), (0, 250, Duration::from_secs(1)));
    assert_eq!((limits.start, limits.compile), (Duration::from_secs(60), Duration::from_secs(3)));
    assert_eq!((limits.compile_memory_bytes, limits.component_bytes), (1 << 30, 1 << 20));
    assert_eq!(ok("limits: { cpu: 500m, memory: 268435456 }\n").limits, Limits::default());
}

#[test]
fn the_size_of_a_component_is_known_before_the_rest_is_read() {
    let size = |text: &str| Document::parse(text, None).component_bytes();
    assert_eq!(size("limits: { componentSize: 1Mi, nonsense: 1 }\nother: 1\n"), 1 << 20);
    for text in ["", "limits: 5", "limits: { componentSize: huge }", "[", "- 1"] {
        assert_eq!(size(text), Limits::default().component_bytes, "{text}");
    }
}

#[test]
fn the_defaults_are_within_the_ranges() {
    let limits = Limits::default();
    let text = format!(
        "limits: {{ memory: {}, tableElements: {}, instances: {}, hostcallBytes: {}, handles: {}, requests: {}, bodyBytes: {}, \
         compileMemory: {}, componentSize: {}, kv: {}, cpu: {}m }}",
        limits.memory_bytes,
        limits.table_elements,
        limits.instances,
        limits.hostcall_bytes,
        limits.handles,
        limits.outbound.requests,
        limits.outbound.body_bytes,
        limits.compile_memory_bytes,
        limits.component_bytes,
        limits.kv_bytes,
        limits.cpu_millicores
    );
    assert_eq!(ok(&text).limits, limits);
}

#[test]
fn a_limit_outside_of_its_range_is_refused_with_the_range() {
    for (text, why) in [
        ("memory: 64Ki", "64Ki\" is too small: at least 1Mi"),
        ("memory: 0", "0 is too small: at least 1Mi"),
        ("memory: 8Gi", "8Gi\" is too large: at most 4Gi"),
        ("cpuStall: 10ms", "10ms\" is too small: at least 100ms"),
        ("concurrency: 0", "0 is too small: at least 1"),
        ("concurrency: 5000", "5000 is too large: at most 4096"),
        ("concurrency: -1", "-1 is no whole number"),
        ("concurrency: \"64\"", "must be a whole number, not a text"),
        ("cpu: 5m", "5m\" is too small: at least 10m"),
        ("cpu: 2", "2 is too large: at most 1000m"),
        ("cpu: half", "half\" is no share of a CPU such as 500m or 0.5"),
        ("kv: 64MB", "64MB\" is no size such as 64Ki, 256Mi or 1Gi"),
        ("kv: -1", "-1 is no size"),
        ("start: 30", "30 is no duration such as 500ms, 30s or 5m"),
        ("start:", "has no value: it must be a duration such as 500ms, 30s or 5m"),
        ("start: {}", "must be a duration such as 500ms, 30s or 5m, not a mapping"),
    ] {
        let told = mistake(&format!("limits:\n  {text}\n"));
        assert!(told.starts_with("pluglet.yaml:2:") && told.contains(why), "{text}: {told}");
    }
}
