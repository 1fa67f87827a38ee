//! Keeps one provider alive.
//!
//! In: a component that is ready to be instantiated; the order to stop. Out: incarnations, one after the other; health, strikes and
//! `Resync` in between. Invariant: at most one incarnation lives at a time; its end is put down (strikes, then phase) before anyone
//! who was lost with it can ask.
//!
//! ```text
//!        ┌──────────► starting ──start answers──► up ──┐
//!        │               │ invalid, first time         │ trap, stall, stuck call
//!        │               └──────────► refused (end)    │
//!        └────────── waiting (0.2 s … 30 s) ◄──────────┘        stop: from anywhere, to the end
//! ```

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use pluglet_model::provider::ProviderEvent;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::adapt;
use crate::bindings::ProviderPre;
use crate::bindings::exports::pluglet::provider::lifecycle::Init;
use crate::bindings::pluglet::provider::types;
use crate::call::{self, Kind, Request, START};
use crate::cpu::Metered;
use crate::dispatch::{Dispatch, MAX_COMMANDS, MAX_SESSIONS};
use crate::events::{self, Notes};
use crate::gate::{End, Fault, Gate};
use crate::handoff::Handoff;
use crate::instance::{Crash, Instance};
use crate::limits::Limits;
use crate::state::{Capabilities, State};
use crate::vitals::Vitals;

use backoff::Backoff;
use publish::Publisher;
use watchdog::Verdict;

pub(crate) mod backoff;
mod explain;
pub(crate) mod publish;
mod watchdog;

/// Room in the queue besides pod calls and sessions: lists and the incarnation's own calls. The queue is never full, because who
/// submits has a permit for it.
const QUEUE_EXTRA: usize = 8;

/// The order to let the provider go.
pub(crate) struct Stop {
    /// How long it may take to answer.
    pub(crate) grace: Duration,
    /// Told when it is gone and has left nothing behind.
    pub(crate) done: oneshot::Sender<()>,
}

/// Everything that outlives an incarnation.
pub(crate) struct Supervisor {
    pub(crate) pre: ProviderPre<State>,
    pub(crate) capabilities: Capabilities,
    pub(crate) limits: Limits,
    pub(crate) node_name: String,
    pub(crate) cluster_id: String,
    pub(crate) config_json: String,
    pub(crate) handoff: Handoff,
    pub(crate) dispatch: Arc<Dispatch>,
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) events: mpsc::Sender<ProviderEvent>,
    pub(crate) orders: mpsc::Receiver<Stop>,
    pub(crate) backoff: Backoff,
}

/// What comes after an incarnation.
enum Next {
    /// Another one, after a pause.
    Again(Duration),
    /// Nothing.
    Over(Option<Stop>),
}

/// What ended an incarnation.
enum Cause {
    Crashed(Result<(), Crash>),
    Watchdog(Verdict),
    Duties(Option<Result<Fault, JoinError>>),
    Order(Option<Stop>),
}

/// One incarnation, as the supervisor holds it.
struct Incarnation {
    /// Its event loop; dropping it drops the store.
    running: Pin<Box<dyn Future<Output = Result<(), Crash>> + Send>>,
    gate: Gate,
    tell_end: watch::Sender<Option<Arc<End>>>,
    vitals: Arc<Vitals>,
    /// Start it, then forward its events. A task of its own, because parsing statuses should not hold up the store.
    duties: JoinSet<Fault>,
}

impl Supervisor {
    /// Run until told to stop, or until the provider refuses its configuration at the first start.
    pub(crate) async fn run(mut self) {
        let mut first = true;
        let stop = loop {
            let delay = match self.live(first).await {
                Next::Again(delay) => delay,
                Next::Over(stop) => break stop,
            };
            first = false;
            tokio::select! {
                // Cancel-safe: a timer.
                () = sleep(delay) => {}
                // Cancel-safe: `recv` takes nothing unless it completes.
                stop = self.orders.recv() => break stop,
            }
        };
        self.publisher.stopped("it was stopped");
        // Before the order is answered: whoever gave it may open the same state directory next.
        drop(self);
        if let Some(stop) = stop {
            // Nobody waits for it any more.
            let _ = stop.done.send(());
        }
    }

    /// One incarnation, from its start to its end.
    async fn live(&mut self, first: bool) -> Next {
        let mut incarnation = self.begin(first);
        let cause = tokio::select! {
            // Cancel-safe: only polled through a reference, so it goes on when another arm is taken.
            ended = &mut incarnation.running => Cause::Crashed(ended),
            // Cancel-safe: it only looks.
            verdict = watchdog::watch(&incarnation.vitals, self.limits.cpu_stall) => Cause::Watchdog(verdict),
            // Cancel-safe: `join_next` takes nothing unless it completes.
            failed = incarnation.duties.join_next() => Cause::Duties(failed),
            // Cancel-safe: as `join_next`.
            order = self.orders.recv() => Cause::Order(order),
        };
        match cause {
            Cause::Crashed(ended) => {
                let why = match &ended {
                    Err(crash) => explain::crash(crash, self.capabilities.logger.last_panic()),
                    Ok(()) => "its queue was closed".to_owned(),
                };
                if let Err(crash) = &ended {
                    debug!(provider = self.name(), error = ?crash.error, "the incarnation crashed");
                }
                self.capabilities.metrics.crashed(explain::cause(&ended));
                let suspects = incarnation.vitals.in_flight();
                self.bury(incarnation, &why, suspects, None)
            }
            Cause::Watchdog(Verdict::Stalled) => {
                self.capabilities.metrics.crashed("stall");
                let suspects = incarnation.vitals.in_flight();
                self.bury(incarnation, &explain::stalled(self.limits.cpu_stall), suspects, None)
            }
            // The culprit is known, so nobody else is suspected.
            Cause::Watchdog(Verdict::Stuck(stuck)) => {
                self.capabilities.metrics.crashed("stuck");
                let suspects = stuck.uid.iter().cloned().collect();
                self.bury(incarnation, &explain::stuck(&stuck), suspects, None)
            }
            Cause::Duties(failed) => {
                self.capabilities.metrics.crashed("start");
                self.not_started(incarnation, failed)
            }
            Cause::Order(order) => self.let_go(incarnation, order).await,
        }
    }

    fn begin(&self, first: bool) -> Incarnation {
        self.capabilities.logger.forget();
        let (jobs, queue) = mpsc::channel(self.limits.concurrency + MAX_SESSIONS + MAX_COMMANDS + QUEUE_EXTRA);
        let (tell_end, end) = watch::channel(None);
        let gate = Gate::new(jobs, end);
        let vitals = Arc::new(Vitals::default());
        let instance = Instance {
            pre: self.pre.clone(),
            capabilities: self.capabilities.clone(),
            limits: self.limits.clone(),
            vitals: Arc::clone(&vitals),
            dispatch: Arc::clone(&self.dispatch),
        };
        let mut duties = JoinSet::new();
        duties.spawn(
            Duties {
                init: Init {
                    node_name: self.node_name.clone(),
                    cluster_id: self.cluster_id.clone(),
                    config_json: self.config_json.clone(),
                    handoff: self.handoff.take(),
                },
                first,
                start: self.start_call(),
                gate: gate.clone(),
                vitals: Arc::clone(&vitals),
                publisher: Arc::clone(&self.publisher),
                events: self.events.clone(),
                notes: Notes::new(self.limits.events_per_minute, self.capabilities.metrics.events_dropped.clone()),
            }
            .run(),
        );
        let metrics = self.capabilities.metrics.clone();
        let running =
            Metered::new(instance.run(queue), self.limits.cpu_millicores, self.name(), Arc::clone(&vitals), metrics);
        Incarnation { running: Box::pin(running), gate, tell_end, vitals, duties }
    }

    /// Put down how an incarnation ended and who was in it, then tell those who were lost with it.
    fn bury(
        &mut self,
        incarnation: Incarnation,
        why: &str,
        suspects: Vec<Arc<str>>,
        retry_after: Option<Duration>,
    ) -> Next {
        let Incarnation { running, tell_end, vitals, duties, .. } = incarnation;
        // The old memory is given back before a new instance asks for its own.
        drop((running, duties));
        let strikes = self.dispatch.suspects().crashed(suspects, why);
        let delay = self.backoff.next(vitals.uptime(), retry_after);
        warn!(provider = self.name(), ?delay, in_flight = strikes.len(), "the provider is down: {why}");
        self.publisher.down(why, delay);
        tell_end.send_replace(Some(Arc::new(End { message: why.to_owned(), strikes })));
        Next::Again(delay)
    }

    /// `start` did not answer well. Nobody is to blame but the provider or its backend.
    fn not_started(&mut self, incarnation: Incarnation, failed: Option<Result<Fault, JoinError>>) -> Next {
        let (why, retry_after) = match failed {
            Some(Ok(Fault::Guest(types::Error::Invalid(message)))) => {
                let why = crate::capabilities::log::clean(&message, adapt::MAX_TEXT_BYTES);
                if self.publisher.refused(&why) {
                    return Next::Over(None);
                }
                // The same configuration was good enough before, so it is the backend that has changed: tried again.
                (format!("it refuses its configuration: {why}"), None)
            }
            Some(Ok(fault)) => {
                let error = fault.into_error(self.start_call(), None);
                let retry_after = match error.retry() {
                    pluglet_model::provider::Retry::Backoff(asked) => asked,
                    _ => None,
                };
                (format!("it did not start: {error}"), retry_after)
            }
            Some(Err(_)) | None => ("its start failed inside pluglet".to_owned(), None),
        };
        self.bury(incarnation, &why, Vec::new(), retry_after)
    }

    /// Say goodbye, keep what the provider leaves for the next run, and drop it. Without an order (the owner is gone) just drop it.
    async fn let_go(&mut self, incarnation: Incarnation, order: Option<Stop>) -> Next {
        let Incarnation { mut running, gate, tell_end, vitals, duties } = incarnation;
        self.publisher.stopped("it is being stopped");
        // A provider that has not started is not stopped either: the contract has no such call.
        if let Some(stop) = order.as_ref().filter(|_| !vitals.uptime().is_zero()) {
            let grace_ms = u64::try_from(stop.grace.as_millis()).unwrap_or(u64::MAX);
            let left = tokio::select! {
                // Cancel-safe: the incarnation is dropped next, with the call.
                left = gate.call(call::stop(stop.grace), |reply| Request::Stop { grace_ms, reply }) => left,
                // Cancel-safe: polled through a reference. It crashed while stopping; there is nothing to keep.
                _ = &mut running => Ok(None),
            };
            match left {
                Ok(Some(bytes)) => self.handoff.leave(&bytes),
                Ok(None) => {}
                Err(fault) => {
                    let error = fault.into_error(call::stop(stop.grace), None);
                    warn!(
                        provider = self.name(),
                        error = &error as &dyn std::error::Error,
                        "the provider did not stop in order"
                    );
                }
            }
        }
        drop((running, duties));
        tell_end
            .send_replace(Some(Arc::new(End { message: "the provider was stopped".to_owned(), strikes: [].into() })));
        Next::Over(order)
    }

    /// `start`, with the operator's deadline.
    fn start_call(&self) -> Kind {
        Kind { deadline: self.limits.start, ..START }
    }

    fn name(&self) -> &str {
        self.capabilities.logger.provider()
    }
}

/// What has to be done with each incarnation.
struct Duties {
    init: Init,
    first: bool,
    start: Kind,
    gate: Gate,
    vitals: Arc<Vitals>,
    publisher: Arc<Publisher>,
    events: mpsc::Sender<ProviderEvent>,
    notes: Notes,
}

impl Duties {
    /// Start the provider and forward its events. Ends only when it does not start.
    async fn run(self) -> Fault {
        let Self { init, first, start, gate, vitals, publisher, events, notes } = self;
        let info = match gate.call(start, |reply| Request::Start { init, reply }).await {
            Ok(info) => adapt::info(info),
            Err(fault) => return fault,
        };
        vitals.is_up();
        let features = info.features;
        publisher.up(info, gate.clone());
        // What happened since the last incarnation nobody has told. A host that is gone needs no events.
        if first || events.send(ProviderEvent::Resync).await.is_ok() {
            events::forward(gate, features, events, &publisher, notes).await;
        }
        // Calls go on without events.
        std::future::pending().await
    }
}
