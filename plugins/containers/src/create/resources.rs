//! What a container may use.
//!
//! In: limits as the host gives them. Out: the engines' fields. Invariant: pure; a container with a memory limit gets no swap besides, as in
//! Kubernetes.

use pluglet_sdk::Resources;
use serde_json::{Map, Value, json};

use super::filled;

/// Fields of a container's `HostConfig`.
pub(crate) fn host_config(resources: &Resources) -> Map<String, Value> {
    let mut fields = filled(vec![
        ("CpuShares", json!(resources.cpu_shares)),
        ("CpuQuota", json!(resources.cpu_quota)),
        ("CpuPeriod", json!(resources.cpu_period)),
        ("Memory", json!(resources.memory_limit)),
        ("MemorySwap", json!(resources.memory_limit)),
    ]);
    if resources.oom_score_adjust != 0 {
        fields.insert("OomScoreAdj".to_owned(), json!(resources.oom_score_adjust));
    }
    fields
}

/// The body of Docker's update. What is 0 or missing there stays as it is, so the end of a CPU limit is -1.
pub(crate) fn docker_update(resources: &Resources) -> Value {
    let quota = resources.cpu_quota.map_or(json!(-1), |quota| json!(quota));
    Value::Object(filled(vec![
        ("CpuShares", json!(resources.cpu_shares)),
        ("CpuQuota", quota),
        ("CpuPeriod", json!(resources.cpu_period)),
        ("Memory", json!(resources.memory_limit)),
        ("MemorySwap", json!(resources.memory_limit)),
    ]))
}

/// The body of Podman's own update, in the words of the OCI runtime. -1 is no limit.
pub(crate) fn podman_update(resources: &Resources) -> Value {
    let or_none = |value: Option<u64>| value.map_or(json!(-1), |value| json!(value));
    let cpu = filled(vec![
        ("shares", json!(resources.cpu_shares)),
        ("quota", or_none(resources.cpu_quota)),
        ("period", json!(resources.cpu_period)),
    ]);
    let memory = or_none(resources.memory_limit);
    json!({"cpu": cpu, "memory": {"limit": memory, "swap": memory}})
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITED: Resources = Resources {
        cpu_shares: Some(204),
        cpu_quota: Some(50_000),
        cpu_period: Some(100_000),
        memory_limit: Some(64 << 20),
        oom_score_adjust: 500,
    };

    #[test]
    fn a_memory_limit_leaves_no_swap() {
        let fields = Value::Object(host_config(&LIMITED));
        assert_eq!(
            fields,
            json!({"CpuShares": 204, "CpuQuota": 50_000, "CpuPeriod": 100_000, "Memory": 67_108_864, "MemorySwap": 67_108_864, "OomScoreAdj": 500})
        );
        assert!(host_config(&Resources::default()).is_empty());
    }

    #[test]
    fn a_limit_that_is_gone_is_taken_off() {
        let free = Resources { cpu_quota: None, memory_limit: None, ..LIMITED };
        assert_eq!(docker_update(&free), json!({"CpuShares": 204, "CpuQuota": -1, "CpuPeriod": 100_000}));
        assert_eq!(
            podman_update(&free),
            json!({"cpu": {"shares": 204, "quota": -1, "period": 100_000}, "memory": {"limit": -1, "swap": -1}})
        );
    }
}
