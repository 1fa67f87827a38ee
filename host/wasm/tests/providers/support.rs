//! What the tests share: where components are, and a provider with its events.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use pluglet_model::provider::{Error, EventReceiver, Health, LogRequest, LogStream, Provider, ProviderEvent};
use pluglet_model::{PodKey, PodPlan, chain};
use pluglet_wasm::{Limits, Metrics, ProviderOptions, StartError, WasmProvider};

/// After this a test that waits for an event is taken to hang. Far beyond anything that works.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The component of that name.
pub(crate) fn component(name: &str) -> PathBuf {
    let directory = std::env::var_os("PLUGLET_COMPONENTS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/wasm32-wasip2/component"),
        PathBuf::from,
    );
    let path = directory.join(format!("{name}.wasm"));
    assert!(path.is_file(), "{} is missing: run `cargo xtask build-plugins`", path.display());
    path
}

/// A directory for all tests, so that each component is compiled once.
pub(crate) fn shared_state() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("providers")
}

/// Options for a provider with a node name, and so a memory, of its own.
pub(crate) fn options(plugin: &str) -> ProviderOptions {
    static NODES: AtomicU32 = AtomicU32::new(0);
    let node_name = format!("node-{}-{}", std::process::id(), NODES.fetch_add(1, Ordering::Relaxed));
    ProviderOptions {
        name: plugin.to_owned(),
        component: component(plugin),
        node_name,
        cluster_id: "cluster".to_owned(),
        config_json: "{}".to_owned(),
        grants: BTreeMap::new(),
        state_dir: shared_state(),
        limits: Limits::default(),
        compiler: env!("CARGO_BIN_EXE_compile-component").into(),
        metrics: Metrics::default(),
    }
}

/// A running provider and what it tells.
pub(crate) struct Running {
    pub(crate) provider: WasmProvider,
    events: EventReceiver,
    memory: PathBuf,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Left over when the test failed; the next run has other names.
        let _ = std::fs::remove_dir_all(&self.memory);
    }
}

/// Start, and expect that the provider is up.
pub(crate) async fn start(options: ProviderOptions) -> Running {
    let running = try_start(options).await.unwrap_or_else(|error| panic!("{}", chain(&error)));
    let health = running.provider.health().borrow().clone();
    assert_eq!(health.failure, None);
    running
}

pub(crate) async fn try_start(options: ProviderOptions) -> Result<Running, StartError> {
    let memory = options.state_dir.join("kv").join(&options.node_name);
    let (provider, events) = WasmProvider::start(options).await?;
    Ok(Running { provider, events, memory })
}

/// Wait, but not for ever.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("still waiting for {what}"))
}

impl Running {
    /// The next event for which `pick` gives something; the others are skipped.
    pub(crate) async fn event<T>(&mut self, what: &str, mut pick: impl FnMut(ProviderEvent) -> Option<T>) -> T {
        within(what, async {
            loop {
                let event = self.events.recv().await.unwrap_or_else(|| panic!("no more events, waiting for {what}"));
                if let Some(picked) = pick(event) {
                    return picked;
                }
            }
        })
        .await
    }

    /// The next status of that pod for which `good` holds.
    pub(crate) async fn status_where(&mut self, uid: &str, good: impl Fn(&PodStatus) -> bool) -> PodStatus {
        self.event(&format!("a status of {uid}"), |event| match event {
            ProviderEvent::Status(key, status) if &*key.uid == uid && good(&status) => Some(*status),
            _ => None,
        })
        .await
    }

    pub(crate) async fn health_where(&self, what: &str, good: impl FnMut(&Health) -> bool) -> Health {
        let mut health = self.provider.health();
        within(what, health.wait_for(good)).await.unwrap().clone()
    }

    /// Create as the host would: again and again while the provider is being restarted.
    pub(crate) async fn create_patiently(&self, plan: &PodPlan) -> Result<PodStatus, Error> {
        loop {
            match self.provider.create(plan).await {
                Err(Error::Restarting(_) | Error::Unavailable { .. }) => {}
                done => return done,
            }
        }
    }

    pub(crate) async fn logs(&self, uid: &str, follow: bool) -> Result<LogStream, Error> {
        self.provider
            .logs(&key(uid), LogRequest { container: "main".to_owned(), follow, ..LogRequest::default() })
            .await
    }

    pub(crate) async fn stop(self) {
        within("the stop", self.provider.stop(Duration::from_secs(5))).await;
    }
}

/// The pod of that UID. Its name is its UID too.
pub(crate) fn key(uid: &str) -> PodKey {
    PodKey::new(uid, "default", uid)
}

/// A pod with one container and these annotations of the mock.
pub(crate) fn plan(uid: &str, script: &[(&str, &str)]) -> PodPlan {
    let annotations =
        script.iter().map(|(name, value)| (format!("mock.pluglet.dev/{name}"), (*value).to_owned())).collect();
    let container =
        Container { name: "main".to_owned(), image: Some("example.com/app:1".to_owned()), ..Container::default() };
    let pod = Pod {
        metadata: ObjectMeta {
            uid: Some(uid.to_owned()),
            namespace: Some("default".to_owned()),
            name: Some(uid.to_owned()),
            generation: Some(1),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec { containers: vec![container], ..PodSpec::default() }),
        status: None,
    };
    PodPlan { key: key(uid), generation: 1, pod: pod.into(), volumes: Vec::new(), registry_credentials: Vec::new() }
}

/// The UIDs of a list, sorted.
pub(crate) async fn listed(provider: &WasmProvider) -> Vec<String> {
    let mut uids: Vec<String> =
        provider.list().await.unwrap().into_iter().map(|(key, _)| key.uid.to_string()).collect();
    uids.sort();
    uids
}

pub(crate) fn phase(status: &PodStatus) -> &str {
    status.phase.as_deref().unwrap_or_default()
}
