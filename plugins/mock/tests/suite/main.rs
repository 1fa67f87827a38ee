//! The provider, run natively by the SDK's harness.
//!
//! In: pods with annotations. Out: statuses, events and logs as users would see them. Invariant: time is virtual; nothing waits.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test whose helper cannot go on has failed"
)]

mod config;
mod container;
mod create;
mod delete;
mod exec;
mod life;
mod logs;
mod restart;
mod reveal;
mod sessions;
mod update;

use std::time::Duration;

use mock::Mock;
use pluglet_sdk::Event;
use pluglet_sdk::kubernetes::PodStatus;
use pluglet_sdk::testing::{Harness, TestPod, json, pod};

fn start() -> Harness<Mock> {
    Harness::start("{}").unwrap()
}

/// A pod with these annotations, less their prefix.
fn scripted(restart_policy: &str, annotations: &[(&str, &str)]) -> TestPod {
    let annotations: std::collections::BTreeMap<_, _> =
        annotations.iter().map(|(name, value)| (format!("mock.pluglet.dev/{name}"), *value)).collect();
    pod(json!({
        "metadata": {"name": "web", "annotations": annotations},
        "spec": {"restartPolicy": restart_policy, "containers": [{"name": "main", "image": "image:1"}]},
    }))
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The statuses among the events, oldest first; the second value tells whether the pod is gone after them.
fn reported(harness: &Harness<Mock>) -> (Vec<PodStatus>, bool) {
    let mut statuses = Vec::new();
    let mut gone = false;
    for event in harness.events() {
        match event {
            Event::Status(_, status) => statuses.push(serde_json::from_str(status.as_json()).unwrap()),
            Event::Gone(_) => gone = true,
            other => panic!("unexpected event {other:?}"),
        }
    }
    (statuses, gone)
}

/// What `kubectl get pods` shows of the first container.
fn shown(status: &PodStatus) -> String {
    let container = &status.container_statuses[0];
    let state = &container.state;
    let what = match (&state.waiting, &state.running, &state.terminated) {
        (Some(waiting), None, None) => waiting.reason.clone().unwrap(),
        (None, Some(_), None) => "running".to_owned(),
        (None, None, Some(end)) => format!("{} {}", end.reason.clone().unwrap(), end.exit_code),
        other => panic!("not one state: {other:?}"),
    };
    format!("{:?}: {what}, {} restarts", status.phase, container.restart_count)
}
