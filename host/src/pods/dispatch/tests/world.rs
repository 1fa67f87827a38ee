//! A scripted provider and a scripted API server around a real dispatcher; no sockets.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use futures::stream;
use pluglet_model::PodPlan;
use pluglet_model::pod::Volume;
use pluglet_model::provider::{Features, Health, Info, LogRequest, LogStream, NodeFacts, Provider};
use pluglet_rules::references::{ObjectRef, TokenSpec};
use pluglet_rules::resolve::{Known, Object};
use serde_json::{Value, json};

use super::super::*;
use crate::objects::{ObjectSource, Objects};
use crate::pods::actor::NodeIdentity;
use crate::pods::port::{EventSink, PodStore, WriteError};
use crate::probes::{Prober, Results, Runner};

/// What happened, in order, such as `create u1` or `patch u1 Running`.
#[derive(Default)]
pub(super) struct Journal {
    pub(super) entries: Mutex<Vec<String>>,
    pub(super) writes: AtomicU64,
    /// Every status is found wrong.
    pub(super) refuse: AtomicBool,
    /// What the provider was told to delete is gone; otherwise it goes on listing it.
    pub(super) obeys: AtomicBool,
    /// No delete call succeeds.
    pub(super) defies: AtomicBool,
    /// No update call succeeds.
    pub(super) refuses_updates: AtomicBool,
    /// Likewise, for now.
    pub(super) misses_updates: AtomicBool,
    /// No container can be restarted, for now.
    pub(super) misses_restarts: AtomicBool,
    pub(super) lists: AtomicU64,
    /// A write takes as long as two reports.
    pub(super) slow: AtomicBool,
    pub(super) patches: Mutex<Vec<Value>>,
    pub(super) messages: Mutex<Vec<String>>,
    pub(super) changed: tokio::sync::Notify,
}

impl Journal {
    pub(super) fn add(&self, entry: String) {
        self.entries.lock().unwrap().push(entry);
        self.changed.notify_waiters();
    }

    pub(super) fn read(&self) -> Vec<String> {
        self.entries.lock().unwrap().clone()
    }

    /// What was last written, whether or not it was taken.
    pub(super) fn last_status(&self) -> Value {
        self.patches.lock().unwrap().last().unwrap()["status"].clone()
    }

    pub(super) fn count(&self, start: &str) -> usize {
        self.read().iter().filter(|entry| entry.starts_with(start)).count()
    }

    /// Waits until the journal has an entry. Time is paused, so a missing one fails at once, not after a real minute.
    pub(super) async fn wait_for(&self, entry: &str) {
        self.wait_for_times(entry, 1).await;
    }

    pub(super) async fn wait_for_times(&self, entry: &str, times: usize) {
        let found = async {
            loop {
                let changed = self.changed.notified();
                if self.read().iter().filter(|have| *have == entry).count() >= times {
                    return;
                }
                changed.await;
            }
        };
        let found = tokio::time::timeout(Duration::from_secs(3600), found).await;
        assert!(found.is_ok(), "no {times} of {entry:?} in {:?}", self.read());
    }
}

pub(super) struct Script {
    journal: Arc<Journal>,
    health: watch::Sender<Health>,
    pods: Mutex<BTreeMap<String, PodKey>>,
}

pub(super) fn running() -> PodStatus {
    serde_json::from_value(json!({ "phase": "Running", "startTime": "2026-01-01T00:00:00Z" })).unwrap()
}

#[async_trait]
impl Provider for Script {
    fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }
    async fn create(&self, plan: &PodPlan) -> Result<PodStatus, Error> {
        self.journal.add(format!("create {}", plan.key.uid));
        self.pods.lock().unwrap().insert(plan.key.uid.to_string(), plan.key.clone());
        Ok(running())
    }
    async fn update(&self, plan: &PodPlan) -> Result<PodStatus, Error> {
        self.journal.add(format!("update {}", plan.key.uid));
        if self.journal.refuses_updates.load(Ordering::Relaxed) {
            return Err(Error::Unsupported("no".to_owned()));
        }
        if self.journal.misses_updates.load(Ordering::Relaxed) {
            return Err(Error::Unavailable { message: "away".to_owned(), retry_after: None });
        }
        Ok(running())
    }
    async fn volumes_changed(&self, key: &PodKey, _: u64, volumes: &[Volume]) -> Result<(), Error> {
        for file in volumes.iter().flat_map(|volume| &volume.files) {
            self.journal.add(format!("file {} {}={}", key.uid, file.path, String::from_utf8_lossy(&file.bytes)));
        }
        Ok(())
    }
    async fn restart_container(&self, key: &PodKey, container: &str, _: Duration) -> Result<(), Error> {
        self.journal.add(format!("restart {} {container}", key.uid));
        if self.journal.misses_restarts.load(Ordering::Relaxed) {
            return Err(Error::Unavailable { message: "away".to_owned(), retry_after: None });
        }
        Ok(())
    }
    async fn delete(&self, key: &PodKey, grace: Duration) -> Result<(), Error> {
        self.journal.add(format!("delete {} {}", key.uid, grace.as_secs()));
        if self.journal.obeys.load(Ordering::Relaxed) {
            self.pods.lock().unwrap().remove(&*key.uid);
        }
        if self.journal.defies.load(Ordering::Relaxed) { Err(Error::Invalid("no".to_owned())) } else { Ok(()) }
    }
    async fn status(&self, key: &PodKey) -> Result<PodStatus, Error> {
        self.pods.lock().unwrap().get(&*key.uid).map(|_| running()).ok_or(Error::NotFound)
    }
    async fn list(&self) -> Result<Vec<(PodKey, PodStatus)>, Error> {
        self.journal.lists.fetch_add(1, Ordering::Relaxed);
        Ok(self.pods.lock().unwrap().values().map(|key| (key.clone(), running())).collect())
    }
    async fn logs(&self, _: &PodKey, _: LogRequest) -> Result<LogStream, Error> {
        Err(Error::Unsupported("logs".to_owned()))
    }
    async fn stop(&self, _: Duration) {}
}

#[async_trait]
impl PodStore for Journal {
    async fn patch_status(&self, key: &PodKey, patch: Value) -> Result<u64, WriteError> {
        assert_eq!(patch["metadata"]["uid"], json!(&*key.uid), "a status without its UID could land on another pod");
        if self.slow.load(Ordering::Relaxed) {
            moment().await;
            moment().await;
        }
        self.patches.lock().unwrap().push(patch.clone());
        if self.refuse.load(Ordering::Relaxed) {
            self.add(format!("refused {}", key.uid));
            return Err(WriteError::Refused("wrong".to_owned()));
        }
        self.add(format!("patch {} {}", key.uid, patch["status"]["phase"].as_str().unwrap_or("-")));
        Ok(1000 + 10 * self.writes.fetch_add(1, Ordering::Relaxed))
    }
    async fn delete(&self, key: &PodKey) -> Result<(), WriteError> {
        self.add(format!("remove {}", key.uid));
        Ok(())
    }
    async fn request_token(&self, key: &PodKey, _: &str, _: &TokenSpec) -> Result<(Arc<str>, i64), String> {
        self.add(format!("token {}", key.uid));
        Ok(("token".into(), 3600))
    }
}

impl EventSink for Journal {
    fn record_about(&self, key: &PodKey, _: Option<String>, _: bool, reason: &str, message: &str) {
        self.add(format!("event {} {reason}", key.uid));
        self.messages.lock().unwrap().push(message.to_owned());
    }
}

/// A cluster without Services; ConfigMaps are what the test says.
#[derive(Default)]
pub(super) struct Cluster {
    config_maps: Mutex<BTreeMap<String, watch::Sender<Known>>>,
}

impl Cluster {
    pub(super) fn config_map(&self, name: &str) -> watch::Sender<Known> {
        self.config_maps
            .lock()
            .unwrap()
            .entry(name.to_owned())
            .or_insert_with(|| watch::Sender::new(Known::Missing))
            .clone()
    }

    pub(super) fn put(&self, name: &str, data: Value) {
        let map = serde_json::from_value(json!({ "metadata": { "name": name }, "data": data })).unwrap();
        self.config_map(name).send_replace(Known::Found(Arc::new(Object::ConfigMap(map))));
    }
}

impl ObjectSource for Cluster {
    fn watch(&self, object: &ObjectRef) -> BoxStream<'static, Known> {
        match object {
            ObjectRef::ConfigMap { name, .. } => {
                let receiver = self.config_map(name).subscribe();
                stream::unfold((receiver, true), |(mut receiver, first)| async move {
                    if !first {
                        receiver.changed().await.ok()?;
                    }
                    let known = receiver.borrow_and_update().clone();
                    Some((known, (receiver, false)))
                })
                .boxed()
            }
            _ => stream::iter([Known::Found(Arc::new(Object::Services(vec![])))]).boxed(),
        }
    }
}

/// A node with a thousand places.
pub(super) fn node() -> Arc<Node> {
    let labels = json!({ "kubernetes.io/hostname": "node", "kubernetes.io/os": "linux" });
    Arc::new(serde_json::from_value(json!({ "metadata": { "name": "node", "labels": labels } })).unwrap())
}

pub(super) fn facts() -> NodeFacts {
    let capacity = [("cpu", "4"), ("memory", "8Gi"), ("pods", "1000")];
    NodeFacts {
        capacity: capacity.map(|(name, amount)| (name.to_owned(), amount.to_owned())).into(),
        operating_system: "linux".to_owned(),
        ..NodeFacts::default()
    }
}

pub(super) struct World {
    pub(super) journal: Arc<Journal>,
    pub(super) cluster: Arc<Cluster>,
    pub(super) objects: mpsc::UnboundedSender<ObjectEvent>,
    pub(super) events: mpsc::Sender<ProviderEvent>,
    pub(super) tasks: Tasks,
}

impl World {
    /// A dispatcher whose provider already runs `known`.
    pub(super) fn start(known: &[&str]) -> Self {
        Self::with(known, None, true)
    }

    /// Likewise, where the provider takes no updates.
    pub(super) fn without_updates(known: &[&str]) -> Self {
        Self::with(known, None, false)
    }

    /// Likewise, where `prober` finds out how containers are.
    pub(super) fn probed_by(prober: Arc<dyn Runner>) -> Self {
        Self::with(&[], Some(Prober { runner: prober, results: Results::default() }), true)
    }

    fn with(known: &[&str], prober: Option<Prober>, update: bool) -> Self {
        let journal = Arc::new(Journal::default());
        let features = Features { watch: true, update, refresh: true, ..Features::default() };
        let kinds = ["configMap", "projected"].map(str::to_owned).to_vec();
        let info = Info { features, volume_kinds: kinds, node: facts() };
        let (cluster, tasks) = (Arc::new(Cluster::default()), Tasks::new());
        let script = Script {
            journal: journal.clone(),
            health: watch::Sender::new(Health { info: Some(info), ..Health::default() }),
            pods: Mutex::new(known.iter().map(|uid| ((*uid).to_owned(), PodKey::new(uid, "n", "p"))).collect()),
        };
        let shared = Arc::new(Shared {
            provider: Arc::new(script),
            store: journal.clone(),
            events: journal.clone(),
            objects: Objects::new(cluster.clone(), tasks.clone()),
            prober,
            node: NodeIdentity {
                name: "node".to_owned(),
                address: "10.0.0.1".parse().unwrap(),
                kubernetes_service: None,
            },
        });
        let (objects, mut receiver) = mpsc::unbounded_channel();
        let (events, provider_events) = mpsc::channel(16);
        let stream = stream::poll_fn(move |context| receiver.poll_recv(context)).boxed();
        tasks.spawn(
            "pods",
            run(shared, Arc::default(), tasks.clone(), stream, provider_events, watch::channel(Some(node())).1),
        );
        Self { journal, cluster, objects, events, tasks }
    }

    pub(super) fn send(&self, event: ObjectEvent) {
        self.objects.send(event).unwrap();
    }

    pub(super) async fn tell(&self, event: ProviderEvent) {
        self.events.send(event).await.unwrap();
    }

    /// Everything that is going to happen has happened: the next thing is a timer.
    pub(super) async fn settle(&self) {
        tokio::time::sleep(Duration::from_millis(900)).await;
    }

    pub(super) async fn end(self) -> Vec<String> {
        self.settle().await;
        assert_eq!(self.tasks.drain(Duration::from_secs(10)).await, Vec::<String>::new());
        self.journal.read()
    }
}

pub(super) fn object(uid: &str, version: u64, extra: Value) -> Pod {
    let mut pod = json!({
        "metadata": { "name": "p", "namespace": "n", "uid": uid, "resourceVersion": version.to_string(), "generation": 1 },
        "spec": { "restartPolicy": "Always", "containers": [{ "name": "c", "image": "i" }] },
    });
    for (name, value) in extra.as_object().unwrap() {
        match (pod[name].as_object_mut(), value.as_object()) {
            (Some(into), Some(fields)) => into.extend(fields.clone()),
            _ => pod[name] = value.clone(),
        }
    }
    serde_json::from_value(pod).unwrap()
}

pub(super) fn deleted(uid: &str, version: u64) -> Pod {
    let metadata = json!({ "deletionTimestamp": "2999-01-01T00:00:00Z", "deletionGracePeriodSeconds": 30 });
    object(uid, version, json!({ "metadata": metadata }))
}

/// Differs from every other one with another number.
pub(super) fn restarted(uid: &str, times: u32) -> ProviderEvent {
    let state = json!({ "running": { "startedAt": "2026-01-01T00:00:00Z" } });
    container(uid, times, &state)
}

pub(super) fn ended(uid: &str, times: u32) -> ProviderEvent {
    container(uid, times, &json!({ "terminated": { "exitCode": 0, "finishedAt": "2026-01-01T00:00:09Z" } }))
}

pub(super) fn container(uid: &str, number: u32, state: &Value) -> ProviderEvent {
    let container =
        json!({ "name": "c", "image": "i", "imageID": "", "ready": true, "restartCount": number, "state": state });
    // Of a pod that has ended only the address may still change.
    let status = json!({ "podIP": format!("10.0.0.{number}"), "containerStatuses": [container] });
    ProviderEvent::Status(PodKey::new(uid, "n", "p"), Box::new(serde_json::from_value(status).unwrap()))
}

/// A moment in which every task that can do something does it.
pub(super) async fn moment() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

pub(super) fn stopped(uid: &str) -> ProviderEvent {
    let state = json!({ "terminated": { "exitCode": 0, "finishedAt": "2026-01-01T00:00:09Z" } });
    let status = json!({ "containerStatuses": [{ "name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": state }] });
    ProviderEvent::Status(PodKey::new(uid, "n", "p"), Box::new(serde_json::from_value(status).unwrap()))
}
