//! Views of Kubernetes objects.

use pluglet_sdk::kubernetes::{Phase, Pod, PodStatus, Quantity, RestartPolicy, Time};
use pluglet_sdk::testing::json;
use serde_json::Value;

fn pod() -> Pod {
    serde_json::from_value(json!({
        "apiVersion": "v1",
        "metadata": {"name": "web", "uid": "u", "deletionTimestamp": "2026-01-31T12:00:00Z", "managedFields": [{}]},
        "spec": {
            "restartPolicy": "OnFailure",
            "initContainers": [
                {"name": "first", "image": "i"},
                {"name": "side", "image": "s", "restartPolicy": "Always"},
            ],
            "containers": [{
                "name": "main",
                "image": "m",
                "ports": [{"containerPort": 8080}],
                "resources": {"limits": {"cpu": "1"}},
                "volumeMounts": [{"name": "v", "mountPath": "/v"}],
            }],
        },
    }))
    .unwrap()
}

fn at(second: u64) -> Time {
    Time::from_unix_ns((1_769_860_800 + second) * 1_000_000_000)
}

#[test]
fn a_pod_is_read_by_the_names_of_kubernetes() {
    let pod = pod();
    assert_eq!(pod.metadata.deletion_timestamp, Some(at(0)));
    assert_eq!(pod.spec.restart_policy, RestartPolicy::OnFailure);
    assert_eq!(pod.spec.containers[0].ports[0].container_port, 8080);
    assert_eq!(pod.spec.containers[0].resources.limits["cpu"], "1");
    assert_eq!(pod.spec.containers[0].volume_mounts[0].mount_path, "/v");
    assert!(pod.spec.init_containers[1].is_sidecar() && !pod.spec.init_containers[0].is_sidecar());
}

#[test]
fn a_running_pod_is_written_as_kubernetes_writes_it() {
    let status = PodStatus::running(&pod(), at(0)).with_ip("10.0.0.1");
    let time = "2026-01-31T12:00:00Z";
    let container = |name: &str, image: &str| {
        json!({
            "name": name, "image": image, "imageID": "", "ready": true, "started": true, "restartCount": 0,
            "state": {"running": {"startedAt": time}},
        })
    };
    let expected = json!({
        "phase": "Running",
        "startTime": time,
        "podIP": "10.0.0.1",
        "podIPs": [{"ip": "10.0.0.1"}],
        "initContainerStatuses": [
            {
                "name": "first", "image": "i", "imageID": "", "ready": true, "started": false, "restartCount": 0,
                "state": {"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": time, "finishedAt": time}},
            },
            container("side", "s"),
        ],
        "containerStatuses": [container("main", "m")],
    });
    assert_eq!(serde_json::to_value(&status).unwrap(), expected);
    assert_eq!(serde_json::from_value::<PodStatus>(expected).unwrap(), status);
    assert!(!status.has_ended());
}

#[test]
fn a_waiting_pod_says_why() {
    let status = PodStatus::waiting(&pod(), "ImagePullBackOff", Some("no such image"));
    let written: Value = serde_json::to_value(&status).unwrap();
    assert_eq!(written["phase"], "Pending");
    let expected = json!({"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}});
    assert_eq!(written["containerStatuses"][0]["state"], expected);
}

#[test]
fn a_terminated_pod_has_failed_unless_its_exit_code_is_0() {
    for (exit_code, phase) in [(0, Phase::Succeeded), (137, Phase::Failed)] {
        let status = PodStatus::terminated(&pod(), exit_code, "Reason", at(0), at(5));
        assert_eq!(status.phase, phase);
        assert!(status.has_ended());
        let end = status.container_statuses[0].state.terminated.clone().unwrap();
        assert_eq!((end.exit_code, end.started_at, end.finished_at), (exit_code, Some(at(0)), Some(at(5))));
        assert_eq!(status.init_container_statuses[0].state.terminated.as_ref().unwrap().exit_code, 0);
        assert_eq!(status.init_container_statuses[1].state.terminated.as_ref().unwrap().exit_code, exit_code);
    }
}

#[test]
fn a_quantity_is_read_with_and_without_quotes() {
    let read: Vec<Quantity> = serde_json::from_str(r#"[16, "16", 0.5, "4Ti"]"#).unwrap();
    assert_eq!(read.iter().map(Quantity::as_str).collect::<Vec<_>>(), ["16", "16", "0.5", "4Ti"]);
    assert!(serde_json::from_str::<Quantity>("true").is_err());
}
