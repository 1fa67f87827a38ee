//! From a caller to whichever incarnation is running.
//!
//! In: calls of the host. Out: answers or model errors. Invariant: at most `concurrency` pod calls are inside the component, at most
//! one of them a suspect's in its first seconds (see [`crate::strikes`]); nobody waits for longer than the call's own deadline before it begins.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pluglet_model::PodPlan;
use pluglet_model::provider::Error;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::time::{Instant, timeout};

use crate::call::{DELETE, Job, Kind, Lane, Permit, Reply, Request};
use crate::gate::Gate;
use crate::quarantine::Quarantine;
use crate::strikes::{CULPRIT_STRIKES, Strikes};
use crate::turns::{Turn, Turns};

/// How long a call waits for a provider that is being started. Most crashes are over by then and the caller never hears of them.
const READY_WAIT: Duration = Duration::from_secs(5);

/// Calls about all pods at once. Their answers are the largest (up to 64 MiB), so more than a few would fill the host's memory.
const LISTS: usize = 2;

/// Open log streams and commands of one provider. Each holds buffers in the guest and up to 4 batches in the host; a user who opens them without
/// end would exhaust the memory that all pods share.
pub(crate) const MAX_SESSIONS: usize = 1024;

/// Commands of probes that run at once, apart from those: whoever may run commands could otherwise keep all probes from being run.
pub(crate) const MAX_COMMANDS: usize = 256;

/// How often a job is carried to the next incarnation when one ends before it could begin. Then the provider is crashing all the
/// time, and the caller should hear of it.
const CARRIES: usize = 3;

/// Where the provider is in its life.
#[derive(Clone, Debug)]
pub(crate) enum Phase {
    /// Running behind this door.
    Up(Gate),
    /// Being started, or waiting to be.
    Down {
        /// For people.
        why: String,
        /// When the next start is tried.
        next: Instant,
    },
    /// Let go.
    Stopped,
}

/// The way in. Shared by all callers and the supervisor.
pub(crate) struct Dispatch {
    phase: watch::Receiver<Phase>,
    pods: Arc<Semaphore>,
    lists: Arc<Semaphore>,
    sessions: Arc<Semaphore>,
    commands: Arc<Semaphore>,
    suspects: Suspects,
}

impl Dispatch {
    /// A way in for so many pod calls at once.
    pub(crate) fn new(phase: watch::Receiver<Phase>, concurrency: usize, quarantined: Gauge) -> Self {
        Self {
            phase,
            pods: Arc::new(Semaphore::new(concurrency.clamp(1, Semaphore::MAX_PERMITS))),
            lists: Arc::new(Semaphore::new(LISTS)),
            sessions: Arc::new(Semaphore::new(MAX_SESSIONS)),
            commands: Arc::new(Semaphore::new(MAX_COMMANDS)),
            suspects: Suspects::new(quarantined),
        }
    }

    /// Which pods are suspected.
    pub(crate) fn suspects(&self) -> &Suspects {
        &self.suspects
    }

    /// The right of a user to have one log open, or one command running.
    pub(crate) fn session(&self) -> Result<OwnedSemaphorePermit, Error> {
        place(&self.sessions, || format!("{MAX_SESSIONS} sessions are open with this provider"))
    }

    /// The right of a probe to have one command running.
    pub(crate) fn command(&self) -> Result<OwnedSemaphorePermit, Error> {
        place(&self.commands, || format!("{MAX_COMMANDS} commands of probes run in this provider"))
    }

    /// Make a call. Also gives back the incarnation that answered.
    pub(crate) async fn call<T>(
        &self,
        kind: Kind,
        uid: Option<&Arc<str>>,
        make: impl FnOnce(Reply<T>) -> Request + Send,
    ) -> Result<(T, Gate), Error> {
        self.make_call(kind, uid, None, make).await
    }

    /// The same for a call that brings the pod itself.
    pub(crate) async fn call_about<T>(
        &self,
        kind: Kind,
        plan: &PodPlan,
        make: impl FnOnce(Reply<T>) -> Request + Send,
    ) -> Result<(T, Gate), Error> {
        self.make_call(kind, Some(&plan.key.uid), Some(plan), make).await
    }

    async fn make_call<T>(
        &self,
        kind: Kind,
        uid: Option<&Arc<str>>,
        plan: Option<&PodPlan>,
        make: impl FnOnce(Reply<T>) -> Request + Send,
    ) -> Result<(T, Gate), Error> {
        // Before taking a place: a provider that is away for long should fail all callers at once, not 64 at a time.
        self.ready().await?;
        let mut turn = self.turn(kind, uid, plan).await?;
        let permit = self.admit(kind).await?;
        let (reply, answer) = oneshot::channel();
        let mut job = Job { request: make(reply), kind, uid: uid.cloned(), permit };
        for _ in 0..CARRIES {
            let gate = self.ready().await?;
            match gate.submit(job).await {
                Ok(()) => {
                    let answer = gate.answer(kind, answer);
                    let answer = match turn.take() {
                        Some(turn) => turn.hold(answer).await,
                        None => answer.await,
                    };
                    return match answer {
                        Ok(value) => Ok((value, gate)),
                        Err(fault) => Err(fault.into_error(kind, uid)),
                    };
                }
                Err(back) => {
                    job = back;
                    gate.end().await;
                }
            }
        }
        Err(Error::Restarting("the provider ended again before the call could begin".to_owned()))
    }

    /// The door of the running incarnation; waits a little for one that is on its way.
    async fn ready(&self) -> Result<Gate, Error> {
        let next = match &*self.phase.borrow() {
            Phase::Up(gate) => return Ok(gate.clone()),
            Phase::Stopped => return Err(stopped()),
            Phase::Down { why, next } => {
                let remaining = next.saturating_duration_since(Instant::now());
                (remaining > READY_WAIT).then(|| down(why, Some(remaining)))
            }
        };
        if let Some(error) = next {
            return Err(error);
        }
        let mut phase = self.phase.clone();
        let arrived = timeout(READY_WAIT, phase.wait_for(|phase| !matches!(phase, Phase::Down { .. }))).await;
        match arrived {
            Ok(Ok(phase)) => match &*phase {
                Phase::Up(gate) => Ok(gate.clone()),
                Phase::Down { .. } | Phase::Stopped => Err(stopped()),
            },
            Ok(Err(_)) => Err(stopped()),
            Err(_) => Err(match &*self.phase.borrow() {
                Phase::Down { why, next } => {
                    let remaining = next.saturating_duration_since(Instant::now());
                    down(why, Some(remaining).filter(|remaining| !remaining.is_zero()))
                }
                Phase::Up(_) | Phase::Stopped => stopped(),
            }),
        }
    }

    /// The suspects' turn, for one of them; nothing for a convict.
    async fn turn(&self, kind: Kind, uid: Option<&Arc<str>>, plan: Option<&PodPlan>) -> Result<Option<Turn>, Error> {
        match uid.filter(|uid| self.suspects.contains(uid)) {
            Some(uid) => {
                self.suspects.admit(kind, uid, plan.map(content))?;
                let alone = self.suspects.must_be_alone(uid);
                let turn = self.suspects.turns.take(uid, alone, kind.deadline).await;
                turn.map(Some).ok_or_else(|| no_place(kind))
            }
            None => Ok(None),
        }
    }

    async fn admit(&self, kind: Kind) -> Result<Permit, Error> {
        let room = match kind.lane {
            Lane::Pods => Some(acquire(&self.pods, kind).await?),
            Lane::Lists => Some(acquire(&self.lists, kind).await?),
            Lane::Free => None,
        };
        Ok(Permit::new(room))
    }
}

/// A permit, waiting for it no longer than the call itself may take.
async fn acquire(semaphore: &Arc<Semaphore>, kind: Kind) -> Result<OwnedSemaphorePermit, Error> {
    // The usual case needs no timer.
    if let Ok(permit) = Arc::clone(semaphore).try_acquire_owned() {
        return Ok(permit);
    }
    match timeout(kind.deadline, Arc::clone(semaphore).acquire_owned()).await {
        Ok(Ok(permit)) => Ok(permit),
        Ok(Err(_)) => Err(stopped()),
        Err(_) => Err(no_place(kind)),
    }
}

fn no_place(kind: Kind) -> Error {
    Error::Unavailable {
        message: format!(
            "no place for {} within {:?}: the provider is busy with other calls",
            kind.name, kind.deadline
        ),
        retry_after: None,
    }
}

fn stopped() -> Error {
    Error::Unavailable { message: "the provider was stopped".to_owned(), retry_after: None }
}

fn down(why: &str, retry_after: Option<Duration>) -> Error {
    Error::Unavailable { message: format!("the provider is not running: {why}"), retry_after }
}

/// A number that changes when what the user wrote does. Not the status, and not what the API server counts.
fn content(plan: &PodPlan) -> u64 {
    let pod = plan.pod.as_ref();
    let mut hasher = DefaultHasher::new();
    // What cannot be written as JSON does not reach the provider either.
    serde_json::to_string(&(&pod.spec, &pod.metadata.labels, &pod.metadata.annotations)).ok().hash(&mut hasher);
    hasher.finish()
}

/// The suspects and their turn, and those of them that are convicted.
pub(crate) struct Suspects {
    record: Mutex<Record>,
    /// How many there are. Nearly always 0, and then no call needs to look further.
    count: AtomicUsize,
    turns: Turns,
    quarantined: Gauge,
}

#[derive(Default)]
struct Record {
    strikes: Strikes,
    quarantine: Quarantine,
    /// What suspects looked like when they were last let in.
    contents: HashMap<Arc<str>, u64>,
}

impl Suspects {
    fn new(quarantined: Gauge) -> Self {
        Self { record: Mutex::default(), count: AtomicUsize::new(0), turns: Turns::default(), quarantined }
    }

    /// A crash with these pods in flight; gives back their strikes.
    pub(crate) fn crashed(&self, in_flight: Vec<Arc<str>>, why: &str) -> HashMap<Arc<str>, u32> {
        let mut record = self.lock();
        let Record { strikes, quarantine, contents } = &mut *record;
        let alone = self.turns.alone();
        let struck = strikes.crashed(in_flight, |uid| alone.as_ref() == Some(uid));
        contents.retain(|uid, _| strikes.is_suspect(uid));
        for (uid, strikes) in struck.iter().filter(|(_, strikes)| **strikes >= CULPRIT_STRIKES) {
            let content = contents.get(uid).copied();
            quarantine.convict(Arc::clone(uid), content, *strikes, why, Instant::now());
        }
        self.tell(&record);
        struck
    }

    /// The provider has answered for this pod.
    pub(crate) fn answered(&self, uid: &str) {
        if self.count.load(Ordering::Acquire) > 0 {
            let mut record = self.lock();
            record.strikes.answered(uid);
            record.quarantine.release(uid);
            record.contents.remove(uid);
            self.tell(&record);
        }
    }

    /// Whether a suspect may try again.
    fn admit(&self, kind: Kind, uid: &Arc<str>, content: Option<u64>) -> Result<(), Error> {
        let mut record = self.lock();
        // A pod that nobody could delete would be worse than another crash.
        if kind.name != DELETE.name
            && let Some(sentence) = record.quarantine.refuses(uid, content, Instant::now())
        {
            return Err(Error::Crashed { strikes: sentence.strikes, message: sentence.message.clone() });
        }
        content.map(|content| record.contents.insert(Arc::clone(uid), content));
        Ok(())
    }

    fn tell(&self, record: &Record) {
        self.count.store(record.strikes.len(), Ordering::Release);
        self.quarantined.set(i64::try_from(record.quarantine.len()).unwrap_or(i64::MAX));
    }

    /// Whether the next crash would convict it.
    fn must_be_alone(&self, uid: &str) -> bool {
        self.lock().strikes.of(uid) + 1 >= CULPRIT_STRIKES
    }

    fn contains(&self, uid: &str) -> bool {
        self.count.load(Ordering::Acquire) > 0 && self.lock().strikes.is_suspect(uid)
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn place(places: &Arc<Semaphore>, taken: impl FnOnce() -> String) -> Result<OwnedSemaphorePermit, Error> {
    let full = |_| Error::Unavailable { message: format!("{}, which is the limit", taken()), retry_after: None };
    Arc::clone(places).try_acquire_owned().map_err(full)
}

#[cfg(test)]
mod tests;
