//! When what is written, against a store that only records.

use std::net::Ipv4Addr;
use std::sync::Mutex;

use async_trait::async_trait;
use futures::stream;
use pluglet_model::provider::Info;
use serde_json::Value;

use super::*;

/// Records patches; the node is as it was created.
#[derive(Default)]
struct Recorder {
    patches: Mutex<Vec<(Instant, Value)>>,
    /// Those of labels and taints.
    meta: Mutex<Vec<Value>>,
    /// No write of a status succeeds.
    fails: bool,
}

#[async_trait]
impl NodeStore for Recorder {
    async fn create(&self, _: &Node) -> Result<Option<String>, NodeError> {
        Ok(None)
    }
    async fn patch(&self, patch: Value) -> Result<(), NodeError> {
        self.meta.lock().unwrap().push(patch);
        Ok(())
    }
    async fn patch_status(&self, patch: Value) -> Result<(), NodeError> {
        self.patches.lock().unwrap().push((Instant::now(), patch));
        if self.fails { Err(NodeError::Failed("no".to_owned())) } else { Ok(()) }
    }
    async fn renew_lease(&self, _: &str) -> Result<(), NodeError> {
        Ok(())
    }
    async fn delete(&self, _: &str) -> Result<(), NodeError> {
        Ok(())
    }
}

fn settings() -> Settings {
    Settings {
        name: "virtual".to_owned(),
        provider: "mock".to_owned(),
        address: Ipv4Addr::LOCALHOST.into(),
        port: 10250,
        kubelet_version: desired::kubelet_version(None),
        labels: [].into(),
        taints: None,
        provider_tolerance: Duration::from_secs(300),
    }
}

/// `Ready` in a patch, and when it was written.
fn readiness(recorder: &Recorder, start: Instant) -> Vec<(u64, String)> {
    let patches = recorder.patches.lock().unwrap();
    let ready = |patch: &Value| {
        let conditions = patch["status"]["conditions"].as_array().unwrap();
        conditions.iter().find(|condition| condition["type"] == "Ready").unwrap()["status"].as_str().unwrap().to_owned()
    };
    patches.iter().map(|(at, patch)| (at.duration_since(start).as_secs(), ready(patch))).collect()
}

fn told() -> Told {
    Told { uid: watch::Sender::new(None), object: watch::Sender::new(None) }
}

#[tokio::test(start_paused = true)]
async fn the_node_is_unready_only_after_the_tolerance() {
    let well = Health { info: Some(Info::default()), ..Health::default() };
    let away = Health { failure: Some("wasm trap".to_owned()), ..well.clone() };
    let node = desired::object(&settings(), &well, &Time(Timestamp::UNIX_EPOCH));
    let (tell, health) = watch::channel(well);
    let recorder = Arc::new(Recorder::default());
    let nodes = stream::iter([Some(node)]).chain(stream::pending()).boxed();
    let cancel = CancellationToken::new();
    let start = Instant::now();
    let play = async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        tell.send_replace(away);
        // Short of the heartbeat at 300 s and of the tolerance at 310 s, then past both.
        tokio::time::sleep(Duration::from_secs(285)).await;
        assert!(
            readiness(&recorder, start).iter().any(|(at, _)| *at == 10),
            "that the provider is away is told at once"
        );
        tokio::time::sleep(Duration::from_secs(20)).await;
        cancel.cancel();
    };
    let store: Arc<dyn NodeStore> = recorder.clone();
    let running = run(settings(), store, nodes, health, told(), cancel.clone());
    futures::future::join(running, play).await;
    let told = readiness(&recorder, start);
    let expected = [(10, "True"), (300, "True"), (310, "False")];
    assert_eq!(
        told,
        expected.map(|(at, ready)| (at, ready.to_owned())),
        "the outage, the heartbeat, the end of patience"
    );
}

fn with(change: impl FnOnce(&mut NodeFacts)) -> Health {
    let mut info = Info::default();
    change(&mut info.node);
    Health { info: Some(info), ..Health::default() }
}

fn cpus(number: u32) -> Health {
    with(|facts| facts.capacity = [("cpu".to_owned(), number.to_string())].into())
}

/// Plays against a reconciler that registers the node and then sees it.
async fn play<F: Future>(
    recorder: &Arc<Recorder>,
    first: Health,
    play: impl FnOnce(watch::Sender<Health>) -> F,
) -> F::Output {
    let node = desired::object(&settings(), &first, &Time(Timestamp::UNIX_EPOCH));
    let (tell, health) = watch::channel(first);
    let cancel = CancellationToken::new();
    let store: Arc<dyn NodeStore> = recorder.clone();
    let nodes = stream::iter([None, Some(node)]).chain(stream::pending()).boxed();
    let running = run(settings(), store, nodes, health, told(), cancel.clone());
    let played = async {
        let outcome = play(tell).await;
        cancel.cancel();
        outcome
    };
    futures::future::join(running, played).await.1
}

async fn seconds(number: u64) {
    tokio::time::sleep(Duration::from_secs(number)).await;
}

#[tokio::test(start_paused = true)]
async fn facts_that_change_all_the_time_are_written_at_a_pace_and_health_at_once() {
    let recorder = Arc::new(Recorder::default());
    let start = Instant::now();
    play(&recorder, cpus(1), async |tell| {
        seconds(1).await;
        for number in 2..100 {
            tell.send_replace(cpus(number));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        seconds(2).await;
        tell.send_modify(|health| health.failure = Some("away".to_owned()));
        seconds(20).await;
    })
    .await;
    let patches = recorder.patches.lock().unwrap();
    let told: Vec<_> = patches
        .iter()
        .map(|(at, patch)| {
            let cpu = patch["status"]["capacity"]["cpu"].as_str().unwrap().to_owned();
            (at.duration_since(start).as_secs(), cpu, patch.to_string().contains("ProviderFailed"))
        })
        .collect();
    let expected = [(1, "2", false), (3, "2", true), (11, "99", true)];
    assert_eq!(told, expected.map(|(at, cpu, failed)| (at, cpu.to_owned(), failed)));
}

#[tokio::test(start_paused = true)]
async fn a_provider_cannot_have_a_write_that_fails_tried_again_sooner() {
    let recorder = Arc::new(Recorder { fails: true, ..Recorder::default() });
    play(&recorder, cpus(1), async |tell| {
        for number in 2..1000 {
            tell.send_replace(cpus(number));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let tries = recorder.patches.lock().unwrap().len();
    assert!((2..10).contains(&tries), "{tries} in ten seconds");
}

#[tokio::test(start_paused = true)]
async fn a_label_that_the_provider_registered_with_goes_when_it_is_dropped() {
    let recorder = Arc::new(Recorder::default());
    let first = with(|facts| facts.labels = [("old".to_owned(), "v".to_owned())].into());
    play(&recorder, first, async |tell| {
        seconds(1).await;
        tell.send_replace(with(|_| {}));
        seconds(1).await;
    })
    .await;
    let patches = recorder.meta.lock().unwrap();
    assert_eq!(*patches, [serde_json::json!({ "metadata": { "labels": { "old": null } } })]);
}
