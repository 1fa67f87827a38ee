//! One probe of one container: its ticks and its runs of equal outcomes.
//!
//! In: what becomes of the container, the end of each check. Out: when the next check is due, how the probe stands. Invariant: at most
//! one check is under way, and none begins while the container does not run, the gate is shut or a verdict is final.

use std::time::Duration;

use super::{Kind, Settings};

/// Between the begin of two checks, whatever causes them. A provider that reports another container each millisecond must not make the
/// host hammer on an address; the shortest period that the API takes is as long.
const SHORTEST_GAP: Duration = Duration::from_secs(1);

/// How a probe stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The last run that reached its threshold was of successes.
    Success,
    /// … of failures.
    Failure,
    /// A startup probe without either.
    Unknown,
}

/// The machine of one probe.
#[derive(Clone, Debug)]
pub(super) struct Worker {
    kind: Kind,
    settings: Settings,
    /// The next moment of the period. Stays when it passes until a check begins, as a tick stays in the kubelet's ticker.
    tick: Duration,
    /// When the last check began.
    begun: Option<Duration>,
    standing: Standing,
    /// The last outcome, and how often in a row it came.
    last: Option<bool>,
    run: u32,
    running: bool,
    /// The end of the initial delay.
    not_before: Duration,
    /// What this probe waits for has come: `started` for the others than a startup probe.
    open: bool,
    /// Final until the container is replaced.
    on_hold: bool,
    /// Final for good.
    ended: bool,
    under_way: bool,
}

impl Worker {
    /// A probe of a container that has not been seen yet. Its period counts from `now`.
    pub(super) fn new(kind: Kind, settings: Settings, now: Duration) -> Self {
        Self {
            kind,
            settings,
            tick: now,
            begun: None,
            standing: initial(kind),
            last: None,
            run: 0,
            running: false,
            not_before: now,
            open: kind == Kind::Startup,
            on_hold: false,
            ended: false,
            under_way: false,
        }
    }

    /// Its numbers.
    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How it stands. A probe of what does not run has failed.
    pub(super) fn standing(&self) -> Standing {
        if self.running { self.standing } else { Standing::Failure }
    }

    /// Its failure is final until the container is replaced.
    pub(super) fn has_failed(&self) -> bool {
        self.on_hold && self.standing == Standing::Failure
    }

    /// When the next check shall begin; may have passed. None: not before something happens.
    pub(super) fn due(&self) -> Option<Duration> {
        if !self.is_eligible() || self.under_way {
            return None;
        }
        let tick = if self.tick >= self.not_before { self.tick } else { self.tick_from(self.not_before) };
        let earliest = self.begun.map_or(Duration::ZERO, |begun| begun.saturating_add(SHORTEST_GAP));
        Some(tick.max(earliest))
    }

    /// Begins a check if one is due; [`Worker::ended_check`] must follow.
    pub(super) fn begin(&mut self, now: Duration) -> bool {
        if self.due().is_none_or(|due| due > now) {
            return false;
        }
        self.tick = self.tick_from(now.saturating_add(Duration::from_nanos(1)));
        self.begun = Some(now);
        self.under_way = true;
        true
    }

    /// The check that was under way is not any more.
    pub(super) fn ended_check(&mut self) {
        self.under_way = false;
    }

    /// Counts an outcome. Answers whether it made a run reach its threshold.
    pub(super) fn count(&mut self, success: bool) -> bool {
        self.run = if self.last == Some(success) { self.run.saturating_add(1) } else { 1 };
        self.last = Some(success);
        let threshold = if success { self.settings.success_threshold } else { self.settings.failure_threshold };
        if self.run < threshold {
            return false;
        }
        self.standing = if success { Standing::Success } else { Standing::Failure };
        // What failed to live is about to be stopped, and a start happens once.
        self.on_hold = self.kind == Kind::Startup || (self.kind == Kind::Liveness && !success);
        if self.on_hold {
            self.run = 0;
        }
        true
    }

    /// The container is another one than before.
    pub(super) fn replaced(&mut self) {
        self.standing = initial(self.kind);
        self.last = None;
        self.run = 0;
        self.on_hold = false;
        self.running = false;
        self.open = self.kind == Kind::Startup;
    }

    /// The standing that this container had before the host was started again.
    pub(super) fn resumed(&mut self, success: bool) {
        if success {
            self.standing = Standing::Success;
            self.on_hold = self.kind == Kind::Startup;
        }
    }

    /// The container runs, and has done so for `age`.
    pub(super) fn runs(&mut self, now: Duration, age: Duration) {
        if !self.running {
            self.not_before = now.saturating_add(self.settings.initial_delay.saturating_sub(age));
            self.change(now, |this| this.running = true);
        }
    }

    /// The container does not run.
    pub(super) fn stopped(&mut self) {
        self.running = false;
        self.last = None;
        self.run = 0;
        if self.kind == Kind::Readiness {
            self.standing = Standing::Failure;
        }
    }

    /// Whether what it waits for has come.
    pub(super) fn gate(&mut self, now: Duration, open: bool) {
        self.change(now, |this| this.open = open);
    }

    /// No verdict any more: the pod is being deleted, and what fails on the way is no news.
    pub(super) fn end(&mut self) {
        self.standing = Standing::Success;
        self.ended = true;
    }

    /// Whether it may be checked, and outcomes count.
    pub(super) fn is_eligible(&self) -> bool {
        self.running && self.open && !self.on_hold && !self.ended
    }

    /// Ticks that passed while nothing could be checked are over. But what is to become ready is looked at without delay, and its
    /// period counts from there (the kubelet's manual trigger).
    fn change(&mut self, now: Duration, change: impl FnOnce(&mut Self)) {
        let before = self.is_eligible();
        change(self);
        if !before && self.is_eligible() {
            let at_once = self.kind == Kind::Readiness && self.standing != Standing::Success;
            self.tick = if at_once { now } else { self.tick_from(now) };
        }
    }

    /// The first tick that is not before `moment`.
    fn tick_from(&self, moment: Duration) -> Duration {
        let behind = moment.saturating_sub(self.tick);
        let period = self.settings.period.as_nanos().max(1);
        let periods = u32::try_from(behind.as_nanos().div_ceil(period)).unwrap_or(u32::MAX);
        self.tick.saturating_add(self.settings.period.saturating_mul(periods))
    }
}

/// `newWorker`.
fn initial(kind: Kind) -> Standing {
    match kind {
        Kind::Startup => Standing::Unknown,
        Kind::Readiness => Standing::Failure,
        Kind::Liveness => Standing::Success,
    }
}
