//! One incarnation: a store with an instance of the component, and its event loop.
//!
//! In: jobs. Out: answers, through the jobs' own senders; at the end, why it ended. Invariant: any error of wasmtime ends the
//! incarnation, because a store is not usable after one; what is inside is dropped with it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use wasmtime::Store;
use wasmtime::component::Accessor;

use crate::bindings::ProviderPre;
use crate::call::Job;
use crate::dispatch::Dispatch;
use crate::exports::Exports;
use crate::limits::Limits;
use crate::state::{Capabilities, State};
use crate::vitals::Vitals;

/// Why an incarnation ended by itself.
pub(crate) struct Crash {
    /// What wasmtime said.
    pub(crate) error: wasmtime::Error,
    /// The memory limit in bytes, if the component ran into it before.
    pub(crate) memory_limit: Option<usize>,
}

/// What an incarnation is made of.
pub(crate) struct Instance {
    pub(crate) pre: ProviderPre<State>,
    pub(crate) capabilities: Capabilities,
    pub(crate) limits: Limits,
    pub(crate) vitals: Arc<Vitals>,
    pub(crate) dispatch: Arc<Dispatch>,
}

impl Instance {
    /// Instantiate the component and serve jobs until it crashes; until the jobs end, if it does not.
    pub(crate) async fn run(self, jobs: mpsc::Receiver<Job>) -> Result<(), Crash> {
        let state = State::new(self.capabilities.clone(), &self.limits);
        let mut store = Store::new(self.pre.engine(), state);
        store.limiter(|state| &mut state.limiter);
        // Both are needed: the first says what happens at the deadline, the second sets the first deadline.
        store.epoch_deadline_async_yield_and_update(1);
        store.set_epoch_deadline(1);
        store.set_hostcall_fuel(self.limits.hostcall_bytes);
        store.set_max_component_handles(self.limits.handles);
        let ended = self.serve(&mut store, jobs).await;
        ended.map_err(|error| Crash { error, memory_limit: store.data().limiter.refused() })
    }

    async fn serve(&self, store: &mut Store<State>, jobs: mpsc::Receiver<Job>) -> wasmtime::Result<()> {
        let instance = self.pre.instance_pre().instantiate_async(&mut *store).await?;
        let provider = Exports::of(store, &instance)?;
        store.run_concurrent(async |accessor| self.take_jobs(accessor, &provider, jobs).await).await?
    }

    async fn take_jobs(
        &self,
        accessor: &Accessor<State>,
        provider: &Exports,
        mut jobs: mpsc::Receiver<Job>,
    ) -> wasmtime::Result<()> {
        let mut running = FuturesUnordered::new();
        let mut beat = interval(beat_interval(self.limits.cpu_stall));
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // Cancel-safe: a tick that is not taken is taken in the next round.
                _ = beat.tick() => self.vitals.beat(),
                // Cancel-safe: jobs stay in `running` until they are done. Disabled when empty, because an empty set is always ready.
                Some(done) = running.next(), if !running.is_empty() => done?,
                // Cancel-safe: `recv` takes nothing unless it completes.
                job = jobs.recv() => match job {
                    Some(job) => running.push(self.perform(accessor, provider, job)),
                    None => return Ok(()),
                },
            }
        }
    }

    /// One call, from entering the component to its answer. An error means that the store is gone.
    async fn perform(&self, accessor: &Accessor<State>, provider: &Exports, job: Job) -> wasmtime::Result<()> {
        let Job { request, kind, uid, permit } = job;
        let id = self.vitals.enter(kind, uid.clone());
        let began = Instant::now();
        let outcome = provider.answer(accessor, request, began + kind.deadline).await?;
        self.capabilities.metrics.called(kind.name, outcome, began.elapsed());
        self.vitals.leave(id);
        if let Some(uid) = uid {
            self.dispatch.suspects().answered(&uid);
        }
        drop(permit);
        Ok(())
    }
}

/// How often the event loop shows that it goes round: eight times within the time after which it counts as stalled.
fn beat_interval(cpu_stall: Duration) -> Duration {
    (cpu_stall / 8).max(Duration::from_millis(1))
}
