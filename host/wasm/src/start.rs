//! From options to a running supervisor.
//!
//! In: [`ProviderOptions`]. Out: [`Started`], or a [`StartError`] that no retry would mend. Invariant: whatever fails here, nothing is
//! left running.

use std::path::PathBuf;
use std::sync::Arc;

use pluglet_egress::{BindError, Egress, Missing, Rights, intersect};
use pluglet_model::provider::{EventReceiver, Health};
use tokio::runtime::Builder;
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};
use wasmtime::component::Linker;

use crate::artifact::{self, Artifact, ArtifactError, Source};
use crate::bindings::ProviderPre;
use crate::capabilities::kv::{Kv, OpenError};
use crate::capabilities::log::Logger;
use crate::dispatch::Dispatch;
use crate::engine::{self, EngineError};
use crate::events::QUEUED_EVENTS;
use crate::handoff::Handoff;
use crate::inspect::{InspectError, Inspection};
use crate::limits::MAX_CONCURRENCY;
use crate::options::ProviderOptions;
use crate::provider::Rooms;
use crate::state::{self, Capabilities, State};
use crate::supervisor::backoff::Backoff;
use crate::supervisor::publish::Publisher;
use crate::supervisor::{Stop, Supervisor};

/// Threads of one provider. Its store runs on one of them at a time; the other serves timers, connections and events meanwhile.
const WORKERS: usize = 2;

/// Why a provider cannot be started. Nothing of this mends itself.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A name that would become a file name.
    #[error(
        "{what} `{name}` may only have letters, digits, `.`, `_` and `-`, must not start with a dot, and has 1 to 253 of them"
    )]
    Name {
        /// Which name.
        what: &'static str,
        /// As given.
        name: String,
    },
    /// No threads.
    #[error("cannot start the provider's threads")]
    Threads(#[source] std::io::Error),
    /// No engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The file cannot be a provider.
    #[error("{}", component.display())]
    Inspect {
        /// Which file.
        component: PathBuf,
        /// Why.
        #[source]
        source: InspectError,
    },
    /// The component does not compile.
    #[error("cannot load {}", component.display())]
    Compile {
        /// Which file.
        component: PathBuf,
        /// Why.
        #[source]
        source: ArtifactError,
    },
    /// Imports or exports do not have the types that the contract gives them.
    #[error("{} does not fit this pluglet", component.display())]
    Link {
        /// Which file.
        component: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It needs more than it is granted.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Missing(Vec<Missing>),
    /// An endpoint.
    #[error(transparent)]
    Endpoint(#[from] BindError),
    /// The state directory.
    #[error("the provider's memory cannot be opened")]
    State(#[from] OpenError),
    /// The provider answered `invalid`.
    #[error("the provider refuses its configuration: {0}")]
    Refused(String),
    /// A bug.
    #[error("preparing the provider failed inside pluglet")]
    Internal,
}

/// A supervisor at work, and the ends that lead to it.
pub(crate) struct Started {
    pub(crate) dispatch: Arc<Dispatch>,
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) health: watch::Receiver<Health>,
    pub(crate) orders: mpsc::Sender<Stop>,
    pub(crate) events: EventReceiver,
    pub(crate) rooms: Rooms,
}

/// What takes long or blocks, done before anything runs.
struct Prepared {
    pre: ProviderPre<State>,
    capabilities: Capabilities,
    handoff: Handoff,
    options: ProviderOptions,
}

/// Load, link and start; returns when the first start is over.
pub(crate) async fn start(options: ProviderOptions) -> Result<Started, StartError> {
    check_name("the provider's name", &options.name)?;
    check_name("the node's name", &options.node_name)?;
    let runtime = Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .thread_name("pluglet-provider")
        .enable_all()
        .build()
        .map_err(StartError::Threads)?;
    let handle = runtime.handle().clone();
    let rooms = Rooms::new(runtime);
    let prepared = handle.spawn_blocking(move || prepare(options)).await.map_err(|_| StartError::Internal)??;

    let Prepared { pre, capabilities, handoff, options } = prepared;
    let mut limits = options.limits;
    limits.concurrency = limits.concurrency.clamp(1, MAX_CONCURRENCY);
    let (publisher, seen) = Publisher::new(capabilities.metrics.clone());
    let dispatch = Arc::new(Dispatch::new(seen.phase, limits.concurrency, capabilities.metrics.quarantined.clone()));
    let (events, events_seen) = mpsc::channel(QUEUED_EVENTS);
    let (orders, orders_seen) = mpsc::channel(1);
    let publisher = Arc::new(publisher);
    let supervisor = Supervisor {
        pre,
        capabilities,
        limits,
        node_name: options.node_name,
        cluster_id: options.cluster_id,
        config_json: options.config_json,
        handoff,
        dispatch: Arc::clone(&dispatch),
        publisher: Arc::clone(&publisher),
        events,
        orders: orders_seen,
        backoff: Backoff::default(),
    };
    // Its end is seen through the phase and the health, and the runtime ends it in any case.
    drop(handle.spawn(supervisor.run()));
    match seen.first.await {
        Ok(Err(message)) => Err(StartError::Refused(message)),
        // Without a word the supervisor is gone; the health says so.
        Ok(Ok(())) | Err(_) => {
            Ok(Started { dispatch, publisher, health: seen.health, orders, events: events_seen, rooms })
        }
    }
}

fn prepare(options: ProviderOptions) -> Result<Prepared, StartError> {
    let engine = engine::shared()?;
    let component = options.component.clone();
    let source = Source {
        name: &options.name,
        path: &options.component,
        state_dir: &options.state_dir,
        compiler: &options.compiler,
        limits: &options.limits,
    };
    let Artifact { component: code, inspection, cached } =
        artifact::load(engine, &source).map_err(|error| match error {
            ArtifactError::Inspect(source) => StartError::Inspect { component: component.clone(), source },
            source => StartError::Compile { component: component.clone(), source },
        })?;
    let link = |error: wasmtime::Error| StartError::Link { component: component.clone(), source: error.into() };
    let mut linker = Linker::new(engine);
    state::link(&mut linker).map_err(link)?;
    let pre = ProviderPre::new(linker.instantiate_pre(&code).map_err(link)?).map_err(link)?;

    let rights = rights(&options, &inspection)?;
    let metrics = options.metrics.of(&options.name);
    let outbound = &options.limits.outbound;
    let capabilities = Capabilities {
        egress: Arc::new(Egress::new(&options.name, rights, outbound, options.metrics.egress())?),
        kv: Arc::new(Kv::open(&options.state_dir, &options.node_name, &options.name, options.limits.kv_bytes)?),
        logger: Logger::new(&options.name, &options.limits, metrics.log_lines_dropped.clone()),
        metrics,
    };
    let handoff = Handoff::new(&options.state_dir, &options.node_name, &options.name);
    let (name, version) =
        inspection.manifest.as_ref().map_or(("", ""), |manifest| (&*manifest.name, &*manifest.version));
    info!(provider = options.name, name, version, contract = inspection.contract, cached, "provider loaded");
    Ok(Prepared { pre, capabilities, handoff, options })
}

/// What the manifest asks for and the operator grants. A component without a manifest asks for nothing.
fn rights(options: &ProviderOptions, inspection: &Inspection) -> Result<Rights, StartError> {
    let needs = inspection.manifest.as_ref().map(|manifest| manifest.endpoints.as_slice()).unwrap_or_default();
    let rights = intersect(needs, &options.grants).map_err(StartError::Missing)?;
    for name in &rights.unasked {
        warn!(
            provider = options.name,
            endpoint = name,
            "an endpoint is granted that the provider's manifest does not ask for"
        );
    }
    for need in &rights.optional {
        info!(provider = options.name, endpoint = need.name, why = need.why, "an optional endpoint is not granted");
    }
    Ok(rights)
}

/// Names become parts of paths under the state directory: `../..` must not be one.
fn check_name(what: &'static str, name: &str) -> Result<(), StartError> {
    let fits = !name.is_empty()
        && name.len() <= 253
        && !name.starts_with('.')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    if fits { Ok(()) } else { Err(StartError::Name { what, name: name.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_the_state_directory() {
        for name in ["", ".", "..", "../../etc/passwd", "a/b", "a b", "ä", ".hidden"] {
            assert!(check_name("name", name).is_err(), "{name:?}");
        }
        for name in ["aci", "node-1.example.com", "a_b"] {
            check_name("name", name).unwrap();
        }
    }
}
