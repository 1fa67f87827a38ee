//! A table: a pod in short, what the runtime has of it, what is to be done.

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::*;

/// `main`, `init:a`, `sidecar:s` or `debug:d`, each with more fields.
fn pod(policy: &str, containers: &[(&str, Value)]) -> Pod {
    let mut spec = json!({"restartPolicy": policy, "containers": [], "initContainers": [], "ephemeralContainers": []});
    for (what, more) in containers {
        let (list, name) = match what.split_once(':') {
            Some(("init" | "sidecar", name)) => ("initContainers", name),
            Some((_, name)) => ("ephemeralContainers", name),
            None => ("containers", *what),
        };
        let mut container = json!({"name": name, "image": "v1"});
        if what.starts_with("sidecar") {
            container["restartPolicy"] = json!("Always");
        }
        container.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        spec[list].as_array_mut().unwrap().push(container);
    }
    serde_json::from_value(json!({"metadata": {}, "spec": spec})).unwrap()
}

/// `ready`, `gone` (not ready) or `none`; then `name=state` with the state `created`, `running`, `unknown` or an exit code, the newest first; `old/name=…` for
/// one in an earlier sandbox. A name is the attempt's id, with a `'` for each newer attempt of the container.
fn seen(text: &str) -> Seen {
    let mut words = text.split_whitespace();
    let sandbox = |ready| Sandbox { id: "present".to_owned(), attempt: 2, ready, has_address: true };
    let sandboxes = match words.next() {
        Some("ready") => vec![sandbox(true)],
        Some("gone") => vec![sandbox(false)],
        Some("no-address") => vec![Sandbox { has_address: false, ..sandbox(true) }],
        Some("two") => vec![sandbox(true), Sandbox { id: "other".to_owned(), attempt: 1, ..sandbox(true) }],
        _ => vec![],
    };
    let mut attempts: Vec<Attempt> = vec![];
    for word in words {
        let (name, state) = word.split_once('=').unwrap();
        let (sandbox, name) = name.strip_prefix("old/").map_or(("present", name), |name| ("earlier", name));
        let newer = attempts.iter().filter(|attempt| attempt.container == name).count();
        let state = match state {
            "created" => State::Created,
            "running" => State::Running,
            "unknown" => State::Unknown,
            code => State::Exited(code.parse().unwrap()),
        };
        attempts.push(Attempt {
            id: format!("{name}{}", "'".repeat(newer)),
            container: name.to_owned(),
            sandbox: sandbox.to_owned(),
            image: "v1".to_owned(),
            state,
        });
    }
    Seen { sandboxes, attempts }
}

/// `startup!name` and `liveness!name` have failed, `startup+name` and `liveness+name` have not.
fn verdicts(text: &str) -> Verdicts {
    let mut verdicts = Verdicts::default();
    for word in text.split_whitespace() {
        let (kind, name) = word.split_once(['!', '+']).unwrap();
        let map = if kind == "startup" { &mut verdicts.startup } else { &mut verdicts.liveness };
        map.insert(name.to_owned(), word.contains('+'));
    }
    verdicts
}

fn said(next: &Next) -> String {
    let mut words: Vec<String> = vec![];
    words.extend(next.stop_pod.then(|| "stop-pod".to_owned()));
    words.extend(next.sandbox.map(|attempt| format!("sandbox-{attempt}")));
    words.extend(next.reset.iter().map(|attempt| format!("reset:{attempt}")));
    words.extend(next.stop.iter().map(|stop| format!("stop:{}:{:?}", stop.attempt, stop.why)));
    words.extend(next.start.iter().map(|start| format!("start:{}", start.container)));
    words.join(" ")
}

fn check(pod: &Pod, rows: &[(&str, &str, &str)]) {
    for (there, found, expected) in rows {
        assert_eq!(said(&next(pod, &seen(there), &verdicts(found))), *expected, "{there} | {found}");
    }
}

#[test]
fn a_pod_of_one_container_follows_its_policy() {
    let one = |policy| pod(policy, &[("main", json!({}))]);
    check(
        &one("Always"),
        &[
            ("none", "", "stop-pod sandbox-0 start:main"),
            ("ready", "", "start:main"),
            ("ready main=created", "", "start:main"),
            ("ready main=running", "", ""),
            ("ready main=0", "", "start:main"),
            ("ready main=1", "", "start:main"),
            ("ready main=unknown", "", "stop:main:Unknown start:main"),
            ("ready main=running", "liveness!main", "stop:main:Liveness start:main"),
            ("ready main=running", "startup!main", "stop:main:Startup start:main"),
            ("ready main=running", "startup+main liveness+main", ""),
            // The verdict was about the attempt before.
            ("ready main=running main=1", "liveness!main'", ""),
        ],
    );
    check(&one("OnFailure"), &[("ready main=0", "", "stop-pod"), ("ready main=1", "", "start:main")]);
    check(
        &one("Never"),
        &[
            ("ready main=0", "", "stop-pod"),
            ("ready main=1", "", "stop-pod"),
            // It was the last one, so its pod ends with it.
            ("ready main=running", "liveness!main", "stop-pod"),
        ],
    );
}

#[test]
fn without_a_good_sandbox_all_begins_anew_if_anything_is_left_to_do() {
    let one = |policy| pod(policy, &[("main", json!({}))]);
    check(
        &one("Always"),
        &[
            ("gone main=running", "", "stop-pod sandbox-3 start:main"),
            ("two main=running", "", "stop-pod sandbox-3 start:main"),
            ("no-address main=running", "", "stop-pod sandbox-3 start:main"),
            ("gone main=0", "", "stop-pod sandbox-3 start:main"),
        ],
    );
    check(&one("OnFailure"), &[("gone main=0", "", "stop-pod"), ("gone main=1", "", "stop-pod sandbox-3 start:main")]);
    check(
        &one("Never"),
        &[
            ("gone main=1", "", "stop-pod"),
            // It never got as far as a container.
            ("gone", "", "stop-pod sandbox-3 start:main"),
        ],
    );
    // What has ended for good by its own policy is not begun again because the pod's is another.
    let own = pod("Always", &[("main", json!({"restartPolicy": "Never"}))]);
    check(&own, &[("ready main=1", "", "stop-pod"), ("gone main=1", "", "stop-pod")]);
    let init = pod("Always", &[("init:a", json!({"restartPolicy": "Never"})), ("main", json!({}))]);
    check(&init, &[("ready a=1", "", "stop-pod"), ("gone a=1", "", "stop-pod")]);
    let mut host = one("Always");
    host.spec.as_mut().unwrap().host_network = Some(true);
    check(&host, &[("no-address main=running", "", "")]);
    let initialised = pod("Always", &[("init:a", json!({})), ("init:b", json!({})), ("main", json!({}))]);
    check(&initialised, &[("gone a=0 b=0 main=running", "", "stop-pod sandbox-3 start:a")]);
}

#[test]
fn init_containers_run_one_after_the_other_and_once() {
    let two = |policy| pod(policy, &[("init:a", json!({})), ("init:b", json!({})), ("main", json!({}))]);
    check(
        &two("Always"),
        &[
            ("none", "", "stop-pod sandbox-0 start:a"),
            ("ready", "", "start:a"),
            ("ready a=running", "", ""),
            ("ready a=created", "", "start:a"),
            ("ready a=0", "", "start:b"),
            ("ready a=1", "", "start:a"),
            ("ready a=unknown", "", "stop:a:Unknown start:a"),
            ("ready b=running a=0", "", ""),
            ("ready b=1 a=0", "", "start:b"),
            ("ready b=0 a=0", "", "start:main"),
            // The runtime has removed what is over.
            ("ready b=0", "", "start:main"),
            ("ready main=running", "", ""),
            ("ready main=1", "", "start:main"),
            // All of that was in the sandbox before.
            ("ready old/main=running old/b=0 old/a=0", "", "start:a"),
        ],
    );
    check(
        &two("Never"),
        &[("ready a=1", "", "stop-pod"), ("ready a=unknown", "", "stop-pod"), ("ready a=0", "", "start:b")],
    );
    check(&two("OnFailure"), &[("ready a=1", "", "start:a"), ("ready main=0 b=0 a=0", "", "stop-pod")]);
}

#[test]
fn sidecars_let_the_next_one_begin_once_they_have_started_and_are_kept_running() {
    let probe =
        json!({"startupProbe": {"exec": {"command": ["true"]}}, "livenessProbe": {"exec": {"command": ["true"]}}});
    let with = |policy, more: &Value| {
        pod(
            policy,
            &[("sidecar:s", more.clone()), ("init:a", json!({})), ("sidecar:t", json!({})), ("main", json!({}))],
        )
    };
    for policy in ["Always", "Never"] {
        check(
            &with(policy, &json!({})),
            &[
                ("ready", "", "start:s"),
                ("ready s=created", "", "start:s"),
                ("ready s=running", "", "start:a"),
                ("ready a=running s=running", "", ""),
                // It has ended while the pod is being initialised, and whatever the policy.
                ("ready a=running s=0", "", "start:s"),
                ("ready a=0 s=running", "", "start:t"),
                ("ready t=running a=0 s=running", "", "start:main"),
                ("ready main=running t=running a=0 s=1", "", "start:s"),
                ("ready main=running t=unknown a=0 s=running", "", "stop:t:Unknown start:t"),
                // The runtime has lost one.
                ("ready main=running t=running a=0", "", "start:s"),
                ("ready main=running t=running s=running", "liveness!t", "stop:t:Liveness start:t"),
            ],
        );
    }
    check(
        &with("Always", &probe),
        &[
            ("ready s=running", "", ""),
            ("ready s=running", "startup+s", "start:a"),
            ("ready s=running", "startup!s", "stop:s:Startup start:s"),
            ("ready a=running s=running", "startup+s liveness!s", "stop:s:Liveness start:s"),
        ],
    );
    // Sidecars alone do not keep a pod, not even those that would have to be started.
    check(
        &with("Never", &json!({})),
        &[("ready main=0 t=running a=0 s=running", "", "stop-pod"), ("ready main=1 t=1 a=0 s=running", "", "stop-pod")],
    );
}

#[test]
fn a_containers_own_policy_and_rules_go_before_the_pods() {
    let rule = |action: &str, operator: &str, codes: &[i32]| json!({"action": action, "exitCodes": {"operator": operator, "values": codes}});
    let own = json!({"restartPolicy": "Never", "restartPolicyRules": [rule("Restart", "In", &[42])]});
    check(
        &pod("Always", &[("main", own.clone()), ("other", json!({}))]),
        &[
            ("ready main=42 other=running", "", "start:main"),
            ("ready main=1 other=running", "", ""),
            ("ready main=running other=running", "liveness!main", "stop:main:Liveness"),
            ("ready main=1 other=1", "", "start:other"),
        ],
    );
    let init = json!({"restartPolicy": "Never", "restartPolicyRules": [rule("Restart", "NotIn", &[1])]});
    check(
        &pod("Always", &[("init:a", init), ("main", json!({}))]),
        &[("ready a=1", "", "stop-pod"), ("ready a=2", "", "start:a")],
    );
    let all = json!({"restartPolicy": "Never", "restartPolicyRules": [rule("RestartAllContainers", "In", &[88])]});
    check(
        &pod("Never", &[("init:a", json!({})), ("sidecar:s", json!({})), ("main", all), ("other", json!({}))]),
        &[
            // The reason goes last.
            ("ready main=88 other=running s=running a=0", "", "reset:other reset:a reset:s reset:main"),
            ("ready main=88", "", "reset:main"),
            ("ready", "", "start:a"),
            ("ready main=1 other=running s=running a=0", "", ""),
        ],
    );
}

#[test]
fn another_image_is_started_whatever_the_policy() {
    let newer = |policy, what: &str| pod(policy, &[(what, json!({"image": "v2"})), ("main2", json!({}))]);
    check(&newer("Never", "main"), &[("ready main=running main2=running", "", "stop:main:Changed start:main")]);
    check(&newer("Never", "sidecar:s"), &[("ready main2=running s=running", "", "stop:s:Changed start:s")]);
    // One that is over stays so.
    check(&newer("Never", "main"), &[("ready main=1 main2=running", "", "")]);
}

#[test]
fn an_ephemeral_container_is_started_once_and_also_while_the_pod_is_initialised() {
    let debugged = pod("Always", &[("init:a", json!({})), ("main", json!({})), ("debug:d", json!({}))]);
    check(
        &debugged,
        &[
            ("ready a=running", "", "start:d"),
            ("ready main=running a=0 d=1", "", ""),
            ("ready main=running a=0", "", "start:d"),
        ],
    );
}

#[test]
fn sidecars_are_stopped_last_and_in_reverse_order() {
    let pod = pod(
        "Always",
        &[
            ("sidecar:s", json!({})),
            ("init:a", json!({})),
            ("sidecar:t", json!({})),
            ("main", json!({})),
            ("other", json!({})),
            ("debug:d", json!({})),
        ],
    );
    let may = |running: &[&str]| {
        termination::may_stop(pod.spec.as_ref().unwrap(), &running.iter().copied().collect()).join(" ")
    };
    assert_eq!(may(&["s", "t", "main", "other", "d"]), "main other d");
    assert_eq!(may(&["s", "t", "other"]), "other");
    assert_eq!(may(&["s", "t", "d"]), "d t");
    assert_eq!(may(&["s", "t"]), "t");
    assert_eq!(may(&["s"]), "s");
    assert_eq!(may(&["s", "a"]), "a s");
    assert_eq!(may(&[]), "");
}
