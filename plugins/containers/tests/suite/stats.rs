//! Resource use.

use pluglet_sdk::testing::json;

use super::{DOCKER, PODMAN, inspected, main_labels, requests, running, start};

#[test]
fn podman_tells_all_figures_at_once_and_only_ours_are_taken() {
    let engines = start(PODMAN, |what, _| match what {
        "GET /v4.3.1/libpod/containers/json" => Some((
            200,
            json!([{"Id": "m", "Labels": main_labels(), "StartedAt": 1_796_063_745},
                {"Id": "x", "Labels": {"dev.pluglet.cluster": "other"}, "StartedAt": 1}]),
        )),
        "GET /v4.3.1/libpod/containers/stats" => Some((
            200,
            json!({"Error": null, "Stats": [
                {"ContainerID": "x", "CPUNano": 1, "MemUsage": 1},
                {"ContainerID": "m", "CPUNano": 105_445_703, "CPUSystemNano": 12_000_000, "MemUsage": 724_992, "MemLimit": 25_276_502_016_u64},
            ]}),
        )),
        _ => None,
    });
    let pods = engines.stats().unwrap();
    assert_eq!((pods.len(), pods[0].pod.uid.as_str()), (1, "u"));
    let main = &pods[0].containers[0];
    assert_eq!((main.name.as_str(), main.start_time_unix_ms), ("main", 1_796_063_745_000));
    assert_eq!(
        (main.cpu_usage_core_ns, main.memory_usage, main.memory_working_set),
        (Some(105_445_703), Some(724_992), Some(724_992))
    );
    assert_eq!(requests(&engines).len(), 2);
}

#[test]
fn docker_is_asked_for_each_and_one_without_figures_fails_nobody() {
    let engines = start(DOCKER, |what, _| match what {
        "GET /containers/json" => {
            Some((200, json!([{"Id": "m", "Labels": main_labels()}, {"Id": "gone", "Labels": main_labels()}])))
        }
        "GET /containers/m/json" => Some((200, inspected("m", &main_labels(), &running()))),
        "GET /containers/m/stats" => Some((
            200,
            json!({"read": "2026-01-01T00:00:05Z", "cpu_stats": {"cpu_usage": {"total_usage": 5}},
                "memory_stats": {"usage": 10, "stats": {"total_inactive_file": 4}}}),
        )),
        _ => None,
    });
    let pods = engines.stats().unwrap();
    assert_eq!(pods[0].containers.len(), 1);
    let main = &pods[0].containers[0];
    assert_eq!((main.cpu_usage_core_ns, main.memory_usage, main.memory_working_set), (Some(5), Some(10), Some(6)));
    assert_eq!(main.start_time_unix_ms, 1_767_225_601_000);
}

#[test]
fn an_engine_that_is_away_has_no_figures() {
    let engines =
        start(DOCKER, |what, _| (what == "GET /containers/json").then(|| (500, json!({"message": "trouble"}))));
    assert!(engines.stats().is_err());
}
