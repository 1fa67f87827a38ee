//! The probes of one container together.
//!
//! In: what is seen of the container, the end of each check. Out: which check is due, a [`Verdict`], an [`Effect`]. Invariant: an outcome
//! counts only for the container that it was asked of.

use std::time::Duration;

use k8s_openapi::api::core::v1;

use super::worker::Worker;
use super::{Instance, Kind, Seen, Settings, Standing};

/// A check that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Of which probe.
    pub kind: Kind,
    /// Of how many containers before this one outcomes are void.
    generation: u64,
}

/// What the outcome of a check brought about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// None: the container is another, does not run any more, or nothing is asked of it any more. Not worth telling.
    Void,
    /// None beyond its part in a run.
    Unchanged,
    /// The [`Verdict`] is another than before.
    Changed,
    /// The container must be restarted.
    Restart,
}

/// What the probes say for a container's status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// None: it has no startup probe.
    pub started: Option<bool>,
    /// None: it has no readiness probe and is not kept back by its startup probe.
    pub ready: Option<bool>,
}

/// The probes of one container.
#[derive(Clone, Debug)]
pub struct Container {
    /// In the order of [`Kind::ALL`].
    workers: Vec<(Kind, Worker)>,
    instance: Option<Instance>,
    running: bool,
    starting: bool,
    generation: u64,
    /// What was known of it before the host was started again.
    remembered: Option<(Instance, Verdict)>,
}

impl Container {
    /// None for a container without probes.
    #[must_use]
    pub fn new(container: &v1::Container, now: Duration) -> Option<Self> {
        let probes = Kind::ALL.into_iter().filter_map(|kind| Some((kind, probe_of(container, kind)?)));
        let workers: Vec<_> =
            probes.map(|(kind, probe)| (kind, Worker::new(kind, Settings::of(kind, probe), now))).collect();
        let (instance, remembered) = (None, None);
        (!workers.is_empty()).then_some(Self {
            workers,
            instance,
            running: false,
            starting: false,
            generation: 0,
            remembered,
        })
    }

    /// What the API server holds of a running container, from before the host was started: if that one still runs, it stays started and
    /// ready until its probes say otherwise, and no Service loses its endpoints over a restart of the host (the kubelet since 1.35).
    pub fn remember(&mut self, instance: Instance, verdict: Verdict) {
        self.remembered = Some((instance, verdict));
    }

    /// What is seen of it now; None while there is nothing to see.
    pub fn observe(&mut self, now: Duration, seen: Option<&Seen>) {
        let Some(seen) = seen else {
            self.stop();
            return;
        };
        if self.is_another(seen) {
            self.instance = None;
            self.running = false;
            self.generation = self.generation.saturating_add(1);
            self.workers.iter_mut().for_each(|(_, worker)| worker.replaced());
            self.recall(seen);
        }
        self.learn(&seen.instance);
        self.starting = seen.starting;
        if !seen.running {
            self.stop();
            return;
        }
        self.running = true;
        self.workers.iter_mut().for_each(|(_, worker)| worker.runs(now, seen.age));
        self.gate(now);
    }

    /// The pod is being deleted: it is neither restarted nor kept back any more, but may still lose its readiness.
    pub fn terminating(&mut self, now: Duration) {
        let fateful = self.workers.iter_mut().filter(|(kind, _)| *kind != Kind::Readiness);
        fateful.for_each(|(_, worker)| worker.end());
        self.gate(now);
    }

    /// The check that shall begin next, and when; may have passed.
    #[must_use]
    pub fn due(&self) -> Option<(Duration, Kind)> {
        self.workers.iter().filter_map(|(kind, worker)| Some((worker.due()?, *kind))).min()
    }

    /// Begins a check if one of that kind is due; [`Container::finished`] must follow.
    pub fn begin(&mut self, kind: Kind, now: Duration) -> Option<Ticket> {
        let generation = self.generation;
        let worker = self.worker(kind)?;
        worker.begin(now).then_some(Ticket { kind, generation })
    }

    /// A check has ended; None where it says nothing about the container (the kubelet's `Prober error, throw away the result`).
    pub fn finished(&mut self, ticket: Ticket, now: Duration, success: Option<bool>) -> Effect {
        let before = self.verdict();
        let current = ticket.generation == self.generation;
        let Some(worker) = self.worker(ticket.kind) else { return Effect::Void };
        worker.ended_check();
        if !current || !worker.is_eligible() {
            return Effect::Void;
        }
        let Some(success) = success else { return Effect::Unchanged };
        let reached = worker.count(success);
        self.gate(now);
        if reached && !success && ticket.kind != Kind::Readiness {
            Effect::Restart
        } else if self.verdict() == before {
            Effect::Unchanged
        } else {
            Effect::Changed
        }
    }

    /// It must be restarted, and has not been, whether or not it is seen running at the moment.
    #[must_use]
    pub fn awaits_restart(&self) -> bool {
        self.workers.iter().any(|(kind, worker)| *kind != Kind::Readiness && worker.has_failed())
    }

    /// For the container's status.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let startup = self.find(Kind::Startup).map(|worker| worker.standing() == Standing::Success);
        let readiness = self.find(Kind::Readiness).map(|worker| worker.standing() == Standing::Success);
        let started = startup.unwrap_or(self.running);
        let ready = match readiness {
            Some(ready) => Some(ready && started),
            None if started => None,
            // A container that does not run is nobody's to call ready; here only a startup probe has a say.
            None => startup,
        };
        Verdict { started: startup, ready }
    }

    /// How one of its probes stands; None where it has none, or no container has been seen.
    #[must_use]
    pub fn standing(&self, kind: Kind) -> Option<Standing> {
        self.instance.as_ref()?;
        Some(self.find(kind)?.standing())
    }

    /// The numbers of one of its probes.
    #[must_use]
    pub fn settings(&self, kind: Kind) -> Option<&Settings> {
        Some(self.find(kind)?.settings())
    }

    /// An ID decides, as in the kubelet. Where there is none, or the same in spite of a restart, the start and the count of restarts do;
    /// and what runs again after it did not, and is not known to be the same, is not the same.
    fn is_another(&self, seen: &Seen) -> bool {
        let Some(known) = &self.instance else { return true };
        match known.is_same(&seen.instance) {
            Some(same) => !same,
            None => seen.running && !self.running,
        }
    }

    /// What was known stays where nothing new is told, as the start while the container waits to be started again.
    fn learn(&mut self, seen: &Instance) {
        let known = self.instance.get_or_insert_default();
        known.id = seen.id.clone().or_else(|| known.id.take());
        known.started_at = seen.started_at.or(known.started_at);
        known.restarts = seen.restarts;
    }

    /// Only the first container that is seen can be the one of before.
    fn recall(&mut self, seen: &Seen) {
        let Some((instance, verdict)) = self.remembered.take() else { return };
        if !seen.running || instance.is_same(&seen.instance) != Some(true) {
            return;
        }
        for (kind, worker) in &mut self.workers {
            let success = match kind {
                Kind::Startup => verdict.started,
                Kind::Readiness => verdict.ready,
                Kind::Liveness => None,
            };
            worker.resumed(success == Some(true));
        }
    }

    fn stop(&mut self) {
        self.running = false;
        self.workers.iter_mut().for_each(|(_, worker)| worker.stopped());
    }

    /// Lets readiness and liveness run once the container has started.
    fn gate(&mut self, now: Duration) {
        let startup = self.find(Kind::Startup).map(|worker| worker.standing() == Standing::Success);
        let started = self.running && startup.unwrap_or(!self.starting);
        let others = self.workers.iter_mut().filter(|(kind, _)| *kind != Kind::Startup);
        others.for_each(|(_, worker)| worker.gate(now, started));
    }

    fn find(&self, kind: Kind) -> Option<&Worker> {
        self.workers.iter().find(|(at, _)| *at == kind).map(|(_, worker)| worker)
    }

    fn worker(&mut self, kind: Kind) -> Option<&mut Worker> {
        self.workers.iter_mut().find(|(at, _)| *at == kind).map(|(_, worker)| worker)
    }
}

/// The container's probe of that kind.
#[must_use]
pub fn probe_of(container: &v1::Container, kind: Kind) -> Option<&v1::Probe> {
    match kind {
        Kind::Startup => container.startup_probe.as_ref(),
        Kind::Readiness => container.readiness_probe.as_ref(),
        Kind::Liveness => container.liveness_probe.as_ref(),
    }
}
