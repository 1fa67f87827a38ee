//! The pod's status at a given time.
//!
//! In: a record, a time, and how far a deletion has come. Out: `v1.PodStatus`. Invariant: pure; the same input gives the same bytes.

use pluglet_sdk::kubernetes::{
    ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStatus, Phase, PodIp, PodStatus, Time,
};

use crate::life::{Doing, Moment, Run, moment, sidecar_run};
use crate::record::{Container, Record};

/// How long a pod whose script lies about its end has ended before it is said to run again.
const LIE_AFTER_NS: u64 = 1_000_000_000;

/// Exit code of a container that SIGKILL ended.
const KILLED: i32 = 137;

/// How far the deletion of a pod has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nobody has deleted it.
    Alive,
    /// It is being stopped since that time: nothing starts again.
    Stopping { since_ns: u64 },
    /// It was stopped at that time, by force or not.
    Stopped { since_ns: u64, at_ns: u64, killed: bool },
}

impl Stage {
    pub(crate) fn stopping_ns(self) -> Option<u64> {
        match self {
            Self::Alive => None,
            Self::Stopping { since_ns } | Self::Stopped { since_ns, .. } => Some(since_ns),
        }
    }
}

/// What lies before a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outlook {
    /// When the status changes by itself. None: never.
    pub(crate) changes_ns: Option<u64>,
    /// Whether a container runs.
    pub(crate) runs: bool,
}

/// What lies before the pod at `now_ns`; cheaper than its status.
pub(crate) fn outlook(record: &Record, stage: Stage, now_ns: u64) -> Outlook {
    let mut outlook = Outlook { changes_ns: None, runs: false };
    for container in &record.containers {
        let moment = moment(record, container, stage.stopping_ns(), now_ns);
        outlook.changes_ns = outlook.changes_ns.into_iter().chain(moment.changes_ns).min();
        outlook.runs |= moment.doing == Doing::Running;
    }
    let lie_ns = lie_ns(record, stage, now_ns).filter(|lie_ns| now_ns < *lie_ns);
    outlook.changes_ns = outlook.changes_ns.into_iter().chain(lie_ns).min();
    outlook
}

/// When the pod, which has ended by itself, is said to run again.
fn lie_ns(record: &Record, stage: Stage, now_ns: u64) -> Option<u64> {
    let lies = record.script.runs_after_end && stage == Stage::Alive;
    let ends = |container| {
        let moment = moment(record, container, None, now_ns);
        moment.run.filter(|_| moment.doing == Doing::Ended).and_then(|run| run.ends_ns)
    };
    let ends: Option<Vec<u64>> = if lies { record.containers.iter().map(ends).collect() } else { None };
    Some(ends?.into_iter().max()?.saturating_add(LIE_AFTER_NS))
}

/// The pod's status at `now_ns`.
pub(crate) fn status(record: &Record, stage: Stage, now_ns: u64) -> PodStatus {
    let count = record.containers.len();
    let mut moments = Vec::with_capacity(count);
    let mut statuses = Vec::with_capacity(count);
    for container in &record.containers {
        let moment = moment(record, container, stage.stopping_ns(), now_ns);
        let state = state(record, container, &moment, stage);
        statuses.push(container_status(record, container, &moment, state));
        moments.push(moment);
    }
    let created = moments.iter().all(|moment| moment.doing != Doing::Creating);
    let ended = statuses.iter().all(|status| status.state.terminated.is_some());
    let end_ns = match stage {
        Stage::Stopped { at_ns, .. } => Some(at_ns),
        _ if ended => moments.iter().filter_map(|moment| moment.run?.ends_ns).max(),
        _ => None,
    };
    if lie_ns(record, stage, now_ns).is_some_and(|lie_ns| lie_ns <= now_ns) {
        statuses.iter_mut().for_each(run_again);
    }
    let init = |container: &Container| init_status(record, container, created, end_ns);
    let pod_ips = if created { vec![PodIp { ip: record.ip.clone() }] } else { Vec::new() };
    PodStatus {
        phase: phase(&statuses, created),
        start_time: Some(Time::from_unix_ns(record.created_ns)),
        pod_ip: created.then(|| record.ip.clone()),
        pod_ips,
        init_container_statuses: record.init_containers.iter().map(init).collect(),
        container_statuses: statuses,
        ..PodStatus::default()
    }
}

/// What no container does: its run goes on after its end.
fn run_again(status: &mut ContainerStatus) {
    if let Some(end) = status.state.terminated.take() {
        status.state = ContainerState {
            running: Some(ContainerStateRunning { started_at: end.started_at }),
            ..ContainerState::default()
        };
        (status.ready, status.started) = (true, Some(true));
    }
}

/// The status without a word on whether containers are started and ready: that is for whoever runs the probes.
pub(crate) fn without_verdict(mut status: PodStatus) -> PodStatus {
    let all = status.init_container_statuses.iter_mut().chain(&mut status.container_statuses);
    for container in all.filter(|container| container.state.running.is_some()) {
        (container.ready, container.started) = (false, None);
    }
    status
}

fn phase(statuses: &[ContainerStatus], created: bool) -> Phase {
    let mut ends = statuses.iter().map(|status| status.state.terminated.as_ref());
    if ends.clone().any(|end| end.is_none()) {
        return if created { Phase::Running } else { Phase::Pending };
    }
    let succeeded = ends.all(|end| end.is_some_and(|end| end.exit_code == 0));
    if succeeded { Phase::Succeeded } else { Phase::Failed }
}

fn state(record: &Record, container: &Container, moment: &Moment, stage: Stage) -> ContainerState {
    let stopped = match stage {
        Stage::Stopped { at_ns, killed, .. } => Some((at_ns, killed)),
        Stage::Alive | Stage::Stopping { .. } => None,
    };
    match (moment.doing, moment.run, stopped) {
        (Doing::Running, Some(run), Some((at_ns, killed))) => {
            let exit_code = if killed { KILLED } else { record.script.stop_exit_code };
            terminated(record, container, Run { exit_code, ends_ns: Some(at_ns), ..run })
        }
        (Doing::Running, Some(run), None) => ContainerState::running(Time::from_unix_ns(run.started_ns)),
        (Doing::Ended, Some(run), _) | (Doing::BackOff { .. }, Some(run), Some(_)) => {
            terminated(record, container, run)
        }
        (Doing::BackOff { seconds }, Some(_), None) => {
            let (name, pod) = (&container.name, &record.pod);
            let text = format!("back-off {seconds}s restarting failed container={name} pod={pod}({})", pod.uid);
            ContainerState::waiting("CrashLoopBackOff", Some(text))
        }
        // What the kubelet says of a container that had not started when its pod was deleted.
        (_, _, Some((at_ns, _))) => ContainerState::terminated(ContainerStateTerminated {
            exit_code: KILLED,
            reason: Some("ContainerStatusUnknown".to_owned()),
            message: Some("The container was not started before the pod was deleted".to_owned()),
            finished_at: Some(Time::from_unix_ns(at_ns)),
            ..ContainerStateTerminated::default()
        }),
        (_, _, None) => {
            let reason = if record.init_containers.is_empty() { "ContainerCreating" } else { "PodInitializing" };
            ContainerState::waiting(reason, None)
        }
    }
}

fn container_status(record: &Record, container: &Container, moment: &Moment, state: ContainerState) -> ContainerStatus {
    let running = state.running.is_some();
    // While it waits to start again, the run that has ended is the last state; the run before it is forgotten.
    let last = if state.waiting.is_some() { moment.run.or(moment.previous) } else { moment.previous };
    ContainerStatus {
        name: container.name.clone(),
        last_state: last.map(|run| terminated(record, container, run)).unwrap_or_default(),
        ready: running,
        restart_count: moment.run.map_or(0, |run| run.attempt),
        image: container.image.clone(),
        image_id: String::new(),
        container_id: moment.run.map(|run| container_id(record, container, run.attempt)),
        started: Some(running),
        state,
    }
}

/// Init containers do their work in no time; sidecars run until the last container has ended.
fn init_status(record: &Record, container: &Container, created: bool, end_ns: Option<u64>) -> ContainerStatus {
    let started_ns = record.first_start_ns();
    let run = match container.sidecar {
        true => sidecar_run(record, container),
        false => Run { attempt: 0, started_ns, ends_ns: Some(started_ns), exit_code: 0 },
    };
    let state = match (created, container.sidecar, end_ns) {
        (false, _, None) => ContainerState::waiting("PodInitializing", None),
        (true, true, None) => ContainerState::running(Time::from_unix_ns(run.started_ns)),
        (true, true, Some(end_ns)) => terminated(record, container, Run { ends_ns: Some(end_ns), ..run }),
        (true, false, _) => terminated(record, container, run),
        (false, _, Some(end_ns)) => {
            terminated(record, container, Run { started_ns: end_ns, ends_ns: Some(end_ns), exit_code: KILLED, ..run })
        }
    };
    ContainerStatus {
        name: container.name.clone(),
        ready: state.running.is_some() || (created && !container.sidecar),
        image: container.image.clone(),
        last_state: container.replaced.map(|end| terminated(record, container, end.run())).unwrap_or_default(),
        restart_count: run.attempt,
        container_id: created.then(|| container_id(record, container, run.attempt)),
        started: Some(state.running.is_some()),
        state,
        ..ContainerStatus::default()
    }
}

fn terminated(record: &Record, container: &Container, run: Run) -> ContainerState {
    let reason = if run.exit_code == 0 { "Completed" } else { "Error" };
    ContainerState::terminated(ContainerStateTerminated {
        exit_code: run.exit_code,
        reason: Some(reason.to_owned()),
        message: None,
        started_at: Some(Time::from_unix_ns(run.started_ns)),
        finished_at: run.ends_ns.map(Time::from_unix_ns),
        container_id: Some(container_id(record, container, run.attempt)),
    })
}

fn container_id(record: &Record, container: &Container, attempt: u32) -> String {
    format!("mock://{}/{}/{attempt}", record.pod.uid, container.name)
}
