//! Init containers: one after the other, sidecars kept running.
//!
//! In: the pod's spec, what the present sandbox has. Out: what to stop and to start, and whether regular containers may run. Invariant: a container is
//! started only when all before it have ended well or, being sidecars, have started.

use k8s_openapi::api::core::v1::{Container, PodSpec};

use super::{Attempt, Kind, Next, Seen, State, Verdicts, Why, is_sidecar, must_go, restart};

/// How far a container is.
enum Progress {
    /// The next one may begin, and this one is as it should be.
    Done,
    /// The same, but it has to be started again.
    Again,
    /// It is under way.
    Wait,
    /// It has to be started, or started again.
    Start,
    /// It has failed for good.
    Failed,
}

/// True when regular containers may run.
///
/// From the last to the first: runtimes may have removed attempts of those that are over, so the last one that there is tells how far the pod is.
pub(super) fn decide(spec: &PodSpec, seen: &Seen, verdicts: &Verdicts, next: &mut Next) -> bool {
    let containers = spec.init_containers.as_deref().unwrap_or_default();
    if containers.is_empty() {
        return true;
    }
    let mut initialised = spec.containers.iter().any(|container| seen.active(&container.name).is_some());
    // Whether one that comes later was there, so that those before it are over.
    let mut passed = initialised;
    let mut start: Vec<usize> = vec![];
    for (index, container) in containers.iter().enumerate().rev() {
        let Some(attempt) = seen.active(&container.name) else {
            // The runtime has lost it.
            if passed && is_sidecar(container) {
                start.push(index);
            }
            continue;
        };
        if passed && !is_sidecar(container) {
            continue;
        }
        let progress = progress(spec, container, attempt, verdicts, next);
        match progress {
            Progress::Done | Progress::Again => {
                if index + 1 == containers.len() {
                    initialised = true;
                } else if !passed {
                    start.push(index + 1);
                }
                if matches!(progress, Progress::Again) {
                    start.push(index);
                }
            }
            Progress::Wait => {}
            Progress::Start => start.push(index),
            Progress::Failed => {
                *next = Next { stop_pod: true, ..Next::default() };
                return false;
            }
        }
        passed = true;
    }
    if !passed {
        start.push(0);
    }
    for index in start.into_iter().rev() {
        if let Some(container) = containers.get(index) {
            next.start(Kind::Init, &container.name);
        }
    }
    initialised
}

fn progress(
    spec: &PodSpec,
    container: &Container,
    attempt: &Attempt,
    verdicts: &Verdicts,
    next: &mut Next,
) -> Progress {
    match attempt.state {
        State::Created => Progress::Start,
        State::Running if is_sidecar(container) => running_sidecar(container, attempt, verdicts, next),
        State::Running => Progress::Wait,
        State::Exited(_) if is_sidecar(container) => Progress::Start,
        State::Exited(0) => Progress::Done,
        State::Exited(code) if restart::after_exit(spec, container, code) => Progress::Start,
        // Without an exit code the rules about exit codes say nothing.
        State::Unknown if restart::policy(spec, container) != "Never" => {
            next.stop(attempt, Why::Unknown);
            Progress::Start
        }
        State::Exited(_) | State::Unknown => Progress::Failed,
    }
}

fn running_sidecar(container: &Container, attempt: &Attempt, verdicts: &Verdicts, next: &mut Next) -> Progress {
    if container.startup_probe.is_some() {
        match verdicts.startup.get(&attempt.id) {
            None => return Progress::Wait,
            Some(false) => {
                next.stop(attempt, Why::Startup);
                return Progress::Start;
            }
            Some(true) => {}
        }
    }
    match must_go(container, attempt, verdicts) {
        Some(why) => {
            next.stop(attempt, why);
            Progress::Again
        }
        None => Progress::Done,
    }
}
