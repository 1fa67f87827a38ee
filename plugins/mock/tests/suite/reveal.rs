//! What the provider holds of a pod, as its logs tell it.

use mock::Mock;
use pluglet_sdk::testing::{Harness, TestPod, json, pod};
use pluglet_sdk::{LogOptions, RegistryCredential, Volume, VolumeFile};
use serde_json::Value;

use super::{scripted, seconds, start};

fn volume(name: &str, path: &str, bytes: &[u8]) -> Volume {
    let file = VolumeFile { path: path.to_owned(), mode: 0o644, bytes: bytes.to_vec() };
    Volume { name: name.to_owned(), files: vec![file] }
}

/// A pod that has something of everything.
fn rich() -> TestPod {
    let mut pod = pod(json!({
        "metadata": {"name": "web", "annotations": {
            "mock.pluglet.dev/reveal": "true",
            "mock.pluglet.dev/pod-ip": "10.1.2.3",
            "mock.pluglet.dev/log": "hello",
        }},
        "spec": {
            "initContainers": [{"name": "init", "image": "init:1", "args": ["$(A)"]}],
            "containers": [{
                "name": "main", "image": "image:1", "command": ["app"], "args": ["--ip=$(IP)"],
                "env": [
                    {"name": "Z", "value": "last"},
                    {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                    {"name": "A", "value": "http://$(IP)"},
                ],
                "volumeMounts": [
                    {"name": "config", "mountPath": "/etc/app.conf", "subPath": "app.conf"},
                    {"name": "config", "mountPath": "/etc/all"},
                ],
                "lifecycle": {"preStop": {"exec": {"command": ["stop"]}}},
            }],
        },
    }));
    pod.spec.volumes = vec![volume("config", "app.conf", b"a=1\n"), volume("icon", "icon", &[0xff, 0])];
    let (registry, username, password) = ("example.com".to_owned(), "u".to_owned(), "p".to_owned());
    pod.spec.registry_credentials = vec![RegistryCredential { registry, username, password }];
    pod
}

fn log(harness: &Harness<Mock>, pod: &TestPod, container: &str) -> String {
    harness.logs(pod, LogOptions { container: container.to_owned(), ..LogOptions::default() }).unwrap()
}

fn revealed(harness: &Harness<Mock>, pod: &TestPod, container: &str) -> Value {
    serde_json::from_str(log(harness, pod, container).lines().next().unwrap()).unwrap()
}

#[test]
fn the_first_line_tells_all_that_came_with_the_pod() {
    let (harness, pod) = (start(), rich());
    harness.create(&pod).unwrap();
    let expected = json!({
        "container": "main",
        "image": "image:1",
        "command": ["app"],
        "args": ["--ip=10.1.2.3"],
        "env": [
            {"name": "Z", "value": "last"},
            {"name": "IP", "value": "10.1.2.3"},
            {"name": "A", "value": "http://10.1.2.3"},
        ],
        "subPaths": {"/etc/app.conf": "app.conf"},
        "volumes": {
            "config": [{"path": "app.conf", "mode": "0644", "text": "a=1\n"}],
            "icon": [{"path": "icon", "mode": "0644", "base64": "/wA="}],
        },
        "credentials": [{"registry": "example.com", "username": "u", "password": "p"}],
        "preStop": {"exec": {"command": ["stop"]}},
        "generation": 1,
        "calls": {"create": 1, "update": 0, "volumesChanged": 0, "restart": 0},
    });
    assert_eq!(revealed(&harness, &pod, "main"), expected);
    assert!(log(&harness, &pod, "main").ends_with("}\nhello\n"));
    let init = revealed(&harness, &pod, "init");
    assert_eq!((&init["image"], &init["args"], &init["preStop"]), (&json!("init:1"), &json!(["$(A)"]), &Value::Null));
    assert_eq!(log(&harness, &pod, "init").lines().count(), 1);
}

#[test]
fn later_calls_change_what_is_held_and_are_counted() {
    let (harness, mut pod) = (start(), rich());
    harness.create(&pod).unwrap();
    harness.create(&pod).unwrap();
    pod.pod_ref.generation = 2;
    pod.spec.json = pod.spec.json.replace("\"last\"", "\"new\"");
    pod.spec.volumes.pop();
    harness.update(&pod).unwrap();
    harness.restart_container(&pod, "main", 0).unwrap();
    pod.pod_ref.generation = 3;
    harness.volumes_changed(&pod, vec![volume("token", "token", b"t")]).unwrap();
    harness.volumes_changed(&pod, vec![volume("config", "b", b"2")]).unwrap();
    let told = revealed(&harness, &pod, "main");
    assert_eq!(told["env"][0]["value"], "new");
    let volumes = json!({
        "config": [{"path": "b", "mode": "0644", "text": "2"}],
        "token": [{"path": "token", "mode": "0644", "text": "t"}],
    });
    assert_eq!((&told["volumes"], &told["generation"]), (&volumes, &json!(3)));
    assert_eq!(told["calls"], json!({"create": 2, "update": 1, "volumesChanged": 2, "restart": 1}));
}

#[test]
fn after_a_restart_of_the_provider_it_is_what_came_since() {
    let (harness, pod) = (start(), rich());
    harness.create(&pod).unwrap();
    let harness = harness.restart("{}").unwrap();
    let nothing = json!({"create": 0, "update": 0, "volumesChanged": 0, "restart": 0});
    let told = revealed(&harness, &pod, "main");
    assert_eq!((&told["volumes"], &told["env"], &told["calls"]), (&json!({}), &json!([]), &nothing));
    harness.volumes_changed(&pod, vec![volume("config", "b", b"2")]).unwrap();
    assert_eq!(revealed(&harness, &pod, "main")["volumes"]["config"][0]["path"], "b");
    let harness = harness.restart("{}").unwrap();
    harness.create(&pod).unwrap();
    assert_eq!(revealed(&harness, &pod, "main")["args"], json!(["--ip=10.1.2.3"]));
}

#[test]
fn the_line_is_one_of_the_log_and_not_repeated_to_those_who_follow() {
    let script = [("reveal", "true"), ("log-every", "1s")];
    let (harness, pod) = (start(), scripted("Always", &script));
    harness.create(&pod).unwrap();
    let follow = LogOptions { container: "main".to_owned(), follow: true, ..LogOptions::default() };
    let followed = harness.follow(&pod, follow.clone()).unwrap();
    harness.advance(seconds(2));
    let text = followed.take_text();
    assert!(text.starts_with('{') && text.ends_with("}\ntick 1\ntick 2\n") && text.lines().count() == 3, "{text}");
    let tail = LogOptions { tail_lines: Some(2), follow: false, ..follow };
    assert_eq!(harness.logs(&pod, tail).unwrap(), "tick 1\ntick 2\n");
}

#[test]
fn without_the_annotation_nothing_is_held() {
    let (harness, mut pod) = (start(), rich());
    pod.spec.json = pod.spec.json.replace("mock.pluglet.dev/reveal", "example.com/reveal");
    harness.create(&pod).unwrap();
    harness.volumes_changed(&pod, vec![volume("config", "b", b"2")]).unwrap();
    assert_eq!(log(&harness, &pod, "main"), "hello\n");
    harness.update(&rich()).unwrap();
    assert_eq!(revealed(&harness, &pod, "main")["calls"]["volumesChanged"], 1, "an update can ask for it");
}

#[test]
fn new_files_for_a_pod_that_is_not_there_are_not_found() {
    assert_eq!(start().volumes_changed(&rich(), vec![]), Err(pluglet_sdk::Error::NotFound));
}
