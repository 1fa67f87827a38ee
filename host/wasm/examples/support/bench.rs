//! What the benches share: a provider that is told what to do, and a server.
//!
//! In: a plugin's name and changes to its options. Out: [`Provided`]. Invariant: the program is its own compiler, as pluglet is; the server has
//! a thread of its own, so that it is the same for whoever talks to it.
#![allow(dead_code, reason = "shared by benches, each of which uses its part")]

use std::collections::BTreeMap;
use std::error::Error;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Path as UrlPath;
use axum::routing::{get, post};
use bytes::Bytes;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use pluglet_model::provider::{EventReceiver, Provider};
use pluglet_model::{PodKey, PodPlan};
use pluglet_wasm::{Limits, Metrics, ProviderOptions, WasmProvider, compile};
use serde_json::Value;
use tokio::sync::Mutex;

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Run a bench, unless this process was started to compile.
pub(crate) fn run<F: Future<Output = Result<()>>>(bench: impl FnOnce() -> F) -> Result<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == compile::COMMAND) {
        return Ok(compile::main(arguments));
    }
    tokio::runtime::Runtime::new()?.block_on(bench())?;
    Ok(ExitCode::SUCCESS)
}

/// A running provider.
pub(crate) struct Provided {
    pub(crate) provider: WasmProvider,
    pub(crate) events: Mutex<EventReceiver>,
    _state: tempfile::TempDir,
}

impl Provided {
    pub(crate) async fn start(plugin: &str, change: impl FnOnce(&mut ProviderOptions)) -> Result<Self> {
        let state = tempfile::tempdir()?;
        let components = std::env::var_os("PLUGLET_COMPONENTS").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/wasm32-wasip2/component"),
            PathBuf::from,
        );
        let mut options = ProviderOptions {
            name: plugin.to_owned(),
            component: components.join(format!("{plugin}.wasm")),
            node_name: "bench".to_owned(),
            cluster_id: "cluster".to_owned(),
            config_json: "{}".to_owned(),
            grants: BTreeMap::new(),
            state_dir: state.path().to_owned(),
            limits: Limits::default(),
            compiler: std::env::current_exe()?,
            metrics: Metrics::default(),
        };
        change(&mut options);
        let (provider, events) = WasmProvider::start(options).await?;
        Ok(Self { provider, events: Mutex::new(events), _state: state })
    }

    /// Do one thing and tell what was seen.
    pub(crate) async fn perform(&self, instruction: &Value) -> Result<Value> {
        let plan = plan(Some(&Value::Array(vec![instruction.clone()])));
        let status = self.provider.create(&plan).await?;
        let seen: Vec<Value> = serde_json::from_str(status.message.as_deref().unwrap_or("[]"))?;
        self.provider.delete(&plan.key, Duration::ZERO).await?;
        seen.into_iter().next().ok_or_else(|| "nothing was seen".into())
    }

    pub(crate) async fn stop(self) {
        self.provider.stop(Duration::from_secs(5)).await;
    }
}

/// A pod with one container, and instructions if it shall do something bad.
pub(crate) fn plan(instructions: Option<&Value>) -> PodPlan {
    static PODS: AtomicU32 = AtomicU32::new(0);
    let uid = format!("8b1c7f0e-2f9a-4a64-9e4c-{:012}", PODS.fetch_add(1, Ordering::Relaxed));
    let annotations = instructions.map(|todo| [("hostile.pluglet.dev/do".to_owned(), todo.to_string())].into());
    let pod = Pod {
        metadata: ObjectMeta {
            uid: Some(uid.clone()),
            namespace: Some("default".to_owned()),
            name: Some(uid.clone()),
            generation: Some(1),
            annotations,
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec {
            containers: vec![Container { name: "main".to_owned(), ..Container::default() }],
            ..PodSpec::default()
        }),
        status: None,
    };
    let key = PodKey::new(&uid, "default", &uid);
    PodPlan { key, generation: 1, pod: pod.into(), volumes: Vec::new(), registry_credentials: Vec::new() }
}

/// Whether the pod runs.
pub(crate) fn is_running(status: &PodStatus) -> bool {
    status.phase.as_deref() == Some("Running")
}

/// A server that echoes what is posted and streams what is asked for, on a thread of its own.
pub(crate) fn serve() -> Result<SocketAddr> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    std::thread::Builder::new().name("server".to_owned()).spawn(move || {
        let router = Router::new()
            .route("/granted/echo", post(async |body: Bytes| body))
            .route("/granted/stream/{bytes}", get(stream));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async { axum::serve(tokio::net::TcpListener::from_std(listener)?, router).await })
    })?;
    Ok(address)
}

async fn stream(UrlPath(bytes): UrlPath<usize>) -> Body {
    const CHUNK: usize = 256 << 10;
    static ZEROES: [u8; CHUNK] = [0; CHUNK];
    let chunks = std::iter::repeat_n(Ok::<_, std::convert::Infallible>(Bytes::from_static(&ZEROES)), bytes / CHUNK);
    Body::from_stream(futures::stream::iter(chunks))
}
