//! What to do next with the containers of a pod: what a kubelet decides above its container runtime.
//!
//! In: the pod, all that the runtime has of it, what probes have found. Out: [`Next`]. Invariant: nothing is remembered from one decision to the next,
//! so a process that has just started decides the same as one that was there all the time.
//!
//! ```text
//!           ┌ no good sandbox ──► stop what is left, make one, begin with the first init container
//!  Seen ────┤ a rule resets all ─► stop and remove every attempt
//!           └ else ──► init containers in order ──► regular ones ──► nothing left to run: stop the pod
//! ```
//!
//! An *attempt* is one run of a container: a restart is a new attempt, and the one before it stays for its log and its end. Sidecars are init
//! containers with `restartPolicy: Always`: the next one begins as soon as they have started, and they are kept running for as long as
//! a regular container is.
//!
//! A pod that is being deleted is not decided about here: it is only stopped, see [`termination`].
//! Source: `computePodActions` of the kubelet 1.37; KEP-753 (sidecars), KEP-5307 and KEP-5532 (restart rules of containers).

pub mod back_off;
mod initialisation;
pub mod restart;
pub mod termination;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};

/// All that a runtime has of a pod.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The newest first.
    pub sandboxes: Vec<Sandbox>,
    /// Of every container, the newest first.
    pub attempts: Vec<Attempt>,
}

/// What the containers of a pod share: network, host name, processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sandbox {
    /// The runtime's name of it.
    pub id: String,
    /// Counts the sandboxes of the pod, from 0.
    pub attempt: u32,
    /// Whether containers can be started in it.
    pub ready: bool,
    /// Whether it has an address, where it should have one of its own.
    pub has_address: bool,
}

/// One run of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The runtime's name of it.
    pub id: String,
    /// The container's.
    pub container: String,
    /// Where it runs, or ran.
    pub sandbox: String,
    /// The image that the pod asked for when it was made.
    pub image: String,
    /// How it is.
    pub state: State,
}

/// How an attempt is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Made and never started: starting has failed.
    Created,
    /// It runs.
    Running,
    /// It has ended, with this code.
    Exited(i32),
    /// The runtime cannot tell. It may run.
    Unknown,
}

/// What probes have found, by the attempt's name. One that is not here has not been decided about.
#[derive(Clone, Debug, Default)]
pub struct Verdicts {
    /// False: it has failed, and the container must go.
    pub startup: BTreeMap<String, bool>,
    /// Likewise.
    pub liveness: BTreeMap<String, bool>,
}

/// What to do, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Next {
    /// Stop all that runs, the sandbox included. Without a sandbox to make that is the pod's end.
    pub stop_pod: bool,
    /// Make a sandbox: with this number.
    pub sandbox: Option<u32>,
    /// Stop and remove these attempts, in order.
    pub reset: Vec<String>,
    /// Stop these attempts.
    pub stop: Vec<Stop>,
    /// Start these containers, those of which an attempt was to be stopped after it has ended.
    pub start: Vec<Start>,
}

/// An attempt that must go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// Which.
    pub attempt: String,
    /// Of which container.
    pub container: String,
    /// For the event.
    pub why: Why,
}

/// Why a running attempt must go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The pod asks for another image.
    Changed,
    /// Its startup probe.
    Startup,
    /// Its liveness probe.
    Liveness,
    /// Nobody knows how it is, and there must not be two.
    Unknown,
}

/// A container to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// Of which list.
    pub kind: Kind,
    /// Its name.
    pub container: String,
}

/// The lists of containers in a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `initContainers`, sidecars among them.
    Init,
    /// `containers`.
    Regular,
    /// `ephemeralContainers`.
    Ephemeral,
}

impl Seen {
    /// The newest attempt of a container, in whichever sandbox.
    #[must_use]
    pub fn latest(&self, container: &str) -> Option<&Attempt> {
        self.attempts.iter().find(|attempt| attempt.container == container)
    }

    /// The newest attempt in the present sandbox.
    fn active(&self, container: &str) -> Option<&Attempt> {
        let sandbox = self.sandboxes.first()?;
        self.attempts.iter().find(|attempt| attempt.container == container && attempt.sandbox == sandbox.id)
    }

    /// The number of the sandbox that has to be made; None where the present one is good.
    fn sandbox_to_make(&self, host_network: bool) -> Option<u32> {
        let Some(present) = self.sandboxes.first() else { return Some(0) };
        let others = self.sandboxes.iter().filter(|sandbox| sandbox.ready).count() > 1;
        let good = present.ready && !others && (present.has_address || host_network);
        (!good).then(|| present.attempt.saturating_add(1))
    }
}

impl Next {
    fn start(&mut self, kind: Kind, container: &str) {
        self.start.push(Start { kind, container: container.to_owned() });
    }

    fn stop(&mut self, attempt: &Attempt, why: Why) {
        self.stop.push(Stop { attempt: attempt.id.clone(), container: attempt.container.clone(), why });
    }
}

/// Decides.
#[must_use]
pub fn next(pod: &Pod, seen: &Seen, verdicts: &Verdicts) -> Next {
    let Some(spec) = &pod.spec else { return Next::default() };
    let reset = restart::to_reset(spec, seen);
    if !reset.is_empty() {
        return Next { reset, ..Next::default() };
    }
    if let Some(attempt) = seen.sandbox_to_make(spec.host_network == Some(true)) {
        return begin_anew(spec, seen, attempt);
    }
    let mut next = Next::default();
    for ephemeral in spec.ephemeral_containers.iter().flatten() {
        // Never restarted, and started also while the pod is being initialised.
        if seen.latest(&ephemeral.name).is_none() {
            next.start(Kind::Ephemeral, &ephemeral.name);
        }
    }
    if initialisation::decide(spec, seen, verdicts, &mut next) {
        regular(spec, seen, verdicts, &mut next);
    }
    next
}

/// There is no sandbox to go on in.
fn begin_anew(spec: &PodSpec, seen: &Seen, attempt: u32) -> Next {
    let mut next = Next { stop_pod: true, ..Next::default() };
    if has_ended(spec, seen) {
        return next;
    }
    let never = spec.restart_policy.as_deref() == Some("Never");
    if never && attempt > 0 && !seen.attempts.is_empty() {
        return next;
    }
    let done = |container: &Container| {
        let policy = restart::policy(spec, container);
        let succeeded = seen.latest(&container.name).is_some_and(|attempt| attempt.state == State::Exited(0));
        policy == "OnFailure" && succeeded
    };
    let left: Vec<&Container> = spec.containers.iter().filter(|container| !done(container)).collect();
    // A regular container that was made means that the pod was initialised, and then there is nothing left to do.
    let initialised = spec.containers.iter().any(|container| seen.latest(&container.name).is_some());
    if left.is_empty() && initialised {
        return next;
    }
    next.sandbox = Some(attempt);
    match spec.init_containers.as_deref().unwrap_or_default().first() {
        Some(first) => next.start(Kind::Init, &first.name),
        None => left.iter().for_each(|container| next.start(Kind::Regular, &container.name)),
    }
    next
}

/// Whether nothing of the pod is ever started again: its sandbox was stopped for that.
fn has_ended(spec: &PodSpec, seen: &Seen) -> bool {
    let for_good = |container: &Container| match seen.latest(&container.name).map(|attempt| attempt.state) {
        Some(State::Exited(code)) if !restart::after_exit(spec, container, code) => Some(code),
        _ => None,
    };
    let init = spec.init_containers.iter().flatten();
    let init_failed = init.filter(|container| !is_sidecar(container)).filter_map(for_good).any(|code| code != 0);
    init_failed
        || (!spec.containers.is_empty() && spec.containers.iter().all(|container| for_good(container).is_some()))
}

/// The pod is initialised.
fn regular(spec: &PodSpec, seen: &Seen, verdicts: &Verdicts, next: &mut Next) {
    let mut kept = 0;
    let mut started = 0;
    for container in &spec.containers {
        let attempt = seen.latest(&container.name);
        let Some(attempt) = attempt.filter(|attempt| attempt.state == State::Running) else {
            if restart::again(spec, container, attempt.map(|attempt| attempt.state)) {
                if let Some(unknown) = attempt.filter(|attempt| attempt.state == State::Unknown) {
                    next.stop(unknown, Why::Unknown);
                }
                next.start(Kind::Regular, &container.name);
                started += 1;
            }
            continue;
        };
        let Some(why) = must_go(container, attempt, verdicts) else {
            kept += 1;
            continue;
        };
        next.stop(attempt, why);
        // The pod asks for another image and shall have it, whatever its policy.
        if why == Why::Changed || restart::policy(spec, container) != "Never" {
            next.start(Kind::Regular, &container.name);
            started += 1;
        }
    }
    if kept == 0 && started == 0 {
        // Sidecars alone do not keep a pod alive.
        *next = Next { stop_pod: true, ..Next::default() };
    }
}

/// Whether a running attempt has to be stopped, and why.
fn must_go(container: &Container, attempt: &Attempt, verdicts: &Verdicts) -> Option<Why> {
    if container.image.as_ref().is_some_and(|image| *image != attempt.image) {
        Some(Why::Changed)
    } else if verdicts.liveness.get(&attempt.id) == Some(&false) {
        Some(Why::Liveness)
    } else if verdicts.startup.get(&attempt.id) == Some(&false) {
        Some(Why::Startup)
    } else {
        None
    }
}

/// Whether an init container is a sidecar (KEP-753).
fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

#[cfg(test)]
mod tests;
