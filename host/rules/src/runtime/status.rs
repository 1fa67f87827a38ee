//! A pod's status, from what the runtime has of it.
//!
//! In: the pod, its attempts, why containers wait. Out: a `v1.PodStatus` without conditions and phase, which follow from it. Invariant: the newest attempt of a
//! container is its state, the one before it its last state; the number of the newest is the count of its restarts (`convertToAPIContainerStatuses`).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
    ContainerStatus as ApiStatus, Pod, PodIP, PodSpec, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use pluglet_model::runtime::{ContainerState as State, ContainerStatus, PodContents};

use super::container::Kept;
use super::find;
use crate::lifecycle::{self, Attempt, Kind, Sandbox, Seen};

/// Scheme of a container's id in statuses.
const SCHEME: &str = "containers://";

/// Why a container waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// UpperCamelCase.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

/// What only the host knows of a pod's containers.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    /// By container.
    pub waiting: BTreeMap<String, Waiting>,
    /// What they left as their last words, by id.
    pub messages: BTreeMap<String, String>,
}

/// The status. Without a pod, as after a restart before it is known again, the attempts alone tell.
#[must_use]
pub fn status(pod: Option<&Pod>, contents: &PodContents, notes: &Notes) -> PodStatus {
    let attempts = newest_first(contents);
    let of = |kind: Kind| {
        let named = match pod.and_then(|pod| pod.spec.as_ref()) {
            Some(spec) => of_spec(spec, kind),
            None => of_attempts(&attempts, kind),
        };
        let again = |name: &str, code| pod.is_none_or(|pod| starts_again(pod, name, code));
        let statuses: Vec<_> = named.into_iter().map(|named| of_container(named, &attempts, notes, &again)).collect();
        (!statuses.is_empty()).then_some(statuses)
    };
    let addresses = addresses(contents);
    PodStatus {
        container_statuses: of(Kind::Regular),
        init_container_statuses: of(Kind::Init),
        ephemeral_container_statuses: of(Kind::Ephemeral),
        phase: Some("Pending".to_owned()),
        pod_ip: addresses.first().cloned(),
        pod_ips: (!addresses.is_empty()).then(|| addresses.iter().map(|ip| PodIP { ip: ip.clone() }).collect()),
        ..PodStatus::default()
    }
}

/// A container's name and image.
type Named<'a> = (&'a str, Option<&'a str>);

fn of_spec(spec: &PodSpec, kind: Kind) -> Vec<Named<'_>> {
    let containers = match kind {
        Kind::Regular => spec.containers.as_slice(),
        Kind::Init => spec.init_containers.as_deref().unwrap_or_default(),
        Kind::Ephemeral => {
            let ephemeral = spec.ephemeral_containers.iter().flatten();
            return ephemeral.map(|container| (container.name.as_str(), container.image.as_deref())).collect();
        }
    };
    containers.iter().map(|container| (container.name.as_str(), container.image.as_deref())).collect()
}

fn of_attempts<'a>(attempts: &[&'a ContainerStatus], kind: Kind) -> Vec<Named<'a>> {
    let mut names: Vec<Named<'a>> = vec![];
    for attempt in attempts.iter().rev().filter(|attempt| attempt.kind() == kind) {
        if !names.iter().any(|(name, _)| *name == attempt.name) {
            names.push((&attempt.name, Some(&attempt.image)));
        }
    }
    names
}

/// The addresses of the present sandbox.
#[must_use]
pub fn addresses(contents: &PodContents) -> Vec<String> {
    let present = contents.sandboxes.iter().max_by_key(|sandbox| sandbox.attempt);
    present.map(|sandbox| sandbox.addresses.clone()).unwrap_or_default()
}

/// All attempts, the newest first.
#[must_use]
pub fn newest_first(contents: &PodContents) -> Vec<&ContainerStatus> {
    let mut attempts: Vec<_> = contents.containers.iter().collect();
    attempts.sort_by_key(|attempt| std::cmp::Reverse((attempt.attempt, attempt.created_unix_ns)));
    attempts
}

/// The same in the words of [`lifecycle`].
#[must_use]
pub fn seen(contents: &PodContents) -> Seen {
    let mut sandboxes: Vec<_> = contents.sandboxes.iter().collect();
    sandboxes.sort_by_key(|sandbox| std::cmp::Reverse(sandbox.attempt));
    let sandbox = |sandbox: &&pluglet_model::runtime::SandboxStatus| Sandbox {
        id: sandbox.id.clone(),
        attempt: sandbox.attempt,
        ready: sandbox.ready,
        has_address: !sandbox.addresses.is_empty(),
    };
    let attempt = |status: &&ContainerStatus| Attempt {
        id: status.id.clone(),
        container: status.name.clone(),
        sandbox: status.sandbox_id.clone(),
        image: status.image.clone(),
        state: match status.state {
            State::Created => lifecycle::State::Created,
            State::Running => lifecycle::State::Running,
            State::Exited => lifecycle::State::Exited(status.exit_code.unwrap_or(UNKNOWN_CODE)),
            State::Unknown => lifecycle::State::Unknown,
        },
    };
    Seen {
        sandboxes: sandboxes.iter().map(sandbox).collect(),
        attempts: newest_first(contents).iter().map(attempt).collect(),
    }
}

/// Where an engine has lost it: 128 + SIGKILL, as a kubelet says.
const UNKNOWN_CODE: i32 = 137;

fn of_container(
    named: Named<'_>,
    attempts: &[&ContainerStatus],
    notes: &Notes,
    again: &dyn Fn(&str, i32) -> bool,
) -> ApiStatus {
    let (name, image) = named;
    let mut own = attempts.iter().filter(|attempt| attempt.name == name);
    let (latest, before) = (own.next(), own.next());
    let mut status =
        ApiStatus { name: name.to_owned(), image: image.unwrap_or_default().to_owned(), ..ApiStatus::default() };
    let Some(latest) = latest else {
        status.state = notes.waiting.get(name).map(waiting);
        return status;
    };
    status.restart_count = i32::try_from(latest.attempt).unwrap_or(i32::MAX);
    status.image_id.clone_from(&latest.image_id);
    status.container_id = Some(format!("{SCHEME}{}", latest.id));
    status.last_state = before.filter(|before| before.state == State::Exited).map(|before| terminated(before, notes));
    let note = notes.waiting.get(name);
    match latest.state {
        State::Running => {
            let running = ContainerStateRunning { started_at: latest.started_unix_ns.and_then(time) };
            status.state = Some(ContainerState { running: Some(running), ..ContainerState::default() });
            status.ready = true;
        }
        State::Exited => {
            let ended = terminated(latest, notes);
            // It will be started again: its end is its last state by now.
            let code = latest.exit_code.unwrap_or(UNKNOWN_CODE);
            if let Some(note) = note.filter(|_| again(name, code)) {
                status.last_state = Some(ended);
                status.state = Some(waiting(note));
            } else {
                status.state = Some(ended);
            }
        }
        // Without a note the host says that it is being made.
        State::Created | State::Unknown => status.state = note.map(waiting),
    }
    status
}

/// Whether a container that has ended with this code is started again.
fn starts_again(pod: &Pod, name: &str, code: i32) -> bool {
    let found = pod.spec.as_ref().and_then(|spec| Some((spec, find(spec, name)?)));
    found.is_some_and(|(spec, (kind, container))| {
        kind != Kind::Ephemeral && lifecycle::restart::after_exit(spec, &container, code)
    })
}

fn waiting(note: &Waiting) -> ContainerState {
    let waiting = ContainerStateWaiting {
        reason: Some(note.reason.to_owned()),
        message: (!note.message.is_empty()).then(|| note.message.clone()),
    };
    ContainerState { waiting: Some(waiting), ..ContainerState::default() }
}

fn terminated(attempt: &ContainerStatus, notes: &Notes) -> ContainerState {
    let code = attempt.exit_code.unwrap_or(UNKNOWN_CODE);
    let usual = if code == 0 { "Completed" } else { "Error" };
    let message = notes.messages.get(&attempt.id).cloned();
    let terminated = ContainerStateTerminated {
        exit_code: code,
        reason: Some(if attempt.reason.is_empty() { usual.to_owned() } else { attempt.reason.clone() }),
        message: message.filter(|message| !message.is_empty()),
        started_at: attempt.started_unix_ns.and_then(time),
        finished_at: attempt.finished_unix_ns.and_then(time),
        container_id: Some(format!("{SCHEME}{}", attempt.id)),
        ..ContainerStateTerminated::default()
    };
    ContainerState { terminated: Some(terminated), ..ContainerState::default() }
}

fn time(unix_ns: u64) -> Option<Time> {
    Timestamp::from_nanosecond(i128::from(unix_ns)).ok().map(Time)
}
