//! One pod: runs what [`state`](super::state) decides and keeps the API server's status equal to the truth.
//!
//! In: [`Inputs`] (the object, the provider's reports). Out: provider calls, status patches, the final delete, events. Invariant: at
//! most one provider call and at most one API write are under way for a pod; every write carries its UID.
//!
//! Two lanes run side by side so that a slow backend never holds up a status, nor a slow API server a deletion.
//!
//! [`hearing`] takes in what is told, [`acting`] runs the machine and the provider's calls, [`writing`] keeps the status, [`files`] keeps the
//! provider's copies of ConfigMaps, Secrets and tokens fresh, [`probing`] links the probes in and
//! [`restarts`] paces what they ask for.

mod acting;
mod files;
mod hearing;
mod lanes;
mod material;
mod probing;
mod resizing;
mod restarts;
mod tokens;
mod writing;

use std::future::pending;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use pluglet_model::PodKey;
use pluglet_model::provider::{Features, Provider};
use pluglet_rules::admission::Rejection;
use pluglet_rules::references::VolumeKinds;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::kept::Kept;
use super::port::{EventSink, PodStore, WriteError};
use super::state::{Event, Failure, Machine, Policy, State};
use crate::objects::Objects;
use crate::probes::{Prober, Probes};
use crate::status;
use lanes::{Answer, Call};
use material::Material;
use resizing::Resize;
use restarts::Restarts;
use writing::{Budget, Write};

/// What all actors share.
pub(crate) struct Shared {
    pub provider: Arc<dyn Provider>,
    pub store: Arc<dyn PodStore>,
    pub events: Arc<dyn EventSink>,
    pub objects: Objects,
    /// Runs the probes of pods whose provider does not. None: nobody does.
    pub prober: Option<Prober>,
    pub node: NodeIdentity,
}

/// What a pod may know of its node.
#[derive(Clone, Debug)]
pub(crate) struct NodeIdentity {
    pub name: String,
    /// For `status.hostIP`.
    pub address: IpAddr,
    /// How pods reach the API server, where the cluster's own address is not reachable.
    pub kubernetes_service: Option<(String, u16)>,
}

impl Shared {
    fn features(&self) -> Features {
        self.provider.health().borrow().info.as_ref().map(|info| info.features).unwrap_or_default()
    }

    /// How often the provider was started again.
    fn restarts(&self) -> u64 {
        self.provider.health().borrow().restarts
    }

    fn kinds(&self) -> VolumeKinds {
        let health = self.provider.health();
        let health = health.borrow();
        health.info.iter().flat_map(|info| info.volume_kinds.iter().map(String::as_str)).collect()
    }
}

/// What an actor is told. Only the newest value counts: nothing queues up for a busy actor.
#[derive(Clone, Debug)]
pub(crate) struct Inputs {
    /// The object as last seen, without its status.
    pub object: Arc<Kept<Pod>>,
    /// Its status as last seen.
    pub status: Arc<Kept<PodStatus>>,
    /// The object does not exist any more.
    pub vanished: bool,
    /// The provider's last status.
    pub report: Option<Report>,
    /// Counts how often the provider said that it does not know the pod; the moment is when it was asked.
    pub lost: Option<(u64, Instant)>,
    /// Why the pod may not start on this node yet. None: it may.
    pub refusal: Option<Rejection>,
}

/// A status that the provider told.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    /// Rises with each report to any actor.
    pub number: u64,
    /// The same for equal statuses.
    pub digest: u64,
    pub status: Arc<Kept<PodStatus>>,
    /// When the provider was asked, for one that it did not tell by itself.
    pub asked_at: Option<Instant>,
}

/// How an actor's life begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The provider has never heard of the pod.
    New,
    /// The provider has it, or it ended before.
    Adopted,
    /// The API server says that it started, the provider does not know it.
    Lost,
    /// It is new, and this node cannot take it.
    Rejected(Rejection),
}

/// The driver of one pod.
pub(crate) struct Actor {
    key: PodKey,
    shared: Arc<Shared>,
    inputs: watch::Receiver<Inputs>,
    machine: Machine,
    pod: Arc<Kept<Pod>>,
    /// What the provider was last asked to run.
    given: Arc<Kept<Pod>>,
    /// The generation that it runs, or has refused for good.
    delivered: Option<i64>,
    /// The generation of which its owner was told that the provider cannot change to it.
    refused_change: Option<i64>,
    /// Whether the provider runs the resources that the spec asks for.
    resize: Resize,
    /// What it is made of. Empty while a call has it.
    material: Box<Material>,
    /// Something that the pod names has changed.
    wake_up: Arc<Notify>,
    /// That happened while a call was under way: it is looked at again.
    woken_in_call: bool,
    /// It waits for something that it names.
    unresolved: bool,
    /// It waits for this node to take it.
    refused_by_node: bool,
    /// Its files may differ from what the provider was given.
    outdated: bool,
    refresh_failures: u32,
    /// Why the provider's copies are old, as it was last told.
    stale_files: Option<Failure>,
    probes: Option<Box<Probes>>,
    /// What the probes want restarted.
    restarts: Restarts,
    /// How often the provider had been started again when it was last told to stop the pod.
    told_to_stop: u64,
    /// `deletionTimestamp` and grace, as last looked at.
    deletion: Option<(Time, i64)>,
    report: Option<Arc<Kept<PodStatus>>>,
    seen_report: u64,
    seen_lost: u64,
    /// When the provider last said that it has the pod: an older list proves nothing.
    accepted: Instant,
    held: Option<Failure>,
    failed: bool,
    /// The status that the API server holds, to our knowledge, and since which version of the object.
    baseline: Arc<Kept<PodStatus>>,
    baseline_version: u64,
    /// What the API server refused: not sent again until it differs.
    refused: Option<Box<PodStatus>>,
    call: Option<BoxFuture<'static, Answer>>,
    /// Waits for the call that is under way.
    queued: Option<Call>,
    write: Option<BoxFuture<'static, Write>>,
    /// What was last sent, in few bytes.
    written: Option<u64>,
    /// The end of the pod was sent.
    told_end: bool,
    remove: Option<BoxFuture<'static, Result<(), WriteError>>>,
    write_failures: u32,
    remove_failures: u32,
    /// Not before this moment a status is written.
    write_after: Instant,
    /// How many may be written at all.
    budget: Budget,
    /// Something happened since the status was last compared.
    dirty: bool,
    /// The process is about to end: nothing new is begun.
    draining: bool,
    wake: Option<Pin<Box<Sleep>>>,
    status_timer: Option<Pin<Box<Sleep>>>,
    refresh_timer: Option<Pin<Box<Sleep>>>,
    /// `activeDeadlineSeconds`.
    deadline: Option<Pin<Box<Sleep>>>,
    /// Something happened not long ago.
    awake: Option<Pin<Box<Sleep>>>,
    /// Nothing has happened since the objects were packed.
    rested: bool,
}

impl Actor {
    /// An actor for the object in `inputs`.
    pub(crate) fn new(key: PodKey, shared: Arc<Shared>, inputs: watch::Receiver<Inputs>, origin: &Origin) -> Self {
        let first = inputs.borrow().clone();
        let features = shared.features();
        let (object, held) = (first.object.get(), first.status.get());
        let policy = Policy {
            may_restart: may_restart(&object),
            watches: features.watch,
            updates: features.update,
            grace: termination_grace(&object),
        };
        let baseline = first.status.clone();
        let ended = held.phase.as_deref().is_some_and(status::Phase::is_terminal_name);
        let machine = match origin {
            Origin::New | Origin::Rejected(_) if !ended => Machine::new(policy),
            _ => Machine::adopted(policy, ended),
        };
        let report = first.report.as_ref().map(|report| report.status.clone());
        Self {
            key,
            shared,
            machine,
            pod: first.object.clone(),
            given: first.object.clone(),
            delivered: match origin {
                Origin::Adopted => held.observed_generation,
                Origin::New | Origin::Lost | Origin::Rejected(_) => object.metadata.generation,
            },
            refused_change: object.metadata.generation,
            resize: Resize::of(&object, &held, features.update),
            material: Box::default(),
            wake_up: Arc::default(),
            woken_in_call: false,
            unresolved: false,
            refused_by_node: false,
            outdated: false,
            refresh_failures: 0,
            stale_files: None,
            probes: None,
            restarts: Restarts::default(),
            told_to_stop: 0,
            deletion: None,
            report,
            seen_report: 0,
            seen_lost: 0,
            accepted: Instant::now(),
            held: None,
            failed: false,
            baseline_version: resource_version(&object),
            baseline,
            refused: None,
            call: None,
            queued: None,
            write: None,
            written: None,
            told_end: false,
            remove: None,
            write_failures: 0,
            write_after: Instant::now(),
            budget: Budget::full(Instant::now()),
            dirty: true,
            draining: false,
            remove_failures: 0,
            wake: None,
            status_timer: None,
            refresh_timer: None,
            deadline: None,
            awake: None,
            rested: false,
            inputs,
        }
    }

    /// Drives the pod until it is gone, or until `cancel`: then what is under way is finished and nothing new begun.
    pub(crate) async fn run(mut self: Box<Self>, origin: Origin, cancel: CancellationToken) {
        self.begin(origin);
        while self.machine.state != State::Gone || self.call.is_some() {
            if cancel.is_cancelled() && self.call.is_none() && self.write.is_none() && self.remove.is_none() {
                return;
            }
            self.draining = cancel.is_cancelled();
            self.sync_files();
            self.sync_status();
            if !std::mem::take(&mut self.rested) {
                self.awake.get_or_insert_with(|| Box::pin(sleep(REST_AFTER)));
            }
            tokio::select! {
                // Cancel-safe: the future is polled in place and stays when another arm wins.
                answer = lane(&mut self.call) => self.answered(answer),
                // Cancel-safe, likewise.
                write = lane(&mut self.write) => self.write_ended(write),
                // Cancel-safe, likewise.
                outcome = lane(&mut self.remove) => self.remove_ended(outcome),
                // Cancel-safe: `changed` marks a value as seen only when it returns.
                changed = self.inputs.changed(), if !cancel.is_cancelled() => match changed {
                    Ok(()) => self.told(),
                    Err(_) => return,
                },
                // Cancel-safe: a wake-up that is not waited for is kept.
                () = self.wake_up.notified() => self.named_object_changed(),
                // Cancel-safe: probes are polled in place.
                finding = probing::next(&mut self.probes) => self.found(finding),
                // Cancel-safe: the timers are kept outside of the select.
                () = timer(&mut self.wake), if !cancel.is_cancelled() => {
                    self.wake = None;
                    self.due();
                }
                () = timer(&mut self.status_timer) => {
                    self.status_timer = None;
                    self.dirty = true;
                }
                () = timer(&mut self.refresh_timer) => {
                    self.refresh_timer = None;
                    self.outdated = true;
                }
                // Cancel-safe: what is due stays owed until it is begun.
                container = self.restarts.due() => self.restart(container),
                () = timer(&mut self.deadline), if !cancel.is_cancelled() => {
                    self.deadline = None;
                    self.step(Event::Expired(Failure::of_pod("DeadlineExceeded", DEADLINE_EXCEEDED)));
                }
                () = timer(&mut self.awake) => self.rest(),
                // Cancel-safe: a token is not consumed. Only wakes the loop; the head of it looks.
                () = cancel.cancelled(), if !cancel.is_cancelled() => {}
            }
        }
        debug!(pod = %self.key, uid = %self.key.uid, "gone");
    }

    /// Nothing has happened for some time: what is known of the pod is kept small.
    fn rest(&mut self) {
        (self.awake, self.rested) = (None, true);
        self.pod.rest();
        self.given.rest();
        self.baseline.rest();
        self.report.iter().for_each(|report| report.rest());
    }
}

/// How long a pod's objects stay decoded. A pod that comes up, or ends, is through its changes by then.
const REST_AFTER: Duration = Duration::from_secs(5);

/// The kubelet's words.
const DEADLINE_EXCEEDED: &str = "Pod was active on the node longer than the specified deadline";

/// The result of a lane, or for ever nothing while it is empty.
async fn lane<T>(lane: &mut Option<BoxFuture<'static, T>>) -> T {
    match lane {
        Some(future) => future.await,
        None => pending().await,
    }
}

async fn timer(timer: &mut Option<Pin<Box<Sleep>>>) {
    match timer {
        Some(sleep) => sleep.as_mut().await,
        None => pending().await,
    }
}

/// A part of `longest`, the same for a pod each time: what many pods owe at once is not done in one moment.
fn spread(key: &PodKey, longest: Duration) -> Duration {
    let sum = key.uid.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    longest * (sum % 1000) / 1000
}

fn may_restart(pod: &Pod) -> bool {
    pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref()) != Some("Never")
}

/// Seconds; the API server fills in 30 where nothing is said.
fn termination_grace(pod: &Pod) -> u32 {
    let seconds = pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds).unwrap_or(30);
    u32::try_from(seconds.max(0)).unwrap_or(u32::MAX)
}

fn resource_version(pod: &Pod) -> u64 {
    pod.metadata.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0)
}
