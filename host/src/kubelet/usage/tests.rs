//! From figures of a provider to what is read of a node.

use serde_json::json;

use super::*;
use crate::pods::view::Seen;

fn view() -> PodsView {
    let view = PodsView::default();
    for name in ["a", "b"] {
        let containers = json!([{ "name": "main", "image": "i\"1" }, { "name": "side", "image": "i2" }]);
        let pod = json!({ "metadata": { "name": name, "namespace": "n", "uid": name }, "spec": { "containers": containers },
            "status": { "startTime": "2026-01-01T00:00:00Z" } });
        view.put(&Seen::of(serde_json::from_value(pod).unwrap()).unwrap());
    }
    view
}

/// At second `time` of a container that started at second 1.
fn container(name: &str, time: u64, cpu_ns: Option<u64>, nano_cores: Option<u64>) -> ContainerStats {
    ContainerStats {
        name: name.to_owned(),
        time_unix_ms: time * 1000,
        start_time_unix_ms: 1000,
        cpu_usage_core_ns: cpu_ns,
        cpu_usage_nano_cores: nano_cores,
        memory_working_set: Some(100),
        memory_usage: Some(200),
    }
}

fn of_a(containers: Vec<ContainerStats>) -> Vec<PodStats> {
    vec![PodStats { key: PodKey::new("a", "n", "a"), containers }]
}

/// Of a process that is older than the containers.
fn fresh() -> Known {
    Known { since_ms: 0, ..Known::default() }
}

/// A process that has used two seconds and a kilobyte.
fn own() -> Figures {
    Figures {
        time_ms: 9000,
        cpu_ns: Some(2_000_000_000),
        nano_cores: None,
        working_set: Some(1000),
        memory: Some(1000),
    }
}

fn cpu(known: &mut Known, stats: ContainerStats) -> Option<u64> {
    known.take(of_a(vec![stats]), &view(), own()).pods[0].containers[0].figures.cpu_ns
}

#[test]
fn a_counter_never_falls_and_a_restart_begins_anew() {
    let mut known = fresh();
    assert_eq!(cpu(&mut known, container("main", 2, Some(500), None)), Some(500));
    assert_eq!(cpu(&mut known, container("main", 3, Some(400), None)), Some(500), "a provider that has forgotten");
    assert_eq!(cpu(&mut known, container("main", 4, Some(900), None)), Some(900));
    let restarted = ContainerStats { start_time_unix_ms: 4500, ..container("main", 5, Some(7), None) };
    assert_eq!(cpu(&mut known, restarted), Some(7));
    assert_eq!(known.pods_cpu_ns, 907, "the node's goes on");
}

#[test]
fn cpu_in_use_becomes_a_counter_and_a_counter_cpu_in_use() {
    let mut known = fresh();
    assert_eq!(cpu(&mut known, container("main", 3, None, Some(250))), Some(500), "two seconds since it started");
    assert_eq!(cpu(&mut known, container("main", 5, None, Some(100))), Some(700));
    let mut known = fresh();
    cpu(&mut known, container("main", 2, Some(1000), None));
    let snapshot = known.take(of_a(vec![container("main", 4, Some(5000), None)]), &view(), own());
    assert_eq!(snapshot.pods[0].containers[0].figures.nano_cores, Some(2000));
}

#[test]
fn nothing_that_runs_is_told_as_nothing_and_what_is_unknown_is_left_out() {
    let mut known = fresh();
    assert_eq!(cpu(&mut known, container("main", 2, Some(0), None)), Some(1));
    assert_eq!(cpu(&mut known, container("main", 2, None, None)), None);
}

#[test]
fn only_pods_and_containers_that_the_api_server_has_are_told() {
    let mut stats = of_a(vec![container("main", 2, Some(5), None), container("made up", 2, Some(5), None)]);
    stats.push(PodStats {
        key: PodKey::new("old uid", "n", "b"),
        containers: vec![container("main", 2, Some(5), None)],
    });
    stats.push(PodStats { key: PodKey::new("x", "n", "x"), containers: vec![] });
    let snapshot = fresh().take(stats, &view(), own());
    assert_eq!(snapshot.pods.len(), 1);
    assert_eq!(snapshot.pods[0].containers.len(), 1);
}

fn two_containers() -> Snapshot {
    let side = ContainerStats { memory_working_set: None, ..container("side", 3, Some(1), None) };
    fresh().take(of_a(vec![container("main", 3, Some(1_500_000_000), Some(7)), side]), &view(), own())
}

#[test]
fn metrics_server_finds_what_it_looks_for() {
    let text = resource::render(&two_containers());
    for line in [
        "# TYPE node_cpu_usage_seconds_total counter",
        "node_cpu_usage_seconds_total 3.500000001 9000",
        "node_memory_working_set_bytes 1100 9000",
        "container_cpu_usage_seconds_total{container=\"main\",namespace=\"n\",pod=\"a\"} 1.500000000 3000",
        "container_memory_working_set_bytes{container=\"main\",namespace=\"n\",pod=\"a\"} 100 3000",
        "container_start_time_seconds{container=\"main\",namespace=\"n\",pod=\"a\"} 1.000",
        "resource_scrape_error 0",
    ] {
        assert!(text.lines().any(|have| have == line), "{line}\n{text}");
    }
    assert!(!text.contains("side") && !text.contains("pod_cpu_usage_seconds_total{"), "{text}");
}

#[test]
fn dashboards_find_cadvisors_names() {
    let capacity = [("cpu".to_owned(), "3500m".to_owned()), ("memory".to_owned(), "1Ki".to_owned())].into();
    let text = cadvisor::render(&two_containers(), &capacity);
    let labels = r#"container="main",id="/poda/main",image="i\"1",name="main",namespace="n",pod="a""#;
    for line in [
        format!("container_cpu_usage_seconds_total{{{labels},cpu=\"total\"}} 1.500000000 3000"),
        format!("container_memory_working_set_bytes{{{labels}}} 100 3000"),
        "machine_cpu_cores 4".to_owned(),
        "machine_memory_bytes 1024".to_owned(),
    ] {
        assert!(text.lines().any(|have| have == line), "{line}\n{text}");
    }
}

#[test]
fn the_summary_has_whole_numbers_and_leaves_out_what_is_unknown() {
    let summary = summary::render(&two_containers(), "node", &view(), false);
    assert_eq!(summary["node"]["nodeName"], "node");
    assert_eq!(summary["node"]["cpu"]["usageCoreNanoSeconds"], 3_500_000_001_u64);
    let pod = &summary["pods"][0];
    assert_eq!(pod["podRef"], json!({ "name": "a", "namespace": "n", "uid": "a" }));
    assert_eq!(pod["startTime"], "2026-01-01T00:00:00Z");
    let main = json!({
        "name": "main", "startTime": "1970-01-01T00:00:01Z",
        "cpu": { "time": "1970-01-01T00:00:03Z", "usageNanoCores": 7, "usageCoreNanoSeconds": 1_500_000_000_u64 },
        "memory": { "time": "1970-01-01T00:00:03Z", "workingSetBytes": 100, "usageBytes": 200 },
    });
    assert_eq!(pod["containers"][0], main);
    assert_eq!(
        pod["memory"],
        json!({ "time": "1970-01-01T00:00:03Z", "usageBytes": 400 }),
        "one container's is unknown"
    );
}

#[test]
fn this_process_uses_something() {
    let own = own::figures();
    assert!(own.cpu_ns.unwrap() > 0 && own.memory.unwrap() > 1 << 20, "{own:?}");
}

#[test]
fn what_was_used_before_this_process_is_not_guessed_and_a_gap_is_no_new_beginning() {
    let mut known = Known { since_ms: 100_000, ..Known::default() };
    assert_eq!(
        cpu(&mut known, container("main", 101, None, Some(2_000_000_000))),
        Some(1),
        "not a hundred seconds of two cores"
    );
    assert_eq!(cpu(&mut known, container("main", 102, None, Some(2_000_000_000))), Some(2_000_000_001));
    known.take(vec![], &view(), own());
    assert_eq!(cpu(&mut known, container("main", 103, None, Some(0))), Some(2_000_000_001));
    let mut known = Known { since_ms: 100_000, ..Known::default() };
    assert_eq!(cpu(&mut known, container("main", 101, Some(5_000), None)), Some(5_000));
    assert_eq!(known.pods_cpu_ns, 0, "the node counts from now on");
}
