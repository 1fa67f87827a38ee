//! Gives every object and every report to the actor of its UID, and compares the three sides.
//!
//! In: [`ObjectEvent`]s of the API server, [`ProviderEvent`]s, a clock tick. Out: actors, their inputs. Invariant: one actor per UID;
//! an orphan in the provider is deleted only after a complete list of the API server without it.

mod orphans;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::core::v1::{Node, Pod, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use pluglet_model::PodKey;
use pluglet_model::provider::{Error, EventReceiver, ProviderEvent};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::actor::{Actor, Inputs, Origin, Report, Shared};
use super::admission::{Admission, Decision};
use super::kept::Kept;
use super::port::ObjectEvent;
use super::recover::{self, Listing};
use super::view::{PodsView, Seen};
use crate::status::{Phase, field_path};
use crate::tasks::Tasks;
use orphans::Orphans;

/// How often the provider's list is compared with the actors, as level-triggered truth beneath the events.
const COMPARE_EVERY: Duration = Duration::from_secs(60);

/// Least time between two comparisons that the provider asked for. Each is a list and a look at all pods: a provider that asks all the
/// time would have the host do nothing else.
const RESYNC_PACE: Duration = Duration::from_secs(1);

/// The API server refuses events with a longer reason.
const LONGEST_REASON: usize = 128;

type ListCall = BoxFuture<'static, (Instant, Result<Vec<(PodKey, PodStatus)>, Error>)>;

/// The index of actors.
pub(crate) struct Dispatcher {
    shared: Arc<Shared>,
    view: Arc<PodsView>,
    tasks: Tasks,
    actors: HashMap<Arc<str>, watch::Sender<Inputs>>,
    /// What the provider ran before this process began and nobody has claimed yet.
    unclaimed: Listing,
    /// The API server's pods were listed completely at least once.
    synced: bool,
    ended: mpsc::UnboundedSender<PodKey>,
    reports: u64,
    list: Option<ListCall>,
    list_again: bool,
    /// Not before this moment a list is made because somebody asked for it.
    next_resync: Instant,
    /// Somebody asked too soon.
    resync_due: bool,
    orphans: Orphans,
    admission: Admission,
    /// What the API server told before the node was known.
    early: Vec<ObjectEvent>,
    /// Pods of DaemonSets for which there is no room.
    waiting: HashSet<Arc<str>>,
}

/// Runs until `cancel`, or until a source ends, which neither does while its owner lives.
pub(crate) async fn run(
    shared: Arc<Shared>,
    view: Arc<PodsView>,
    tasks: Tasks,
    mut objects: BoxStream<'static, ObjectEvent>,
    mut events: EventReceiver,
    node: watch::Receiver<Option<Arc<Node>>>,
) {
    let cancel = tasks.cancel_token();
    let Some(unclaimed) = cancel.run_until_cancelled(recover::first_list(&*shared.provider)).await else { return };
    info!(pods = unclaimed.len(), "the provider listed its pods");
    let (ended, mut ends) = mpsc::unbounded_channel();
    let mut tick = interval(COMPARE_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick.reset();
    let admission = Admission::new(node, shared.provider.health());
    let mut dispatcher = Dispatcher {
        shared,
        view,
        tasks,
        actors: HashMap::new(),
        unclaimed,
        synced: false,
        ended,
        reports: 0,
        list: None,
        list_again: false,
        next_resync: Instant::now(),
        resync_due: false,
        orphans: Orphans::default(),
        admission,
        early: vec![],
        waiting: HashSet::new(),
    };
    loop {
        tokio::select! {
            // Cancel-safe: a stream's next item is not taken before it is there.
            Some(event) = objects.next() => dispatcher.heard(event),
            // Cancel-safe: a change is marked as seen only when it is told.
            () = dispatcher.admission.node_changed() => dispatcher.node_changed(),
            // Cancel-safe: mpsc receive.
            Some(event) = events.recv() => dispatcher.provider_event(event),
            // Cancel-safe: mpsc receive.
            Some(key) = ends.recv() => dispatcher.actor_ended(&key),
            // Cancel-safe: the call is polled in place.
            (asked_at, outcome) = list_call(&mut dispatcher.list) => dispatcher.listed(asked_at, outcome),
            // Cancel-safe: the deadline is kept outside.
            () = sleep_until(dispatcher.next_resync), if dispatcher.resync_due => dispatcher.resync(),
            // Cancel-safe: interval tick.
            _ = tick.tick() => dispatcher.tick(),
            // Cancel-safe: a token is not consumed.
            () = cancel.cancelled() => return,
        }
    }
}

async fn list_call(call: &mut Option<ListCall>) -> (Instant, Result<Vec<(PodKey, PodStatus)>, Error>) {
    match call {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

impl Dispatcher {
    /// Before the node is known nobody can say what fits: what is heard until then waits.
    fn heard(&mut self, event: ObjectEvent) {
        if self.early.is_empty() && self.admission.knows_node() {
            self.object(event);
        } else {
            self.early.push(event);
        }
    }

    fn node_changed(&mut self) {
        for event in std::mem::take(&mut self.early) {
            self.object(event);
        }
        self.admit_waiting();
    }

    fn object(&mut self, event: ObjectEvent) {
        match event {
            ObjectEvent::Applied(pod) => self.applied(pod),
            ObjectEvent::Deleted(pod) => {
                if let Some(key) = PodKey::of(&pod) {
                    self.vanished(&key.uid);
                }
            }
            ObjectEvent::Relisted(pods) => self.relisted(pods),
        }
    }

    fn relisted(&mut self, pods: Vec<Pod>) {
        let present: HashSet<Arc<str>> = pods.iter().filter_map(PodKey::of).map(|key| key.uid).collect();
        let missing: Vec<Arc<str>> = self.actors.keys().filter(|uid| !present.contains(*uid)).cloned().collect();
        info!(pods = pods.len(), vanished = missing.len(), "the API server listed its pods");
        for uid in missing {
            self.vanished(&uid);
        }
        // Those that run here count before any new one is judged.
        let (here, new): (Vec<_>, Vec<_>) = pods.into_iter().partition(|pod| self.is_here(pod));
        for pod in here.into_iter().chain(new) {
            self.applied(pod);
        }
        self.synced = true;
        let unclaimed = std::mem::take(&mut self.unclaimed).into_values().collect();
        self.delete_orphans(unclaimed);
    }

    /// The provider has it, or it has started somewhere.
    fn is_here(&self, pod: &Pod) -> bool {
        let listed = pod.metadata.uid.as_deref().is_some_and(|uid| self.unclaimed.contains_key(uid));
        listed || pod.status.as_ref().is_some_and(has_started)
    }

    fn applied(&mut self, pod: Pod) {
        let Some(seen) = Seen::of(pod) else { return };
        if let Some(replaced) = self.view.put(&seen) {
            self.vanished(&replaced);
        }
        let mut made_room = self.admission.changed(&seen.key.uid, &seen.status.get());
        match self.actors.get(&seen.key.uid) {
            Some(inputs) => {
                if inputs.borrow().object.get().spec != seen.object.get().spec {
                    made_room |= self.admission.resized(&seen.key.uid, &seen.object.get());
                }
                inputs.send_modify(|inputs| (inputs.object, inputs.status) = (seen.object, seen.status));
            }
            None => self.adopt_or_create(seen),
        }
        if made_room {
            self.admit_waiting();
        }
    }

    fn adopt_or_create(&mut self, seen: Seen) {
        let Seen { key, object, status } = seen;
        let known = self.unclaimed.remove(&key.uid);
        let mut refusal = None;
        let origin = match &known {
            Some(_) => Origin::Adopted,
            None if has_started(&status.get()) => Origin::Lost,
            // One that is to go is not admitted any more.
            None if object.get().metadata.deletion_timestamp.is_some() => Origin::New,
            None => match self.admission.decide(&key.uid, &object.get()) {
                Decision::Take => Origin::New,
                Decision::Reject(rejection) => Origin::Rejected(rejection),
                Decision::Wait(rejection) => {
                    self.waiting.insert(key.uid.clone());
                    refusal = Some(rejection);
                    Origin::New
                }
            },
        };
        if matches!(origin, Origin::Adopted | Origin::Lost) {
            self.admission.count(&key.uid, &object.get(), &status.get());
        }
        let report = known.filter(|(_, status)| is_known(status)).map(|(_, status)| self.number(status, None));
        self.spawn(key, Inputs { object, status, vanished: false, report, lost: None, refusal }, origin);
    }

    fn spawn(&mut self, key: PodKey, inputs: Inputs, origin: Origin) {
        debug!(pod = %key, uid = %key.uid, ?origin, "new actor");
        let (sender, receiver) = watch::channel(inputs);
        self.actors.insert(key.uid.clone(), sender);
        let actor = Box::new(Actor::new(key.clone(), self.shared.clone(), receiver, &origin));
        let (ended, cancel): (_, CancellationToken) = (self.ended.clone(), self.tasks.cancel_token());
        self.tasks.spawn("pod", async move {
            actor.run(origin, cancel).await;
            // The dispatcher is gone only when the process drains.
            ended.send(key).ok();
        });
    }

    fn actor_ended(&mut self, key: &PodKey) {
        self.actors.remove(&key.uid);
        self.waiting.remove(&key.uid);
        if self.admission.release(&key.uid) {
            self.admit_waiting();
        }
        if self.orphans.ended(&key.uid) {
            self.resync();
        }
    }

    fn vanished(&mut self, uid: &str) {
        if let Some(inputs) = self.actors.get(uid) {
            inputs.send_modify(|inputs| inputs.vanished = true);
            if let Some(key) = PodKey::of(&inputs.borrow().object.peek()) {
                self.view.remove(&key);
            }
        }
    }

    /// Pods in the provider's list that nobody drives. Orphans, unless the API server has them: then their actors were lost.
    fn without_actor(&mut self, listing: Listing) {
        let mut orphans = vec![];
        for (key, status) in listing.into_values() {
            match self.view.find(&key.namespace, &key.name).filter(|holder| holder.key == key) {
                None => orphans.push((key, status)),
                Some(seen) => {
                    warn!(pod = %key, uid = %key.uid, "nobody drives this pod: taking it up again");
                    self.unclaimed.insert(key.uid.clone(), (key, status));
                    self.adopt_or_create(seen);
                }
            }
        }
        self.delete_orphans(orphans);
    }

    /// Pods that the provider runs and the API server does not have, as many as may be under way.
    fn delete_orphans(&mut self, found: Vec<(PodKey, PodStatus)>) {
        for (key, status) in self.orphans.take_on(found) {
            self.orphan(&key, status);
        }
    }

    fn orphan(&mut self, key: &PodKey, status: PodStatus) {
        debug!(uid = %key.uid, "the provider runs a pod that the API server does not have");
        let object = Kept::new(Pod {
            metadata: ObjectMeta {
                uid: Some(key.uid.to_string()),
                name: Some(key.name.to_string()),
                namespace: Some(key.namespace.to_string()),
                ..ObjectMeta::default()
            },
            ..Pod::default()
        });
        let report = Some(self.number(status, None));
        self.spawn(
            key.clone(),
            Inputs { object, status: Arc::default(), vanished: true, report, lost: None, refusal: None },
            Origin::Adopted,
        );
    }

    fn provider_event(&mut self, event: ProviderEvent) {
        match event {
            ProviderEvent::Status(key, status) => self.report(&key, *status, None),
            ProviderEvent::Gone(key) => self.lost(&key.uid, Instant::now()),
            ProviderEvent::PodEvent { key, container, warning, reason, message } => {
                self.pod_event(&key.uid, container.as_deref(), warning, &reason, &message);
            }
            // Only the driver of containers asks for these, and keeps them.
            ProviderEvent::ContainerChanged(key, id) => {
                debug!(uid = %key.uid, id, "a provider of pods tells of a container")
            }
            ProviderEvent::Resync => self.resync(),
        }
    }

    /// A provider speaks of its own pods only: the name comes from the API server, or it could write on any pod of the cluster.
    fn pod_event(&self, uid: &str, container: Option<&str>, warning: bool, reason: &str, message: &str) {
        let Some(inputs) = self.actors.get(uid) else { return };
        let object = inputs.borrow().object.peek();
        let Some(key) = PodKey::of(&object) else { return };
        let path = container.and_then(|container| field_path(&object, container));
        let is_reason = reason.len() <= LONGEST_REASON
            && reason.starts_with(|c: char| c.is_ascii_uppercase())
            && reason.chars().all(|c| c.is_ascii_alphanumeric());
        let reason = if is_reason { reason } else { "ProviderEvent" };
        self.shared.events.record_about(&key, path, warning, reason, message);
    }

    fn number(&mut self, status: PodStatus, asked_at: Option<Instant>) -> Report {
        self.reports += 1;
        let status = Kept::new(status);
        Report { number: self.reports, digest: status.digest(), status, asked_at }
    }

    fn report(&mut self, key: &PodKey, status: PodStatus, asked_at: Option<Instant>) {
        let mut report = self.number(status, asked_at);
        let status = &report.status;
        if let Some(inputs) = self.actors.get(&key.uid) {
            inputs.send_modify(|inputs| {
                // One that says the same as the last stays the same: nobody has to look at it.
                if let Some(last) = inputs.report.as_ref().filter(|last| last.digest == report.digest) {
                    report.status = last.status.clone();
                }
                inputs.report = Some(report);
            });
        } else if let Some((_, unclaimed)) = self.unclaimed.get_mut(&key.uid) {
            unclaimed.clone_from(&status.get());
        }
    }

    fn lost(&mut self, uid: &Arc<str>, asked_at: Instant) {
        if let Some(inputs) = self.actors.get(uid) {
            inputs.send_modify(|inputs| {
                inputs.lost = Some((inputs.lost.map_or(1, |(number, _)| number + 1), asked_at));
            });
        } else {
            self.unclaimed.remove(uid);
        }
    }

    fn tick(&mut self) {
        self.start_list();
        self.admit_waiting();
    }

    /// Takes those that waited for room and have it now; the others learn what is missing.
    fn admit_waiting(&mut self) {
        for uid in std::mem::take(&mut self.waiting) {
            let Some(inputs) = self.actors.get(&uid) else { continue };
            let decision = self.admission.decide(&uid, &inputs.borrow().object.peek());
            let refusal = match decision {
                Decision::Take => None,
                Decision::Reject(rejection) | Decision::Wait(rejection) => {
                    self.waiting.insert(uid.clone());
                    Some(rejection)
                }
            };
            inputs.send_if_modified(|inputs| std::mem::replace(&mut inputs.refusal, refusal.clone()) != refusal);
        }
    }

    /// A list now, or as soon as the pace lets it.
    fn resync(&mut self) {
        let now = Instant::now();
        self.resync_due = now < self.next_resync;
        if !self.resync_due {
            self.next_resync = now + RESYNC_PACE;
            self.start_list();
        }
    }

    fn start_list(&mut self) {
        if self.list.is_some() {
            self.list_again = true;
            return;
        }
        let (provider, asked_at) = (self.shared.provider.clone(), Instant::now());
        self.list = Some(async move { (asked_at, provider.list().await) }.boxed());
    }

    fn listed(&mut self, asked_at: Instant, outcome: Result<Vec<(PodKey, PodStatus)>, Error>) {
        self.list = None;
        match outcome {
            Ok(pods) => self.compare(asked_at, recover::by_uid(pods)),
            // The provider's own restarts and the next tick lead here again.
            Err(error) => info!(%error, "the provider cannot list its pods at present"),
        }
        if std::mem::take(&mut self.list_again) {
            self.start_list();
        }
    }

    fn compare(&mut self, asked_at: Instant, mut listing: Listing) {
        let actors: Vec<Arc<str>> = self.actors.keys().cloned().collect();
        for uid in actors {
            match listing.remove(&uid) {
                Some((key, status)) if is_known(&status) => self.report(&key, status, Some(asked_at)),
                Some(_) => {}
                None => self.lost(&uid, asked_at),
            }
        }
        debug!(pods = self.actors.len(), unclaimed = listing.len(), "compared with the provider's list");
        if self.synced {
            self.without_actor(listing);
        } else {
            self.unclaimed = listing;
        }
    }
}

/// A provider that could not tell the status of a pod in its list lists it with an empty one.
fn is_known(status: &PodStatus) -> bool {
    *status != PodStatus::default()
}

/// The API server holds a sign that the pod has started or ended somewhere.
fn has_started(status: &PodStatus) -> bool {
    let ran =
        |state: &k8s_openapi::api::core::v1::ContainerState| state.running.is_some() || state.terminated.is_some();
    let phase = status.phase.as_deref().unwrap_or("Pending");
    phase == "Running"
        || Phase::is_terminal_name(phase)
        || status.container_statuses.iter().flatten().any(|container| container.state.as_ref().is_some_and(ran))
}

#[cfg(test)]
mod tests;
