//! Where a container is in its life at a given time.
//!
//! In: a record and a time. Out: [`Moment`]. Invariant: pure; no clock, no memory of earlier calls. That is why nothing has to be
//! written while a pod lives, and why a restart of the provider changes nothing.
//!
//! ```text
//! Creating ──start-delay──► Running ──run-for──► Ended          (no restart)
//!                             ▲  └────run-for──► BackOff ──┐    (0, 10, 20, 40, 80, 160, 300, 300 … seconds)
//!                             └────────────────────────────┘
//! ```

use pluglet_sdk::kubernetes::RestartPolicy;

use crate::record::{Container, Record};

const SECOND_NS: u64 = 1_000_000_000;
const FIRST_BACK_OFF_S: u64 = 10;
const LONGEST_BACK_OFF_S: u64 = 300;
/// A run longer than this makes the kubelet forget the back-off.
const GOOD_RUN_NS: u64 = 2 * LONGEST_BACK_OFF_S * SECOND_NS;

/// One run of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// 0 for the first.
    pub(crate) attempt: u32,
    pub(crate) started_ns: u64,
    /// When it ends by itself, or has ended. None: never.
    pub(crate) ends_ns: Option<u64>,
    pub(crate) exit_code: i32,
}

/// What a container is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    Creating,
    Running,
    /// It has ended and starts again after so many seconds.
    BackOff {
        seconds: u64,
    },
    Ended,
}

/// A container at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) doing: Doing,
    /// The present run, or the last one. None while it is created.
    pub(crate) run: Option<Run>,
    /// The run before that.
    pub(crate) previous: Option<Run>,
    /// When it does something else. None: never.
    pub(crate) changes_ns: Option<u64>,
}

/// The container at `now_ns`. No run that ends after `stopping_ns` is followed by another.
pub(crate) fn moment(record: &Record, container: &Container, stopping_ns: Option<u64>, now_ns: u64) -> Moment {
    let script = &record.script;
    let (mut started_ns, mut attempt, mut previous) = match container.replaced {
        None => (record.first_start_ns(), 0, None),
        Some(end) => (end.ended_ns, end.attempt.saturating_add(1), Some(end.run())),
    };
    if now_ns < started_ns {
        return Moment { doing: Doing::Creating, run: None, previous, changes_ns: Some(started_ns) };
    }
    let restarts = match record.restart_policy {
        RestartPolicy::Always => true,
        RestartPolicy::OnFailure => script.exit_code != 0,
        RestartPolicy::Never => false,
    };
    let mut crashes = 0;
    loop {
        let ends_ns = script.run_for.map(|run_for| started_ns.saturating_add(run_for));
        let run = Run { attempt, started_ns, ends_ns, exit_code: script.exit_code };
        let Some(end) = ends_ns.filter(|end| *end <= now_ns) else {
            return Moment { doing: Doing::Running, run: Some(run), previous, changes_ns: ends_ns };
        };
        if !restarts || stopping_ns.is_some_and(|stopping| end >= stopping) {
            return Moment { doing: Doing::Ended, run: Some(run), previous, changes_ns: None };
        }
        let seconds = back_off_s(crashes, end - started_ns);
        let next_ns = end.saturating_add(seconds * SECOND_NS);
        if now_ns < next_ns {
            return Moment { doing: Doing::BackOff { seconds }, run: Some(run), previous, changes_ns: Some(next_ns) };
        }
        // From here on every round takes as long as this one: skip all but the last, or a pod of months would take thousands.
        let period = next_ns - started_ns;
        let steady = seconds == back_off_s(crashes.saturating_add(1), end - started_ns);
        let horizon_ns = stopping_ns.unwrap_or(now_ns).min(now_ns);
        let skipped = if steady && period > 0 { horizon_ns.saturating_sub(next_ns) / period } else { 0 };
        crashes = crashes.saturating_add(1);
        attempt = attempt.saturating_add(1).saturating_add(u32::try_from(skipped).unwrap_or(u32::MAX));
        let last_start = started_ns + skipped * period;
        previous = Some(Run {
            attempt: attempt.saturating_sub(1),
            started_ns: last_start,
            ends_ns: Some(end + skipped * period),
            exit_code: script.exit_code,
        });
        started_ns = next_ns + skipped * period;
    }
}

/// The run of a container that runs now, also of a sidecar; None for one that does not, and for a name that is not known.
pub(crate) fn present_run(record: &Record, stopping_ns: Option<u64>, name: &str, now_ns: u64) -> Option<Run> {
    let doing = |container: &Container| moment(record, container, stopping_ns, now_ns);
    if let Some(container) = record.containers.iter().find(|container| container.name == name) {
        return doing(container).run.filter(|_| doing(container).doing == Doing::Running);
    }
    let sidecar = record.init_containers.iter().find(|container| container.name == name && container.sidecar)?;
    let run = sidecar_run(record, sidecar);
    let ended = record.containers.iter().all(|container| doing(container).doing == Doing::Ended);
    (run.started_ns <= now_ns && !ended).then_some(run)
}

/// A sidecar's run. It ends with the pod.
pub(crate) fn sidecar_run(record: &Record, container: &Container) -> Run {
    let (attempt, started_ns) = match container.replaced {
        None => (0, record.first_start_ns()),
        Some(end) => (end.attempt.saturating_add(1), end.ended_ns),
    };
    Run { attempt, started_ns, ends_ns: None, exit_code: 0 }
}

/// How long the kubelet waits after so many earlier crashes: not at all after the first, then 10 s, doubling to 5 minutes.
fn back_off_s(crashes: u32, run_ns: u64) -> u64 {
    if run_ns > GOOD_RUN_NS || crashes == 0 {
        return 0;
    }
    let doubled = FIRST_BACK_OFF_S.checked_shl(crashes - 1).unwrap_or(LONGEST_BACK_OFF_S);
    if crashes > 6 { LONGEST_BACK_OFF_S } else { doubled.min(LONGEST_BACK_OFF_S) }
}
