//! When what is written, against a store that only records.

use std::net::Ipv4Addr;
use std::sync::Mutex;

use async_trait::async_trait;
use futures::stream;
use pluglet_model::provider::Info;
use serde_json::Value;

use super::*;

/// Records status patches; the node is as it was created.
#[derive(Default)]
struct Recorder {
    patches: Mutex<Vec<(Instant, Value)>>,
}

#[async_trait]
impl NodeStore for Recorder {
    async fn create(&self, _: &Node) -> Result<Option<String>, NodeError> {
        Ok(None)
    }
    async fn patch(&self, _: Value) -> Result<(), NodeError> {
        Ok(())
    }
    async fn patch_status(&self, patch: Value) -> Result<(), NodeError> {
        self.patches.lock().unwrap().push((Instant::now(), patch));
        Ok(())
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
    let running = run(settings(), store, nodes, health, watch::channel(None).0, cancel.clone());
    futures::future::join(running, play).await;
    let told = readiness(&recorder, start);
    let expected = [(10, "True"), (300, "True"), (310, "False")];
    assert_eq!(
        told,
        expected.map(|(at, ready)| (at, ready.to_owned())),
        "the outage, the heartbeat, the end of patience"
    );
}
