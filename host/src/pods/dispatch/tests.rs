//! The three sides compared, with a scripted provider and a scripted API server; no sockets, paused time.

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

use super::*;
use crate::objects::{ObjectSource, Objects};
use crate::pods::actor::NodeIdentity;
use crate::pods::port::{EventSink, PodStore, WriteError};

/// What happened, in order, such as `create u1` or `patch u1 Running`.
#[derive(Default)]
struct Journal {
    entries: Mutex<Vec<String>>,
    writes: AtomicU64,
    /// Every status is found wrong.
    refuse: AtomicBool,
    /// What the provider was told to delete is gone; otherwise it goes on listing it.
    obeys: AtomicBool,
    /// No delete call succeeds.
    defies: AtomicBool,
    /// No update call succeeds.
    refuses_updates: AtomicBool,
    lists: AtomicU64,
    /// A write takes as long as two reports.
    slow: AtomicBool,
    last_patch: Mutex<Value>,
    messages: Mutex<Vec<String>>,
    changed: tokio::sync::Notify,
}

impl Journal {
    fn add(&self, entry: String) {
        self.entries.lock().unwrap().push(entry);
        self.changed.notify_waiters();
    }

    fn read(&self) -> Vec<String> {
        self.entries.lock().unwrap().clone()
    }

    fn count(&self, start: &str) -> usize {
        self.read().iter().filter(|entry| entry.starts_with(start)).count()
    }

    /// Waits until the journal has an entry. Time is paused, so a missing one fails at once, not after a real minute.
    async fn wait_for(&self, entry: &str) {
        let found = async {
            loop {
                let changed = self.changed.notified();
                if self.read().iter().any(|have| have == entry) {
                    return;
                }
                changed.await;
            }
        };
        let found = tokio::time::timeout(Duration::from_secs(3600), found).await;
        assert!(found.is_ok(), "no {entry:?} in {:?}", self.read());
    }
}

struct Script {
    journal: Arc<Journal>,
    health: watch::Sender<Health>,
    pods: Mutex<BTreeMap<String, PodKey>>,
}

fn running() -> PodStatus {
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
        Ok(running())
    }
    async fn volumes_changed(&self, key: &PodKey, _: u64, volumes: &[Volume]) -> Result<(), Error> {
        for file in volumes.iter().flat_map(|volume| &volume.files) {
            self.journal.add(format!("file {} {}={}", key.uid, file.path, String::from_utf8_lossy(&file.bytes)));
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
        *self.last_patch.lock().unwrap() = patch.clone();
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
struct Cluster {
    config_maps: Mutex<BTreeMap<String, watch::Sender<Known>>>,
}

impl Cluster {
    fn config_map(&self, name: &str) -> watch::Sender<Known> {
        self.config_maps
            .lock()
            .unwrap()
            .entry(name.to_owned())
            .or_insert_with(|| watch::Sender::new(Known::Missing))
            .clone()
    }

    fn put(&self, name: &str, data: Value) {
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
fn node() -> Arc<Node> {
    let labels = json!({ "kubernetes.io/hostname": "node", "kubernetes.io/os": "linux" });
    Arc::new(serde_json::from_value(json!({ "metadata": { "name": "node", "labels": labels } })).unwrap())
}

fn facts() -> NodeFacts {
    let capacity = [("cpu", "4"), ("memory", "8Gi"), ("pods", "1000")];
    NodeFacts {
        capacity: capacity.map(|(name, amount)| (name.to_owned(), amount.to_owned())).into(),
        operating_system: "linux".to_owned(),
        ..NodeFacts::default()
    }
}

struct World {
    journal: Arc<Journal>,
    cluster: Arc<Cluster>,
    objects: mpsc::UnboundedSender<ObjectEvent>,
    events: mpsc::Sender<ProviderEvent>,
    tasks: Tasks,
}

impl World {
    /// A dispatcher whose provider already runs `known`.
    fn start(known: &[&str]) -> Self {
        let journal = Arc::new(Journal::default());
        let features = Features { watch: true, update: true, refresh: true, ..Features::default() };
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
            prober: None,
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

    fn send(&self, event: ObjectEvent) {
        self.objects.send(event).unwrap();
    }

    async fn tell(&self, event: ProviderEvent) {
        self.events.send(event).await.unwrap();
    }

    /// Everything that is going to happen has happened: the next thing is a timer.
    async fn settle(&self) {
        tokio::time::sleep(Duration::from_millis(900)).await;
    }

    async fn end(self) -> Vec<String> {
        self.settle().await;
        assert_eq!(self.tasks.drain(Duration::from_secs(10)).await, Vec::<String>::new());
        self.journal.read()
    }
}

fn object(uid: &str, version: u64, extra: Value) -> Pod {
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

fn deleted(uid: &str, version: u64) -> Pod {
    let metadata = json!({ "deletionTimestamp": "2999-01-01T00:00:00Z", "deletionGracePeriodSeconds": 30 });
    object(uid, version, json!({ "metadata": metadata }))
}

/// Differs from every other one with another number.
fn restarted(uid: &str, times: u32) -> ProviderEvent {
    let state = json!({ "running": { "startedAt": "2026-01-01T00:00:00Z" } });
    container(uid, times, &state)
}

fn ended(uid: &str, times: u32) -> ProviderEvent {
    container(uid, times, &json!({ "terminated": { "exitCode": 0, "finishedAt": "2026-01-01T00:00:09Z" } }))
}

fn container(uid: &str, number: u32, state: &Value) -> ProviderEvent {
    let container =
        json!({ "name": "c", "image": "i", "imageID": "", "ready": true, "restartCount": number, "state": state });
    // Of a pod that has ended only the address may still change.
    let status = json!({ "podIP": format!("10.0.0.{number}"), "containerStatuses": [container] });
    ProviderEvent::Status(PodKey::new(uid, "n", "p"), Box::new(serde_json::from_value(status).unwrap()))
}

/// A moment in which every task that can do something does it.
async fn moment() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

fn stopped(uid: &str) -> ProviderEvent {
    let state = json!({ "terminated": { "exitCode": 0, "finishedAt": "2026-01-01T00:00:09Z" } });
    let status = json!({ "containerStatuses": [{ "name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": state }] });
    ProviderEvent::Status(PodKey::new(uid, "n", "p"), Box::new(serde_json::from_value(status).unwrap()))
}

#[tokio::test(start_paused = true)]
async fn a_pod_costs_one_patch_to_run_one_to_end_and_one_delete() {
    let world = World::start(&[]);
    world.send(ObjectEvent::Relisted(vec![object("u1", 1, json!({}))]));
    world.journal.wait_for("patch u1 Running").await;
    world.send(ObjectEvent::Applied(deleted("u1", 1001)));
    world.journal.wait_for("delete u1 30").await;
    world.tell(stopped("u1")).await;
    world.journal.wait_for("remove u1").await;
    world.send(ObjectEvent::Deleted(deleted("u1", 1002)));
    let journal = world.end().await;
    assert_eq!(journal, ["create u1", "patch u1 Running", "delete u1 30", "patch u1 Succeeded", "remove u1"]);
}

#[tokio::test(start_paused = true)]
async fn a_pod_recreated_under_the_name_of_one_that_stops_is_another_pod() {
    let world = World::start(&[]);
    world.send(ObjectEvent::Relisted(vec![object("u1", 1, json!({}))]));
    world.journal.wait_for("patch u1 Running").await;
    // The first one's DELETED was never seen.
    world.send(ObjectEvent::Applied(object("u2", 1005, json!({}))));
    world.journal.wait_for("patch u2 Running").await;
    world.tell(stopped("u1")).await;
    let journal = world.end().await;
    assert!(journal.contains(&"delete u1 0".to_owned()), "{journal:?}");
    assert!(!journal.iter().any(|entry| entry.starts_with("patch u1") && entry != "patch u1 Running"), "{journal:?}");
    assert_eq!(journal.iter().filter(|entry| entry.starts_with("patch u2")).count(), 1, "{journal:?}");
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_a_pod_that_both_sides_know_is_left_alone() {
    let first = World::start(&[]);
    first.send(ObjectEvent::Relisted(vec![object("u1", 1, json!({}))]));
    first.journal.wait_for("patch u1 Running").await;
    first.end().await;
    let status = {
        let pod = object("u1", 1, json!({}));
        let (baseline, report) = (PodStatus::default(), running());
        let now = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(k8s_openapi::jiff::Timestamp::UNIX_EPOCH);
        let facts = crate::status::Facts {
            pod: &pod,
            baseline: &baseline,
            report: Some(&report),
            held: None,
            failed: false,
            stopped: false,
            allocated: None,
            resize: None,
            probed: &crate::status::unprobed,
            host_ip: "10.0.0.1",
            now: &now,
        };
        crate::status::translate(&facts)
    };
    let second = World::start(&["u1"]);
    second.send(ObjectEvent::Relisted(vec![object("u1", 1001, json!({ "status": status }))]));
    assert_eq!(second.end().await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn an_orphan_is_deleted_only_when_a_complete_list_proves_it_dead() {
    let world = World::start(&["u1"]);
    world.send(ObjectEvent::Applied(object("u2", 1, json!({}))));
    world.journal.wait_for("patch u2 Running").await;
    world.tell(ProviderEvent::Resync).await;
    world.settle().await;
    assert!(!world.journal.read().iter().any(|entry| entry.starts_with("delete")), "{:?}", world.journal.read());
    world.send(ObjectEvent::Relisted(vec![object("u2", 1, json!({}))]));
    world.journal.wait_for("delete u1 0").await;
    let journal = world.end().await;
    assert!(!journal.iter().any(|entry| entry.contains("remove")), "{journal:?}");
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_was_running_and_is_unknown_after_a_restart_is_created_again_with_an_event() {
    let world = World::start(&[]);
    let status = json!({ "status": { "phase": "Running" } });
    world.send(ObjectEvent::Relisted(vec![object("u1", 1, status)]));
    // The API server holds Running already; only the rest of the status is written.
    world.journal.wait_for("patch u1 -").await;
    assert_eq!(world.end().await, ["event u1 ProviderLostPod", "create u1", "patch u1 -"]);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_may_not_restart_and_is_unknown_after_a_restart_fails() {
    let world = World::start(&[]);
    let extra = json!({ "spec": { "restartPolicy": "Never" }, "status": { "phase": "Running" } });
    world.send(ObjectEvent::Relisted(vec![object("u1", 1, extra)]));
    world.journal.wait_for("patch u1 Failed").await;
    assert_eq!(world.end().await, ["event u1 ProviderLostPod", "patch u1 Failed"]);
}

#[tokio::test(start_paused = true)]
async fn a_status_that_the_api_server_never_takes_does_not_hold_up_a_deletion() {
    let world = World::start(&[]);
    world.send(ObjectEvent::Relisted(vec![object("u1", 1, json!({}))]));
    world.journal.wait_for("patch u1 Running").await;
    world.journal.refuse.store(true, Ordering::Relaxed);
    world.send(ObjectEvent::Applied(deleted("u1", 1001)));
    world.journal.wait_for("delete u1 30").await;
    world.tell(stopped("u1")).await;
    world.journal.wait_for("remove u1").await;
    let journal = world.end().await;
    // First with the report, then without it, then not at all.
    assert_eq!(journal.iter().filter(|entry| entry.starts_with("refused")).count(), 2, "{journal:?}");
}

#[tokio::test(start_paused = true)]
async fn a_provider_records_events_on_its_own_pods_only_and_under_their_real_names() {
    let world = World::start(&[]);
    world.send(ObjectEvent::Relisted(vec![object("u1", 1, json!({}))]));
    world.journal.wait_for("patch u1 Running").await;
    for (uid, reason) in [("elsewhere", "Forged"), ("u1", "Pulled"), ("u1", "not a reason")] {
        let key = PodKey::new(uid, "kube-system", "forged");
        world
            .tell(ProviderEvent::PodEvent { key, warning: false, reason: reason.to_owned(), message: String::new() })
            .await;
    }
    let journal = world.end().await;
    let events: Vec<_> = journal.iter().filter(|entry| entry.starts_with("event")).collect();
    assert_eq!(events, ["event u1 Pulled", "event u1 ProviderEvent"]);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_nobody_drives_but_the_api_server_has_is_no_orphan() {
    let world = World::start(&[]);
    world.send(ObjectEvent::Relisted(vec![object("u1", 1, json!({}))]));
    world.journal.wait_for("patch u1 Running").await;
    // Its actor ends, as a panic would end it, and the API server has the pod again.
    world.send(ObjectEvent::Deleted(object("u1", 1, json!({}))));
    world.journal.wait_for("delete u1 0").await;
    world.tell(ProviderEvent::Gone(PodKey::new("u1", "n", "p"))).await;
    world.settle().await;
    world.send(ObjectEvent::Applied(object("u1", 1001, json!({ "status": { "phase": "Running" } }))));
    // The two sources are heard in no order: a comparison before the object would rightly find an orphan.
    world.settle().await;
    world.tell(ProviderEvent::Resync).await;
    let journal = world.end().await;
    assert_eq!(journal.iter().filter(|entry| entry.starts_with("delete")).count(), 1, "{journal:?}");
}

#[tokio::test(start_paused = true)]
async fn a_pod_missing_from_a_relist_is_stopped_and_its_object_is_not_touched() {
    let world = World::start(&[]);
    world.send(ObjectEvent::Relisted(vec![object("u1", 1, json!({}))]));
    world.journal.wait_for("patch u1 Running").await;
    world.send(ObjectEvent::Relisted(vec![]));
    world.journal.wait_for("delete u1 0").await;
    let journal = world.end().await;
    assert_eq!(journal, ["create u1", "patch u1 Running", "delete u1 0"]);
}

#[tokio::test(start_paused = true)]
async fn a_list_full_of_orphans_is_taken_on_in_portions() {
    let names: Vec<String> = (0..1000).map(|number| format!("u{number}")).collect();
    let world = World::start(&names.iter().map(String::as_str).collect::<Vec<_>>());
    world.send(ObjectEvent::Relisted(vec![]));
    for _ in 0..5 {
        world.tell(ProviderEvent::Resync).await;
        tokio::time::sleep(RESYNC_PACE).await;
    }
    let deletes = world.journal.count("delete");
    assert_eq!(deletes, orphans::MAX_ORPHANS, "a provider that keeps listing them gets no more of them at once");
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn all_orphans_of_a_provider_that_obeys_are_gone_in_the_end() {
    let names: Vec<String> = (0..1000).map(|number| format!("u{number}")).collect();
    let world = World::start(&names.iter().map(String::as_str).collect::<Vec<_>>());
    world.journal.obeys.store(true, Ordering::Relaxed);
    world.send(ObjectEvent::Relisted(vec![]));
    // Short of the periodic comparison: those that are left over have lists of their own.
    tokio::time::sleep(COMPARE_EVERY / 2).await;
    let journal = world.end().await;
    let deleted: HashSet<&String> = journal.iter().filter(|entry| entry.starts_with("delete")).collect();
    assert_eq!(deleted.len(), 1000, "each of them once");
}

#[tokio::test(start_paused = true)]
async fn an_orphan_that_the_provider_does_not_delete_costs_no_event() {
    let world = World::start(&["made-up"]);
    world.journal.defies.store(true, Ordering::Relaxed);
    world.send(ObjectEvent::Relisted(vec![]));
    world.journal.wait_for("delete made-up 0").await;
    assert_eq!(world.end().await, ["delete made-up 0"]);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_asks_for_comparisons_all_the_time_gets_one_a_second() {
    let world = World::start(&[]);
    world.send(ObjectEvent::Relisted(vec![]));
    for _ in 0..100 {
        world.tell(ProviderEvent::Resync).await;
        moment().await;
    }
    assert_eq!(
        world.journal.lists.load(Ordering::Relaxed),
        2,
        "the one at the start, and the first that was asked for"
    );
    tokio::time::sleep(RESYNC_PACE).await;
    assert_eq!(world.journal.lists.load(Ordering::Relaxed), 3, "the last that was asked for is not forgotten");
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn statuses_without_end_are_written_at_a_pace_and_the_newest_is_written_in_the_end() {
    let world = World::start(&[]);
    world.send(ObjectEvent::Relisted(vec![object("u1", 1, json!({}))]));
    world.journal.wait_for("patch u1 Running").await;
    for times in 1..=100 {
        world.tell(restarted("u1", times)).await;
        moment().await;
    }
    let burst = world.journal.count("patch u1");
    assert!((2..=11).contains(&burst), "{burst} writes");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(world.journal.count("patch u1") <= burst + 1, "one write for all that was told meanwhile");
    let restarts = world.journal.last_patch.lock().unwrap()["status"]["containerStatuses"][0]["restartCount"].clone();
    assert_eq!(restarts, 100);
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn the_first_end_of_a_pod_that_has_written_too_much_is_not_late_and_the_others_are_paced() {
    let world = World::start(&[]);
    world.send(ObjectEvent::Relisted(vec![object("u1", 1, json!({ "spec": { "restartPolicy": "Never" } }))]));
    world.journal.wait_for("patch u1 Running").await;
    for times in 1..=100 {
        world.tell(restarted("u1", times)).await;
        moment().await;
    }
    let before = world.journal.count("patch u1");
    for times in 101..=200 {
        world.tell(ended("u1", times)).await;
        moment().await;
        assert_eq!(world.journal.count("patch u1 Succeeded"), 1, "at once");
    }
    let after = world.journal.count("patch u1");
    assert!(after <= before + 2, "{before} writes, then {after}");
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_never_stops_telling_ends_does_not_hold_up_a_deletion() {
    // By the rules of a pod that restarts, no report but the first would be an end.
    let never = json!({ "spec": { "restartPolicy": "Never" } });
    let world = World::start(&[]);
    world.send(ObjectEvent::Relisted(vec![object("u1", 1, never.clone())]));
    world.journal.wait_for("patch u1 Running").await;
    for times in 1..=20 {
        world.tell(restarted("u1", times)).await;
        moment().await;
    }
    world.journal.slow.store(true, Ordering::Relaxed);
    world.send(ObjectEvent::Applied(object(
        "u1",
        1095,
        json!({ "spec": never["spec"], "metadata": deleted("u1", 1095).metadata }),
    )));
    world.journal.wait_for("delete u1 30").await;
    for times in 21..=200 {
        world.tell(ended("u1", times)).await;
        moment().await;
    }
    let journal = world.journal.read();
    world.end().await;
    let at = |entry: &str| journal.iter().position(|have| have == entry);
    assert!(at("patch u1 Succeeded").is_some() && at("patch u1 Succeeded") < at("remove u1"), "{journal:?}");
}

/// A pod with the ConfigMap `settings` as files.
fn with_files(uid: &str) -> Pod {
    object(uid, 1, json!({ "spec": { "volumes": [{ "name": "v", "configMap": { "name": "settings" } }] } }))
}

#[tokio::test(start_paused = true)]
async fn a_pod_whose_config_map_is_missing_waits_with_an_event_and_goes_on_by_itself() {
    let world = World::start(&[]);
    world.send(ObjectEvent::Relisted(vec![with_files("u1")]));
    world.journal.wait_for("event u1 FailedMount").await;
    world.settle().await;
    let message = world.journal.messages.lock().unwrap().join("");
    assert_eq!(message, "MountVolume.SetUp failed for volume \"v\" : configmap \"settings\" not found");
    assert_eq!(world.journal.count("create"), 0);
    world.cluster.put("settings", json!({ "k": "1" }));
    world.journal.wait_for("patch u1 Running").await;
    let journal = world.end().await;
    assert_eq!(journal.iter().filter(|entry| entry.starts_with("event")).count(), 1, "{journal:?}");
}

#[tokio::test(start_paused = true)]
async fn a_changed_config_map_reaches_the_provider_once_and_writes_nothing() {
    let world = World::start(&[]);
    world.cluster.put("settings", json!({ "k": "1" }));
    world.send(ObjectEvent::Relisted(vec![with_files("u1")]));
    world.journal.wait_for("patch u1 Running").await;
    world.cluster.put("settings", json!({ "k": "2" }));
    world.journal.wait_for("file u1 k=2").await;
    // The same again, and then gone: a running pod keeps what it has.
    world.cluster.put("settings", json!({ "k": "2" }));
    world.settle().await;
    world.cluster.config_map("settings").send_replace(Known::Missing);
    let journal = world.end().await;
    assert_eq!(journal, ["create u1", "patch u1 Running", "file u1 k=2", "event u1 FailedMount"]);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_waits_for_a_config_map_is_deleted_without_the_provider() {
    let world = World::start(&[]);
    world.send(ObjectEvent::Relisted(vec![with_files("u1")]));
    world.journal.wait_for("event u1 FailedMount").await;
    let mut pod = with_files("u1");
    pod.metadata = deleted("u1", 1001).metadata;
    world.send(ObjectEvent::Applied(pod));
    world.journal.wait_for("remove u1").await;
    let journal = world.end().await;
    assert!(!journal.iter().any(|entry| entry.starts_with("delete") || entry.starts_with("create")), "{journal:?}");
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_the_provider_gets_the_files_again_and_the_api_server_hears_nothing() {
    let world = World::start(&["u1"]);
    world.cluster.put("settings", json!({ "k": "2" }));
    let mut pod = with_files("u1");
    pod.status = Some(running());
    world.send(ObjectEvent::Relisted(vec![pod]));
    world.journal.wait_for("file u1 k=2").await;
    assert_eq!(world.journal.count("create"), 0);
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_asks_for_more_than_there_is_fails_as_on_a_kubelet() {
    let world = World::start(&[]);
    let wants = |cpu: &str| {
        let container = json!({ "name": "c", "image": "i", "resources": { "requests": { "cpu": cpu } } });
        json!({ "spec": { "containers": [container] } })
    };
    world.send(ObjectEvent::Relisted(vec![object("u1", 1, wants("3"))]));
    world.journal.wait_for("patch u1 Running").await;
    let mut second = object("u2", 1, wants("2"));
    second.metadata.name = Some("q".to_owned());
    world.send(ObjectEvent::Applied(second.clone()));
    world.journal.wait_for("patch u2 Failed").await;
    let status = world.journal.last_patch.lock().unwrap()["status"].clone();
    assert_eq!(status["reason"], "OutOfcpu");
    let message =
        "Pod was rejected: Node didn't have enough resource: cpu, requested: 2000, used: 3000, capacity: 4000";
    assert_eq!(status["message"], message);
    // A DaemonSet's pod waits instead, and starts when there is room.
    let owner = json!([{ "apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "d", "controller": true }]);
    let mut third = object("u3", 1, wants("2"));
    third.metadata.name = Some("r".to_owned());
    third.metadata.owner_references = serde_json::from_value(owner).unwrap();
    world.send(ObjectEvent::Applied(third));
    world.journal.wait_for("event u3 OutOfcpu").await;
    world.settle().await;
    assert_eq!(world.journal.count("create u3"), 0);
    world.send(ObjectEvent::Deleted(object("u1", 1, wants("3"))));
    world.journal.wait_for("delete u1 0").await;
    world.tell(ProviderEvent::Gone(PodKey::new("u1", "n", "p"))).await;
    world.journal.wait_for("patch u3 Running").await;
    let journal = world.end().await;
    assert_eq!(journal.iter().filter(|entry| entry.starts_with("event u3")).count(), 1, "{journal:?}");
    assert!(!journal.contains(&"patch u3 Failed".to_owned()), "{journal:?}");
}

#[tokio::test(start_paused = true)]
async fn a_pod_past_its_active_deadline_is_stopped_then_failed_and_its_object_stays() {
    let world = World::start(&[]);
    let now = k8s_openapi::jiff::Timestamp::now().to_string();
    let extra = json!({ "spec": { "activeDeadlineSeconds": 60 }, "status": { "startTime": now } });
    world.send(ObjectEvent::Relisted(vec![object("u1", 1, extra)]));
    world.journal.wait_for("delete u1 30").await;
    world.tell(stopped("u1")).await;
    world.journal.wait_for("patch u1 Failed").await;
    let status = world.journal.last_patch.lock().unwrap()["status"].clone();
    assert_eq!(status["reason"], "DeadlineExceeded");
    let journal = world.end().await;
    assert_eq!(
        journal,
        ["create u1", "patch u1 Running", "event u1 DeadlineExceeded", "delete u1 30", "patch u1 Failed"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_resize_that_the_provider_refuses_is_answered_and_the_answer_goes_away_with_it() {
    let world = World::start(&[]);
    let wants = |cpu: &str, generation: i64| {
        let container = json!({ "name": "c", "image": "i", "resources": { "requests": { "cpu": cpu } } });
        json!({ "spec": { "containers": [container] }, "metadata": { "generation": generation } })
    };
    world.journal.refuses_updates.store(true, Ordering::Relaxed);
    world.send(ObjectEvent::Relisted(vec![object("u1", 1, wants("1", 1))]));
    world.journal.wait_for("patch u1 Running").await;
    world.send(ObjectEvent::Applied(object("u1", 2, wants("2", 2))));
    world.journal.wait_for("event u1 ProviderUnsupported").await;
    world.settle().await;
    let status = world.journal.last_patch.lock().unwrap()["status"].clone();
    let pending: Vec<_> =
        status["conditions"].as_array().unwrap().iter().filter(|c| c["type"] == "PodResizePending").collect();
    assert_eq!((&pending[0]["status"], &pending[0]["reason"]), (&json!("True"), &json!("Infeasible")), "{status}");
    assert_eq!(pending[0]["observedGeneration"], 2);
    world.send(ObjectEvent::Applied(object("u1", 3, wants("1", 3))));
    world.settle().await;
    let status = world.journal.last_patch.lock().unwrap()["status"].clone();
    assert!(
        status["conditions"].as_array().unwrap().contains(&json!({ "$patch": "delete", "type": "PodResizePending" })),
        "{status}"
    );
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_failed_before_a_restart_is_left_as_it_is() {
    let world = World::start(&[]);
    let status = json!({ "phase": "Failed", "reason": "OutOfcpu", "message": "Pod was rejected: full" });
    world.send(ObjectEvent::Relisted(vec![object("u1", 1, json!({ "status": status }))]));
    assert_eq!(world.end().await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn an_object_that_appears_while_its_absence_is_being_told_is_not_missed() {
    for _ in 0..50 {
        let world = World::start(&[]);
        let mut pod = with_files("u1");
        let named = json!([{ "configMapRef": { "name": "more", "optional": true } }]);
        pod.spec.as_mut().unwrap().containers[0].env_from = serde_json::from_value(named).unwrap();
        world.send(ObjectEvent::Relisted(vec![pod]));
        // In the same breath: whichever of watch and call is polled first, the pod must end up running.
        tokio::task::yield_now().await;
        world.cluster.put("more", json!({ "a": "1" }));
        tokio::task::yield_now().await;
        world.cluster.put("settings", json!({ "k": "1" }));
        world.journal.wait_for("patch u1 Running").await;
        world.end().await;
    }
}
