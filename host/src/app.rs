//! The one wiring function: builds everything in the order of its dependencies, waits, and takes it down again.
//!
//! In: the command line. Out: an exit code: 0 done, 1 failed, 2 used wrongly (flags, files, components; nothing was registered).
//! Invariant: all that can be wrong with the operator's input is found before the API server hears of this node.

mod error;
mod shutdown;
mod trust;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;
use pluglet_model::provider::{EventReceiver, Provider};
use pluglet_rules::runtime::sandbox::NodeNames;
use pluglet_wasm::{Limits, Metrics, ProviderOptions, WasmProvider, compile};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tracing::{error, info};

use crate::api::access::AccessReviews;
use crate::api::client::{self, Clients};
use crate::api::node::ClusterNode;
use crate::api::objects::ClusterObjects;
use crate::api::pods::ClusterPods;
use crate::api::{cluster, events, watch as pod_watch};
use crate::args::{Check, Cli, Command, ProbeMode, ProviderCommand, Run};
use crate::config::{Config, Document};
use crate::containers;
use crate::containers::collector;
use crate::containers::driver::{Driver, QUEUED_EVENTS};
use crate::kubelet::auth::Remembering;
use crate::kubelet::routes::{self, Rooms};
use crate::kubelet::server;
use crate::kubelet::streaming::Places;
use crate::kubelet::tls::{self, Authorities};
use crate::kubelet::usage::Usage;
use crate::node::desired::{self, Settings};
use crate::node::reconcile::Told;
use crate::node::{lease, reconcile};
use crate::objects::Objects;
use crate::pods::actor::{NodeIdentity, Shared};
use crate::pods::dispatch;
use crate::pods::view::PodsView;
use crate::probes::{NodeRunner, Prober, Reach, Results};
use crate::providers::{self, Found};
use crate::tasks::Tasks;
use crate::telemetry;
use error::{Error, report};
use trust::Serving;

/// Runs the command line; answers how it went.
#[must_use]
pub fn main() -> ExitCode {
    // Before anything else: this process may be the compiler of another one, with little memory and no files to open.
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == compile::COMMAND) {
        return compile::main(arguments);
    }
    let cli = Cli::read();
    let outcome = match cli.command {
        Command::Run(run) => node(*run),
        Command::Provider(ProviderCommand::List { plugin_dir }) => {
            providers::list(&plugin_dir).map(|table| show(&table)).map_err(Error::Provider)
        }
        Command::Provider(ProviderCommand::Inspect { provider, plugin_dir }) => {
            let limit = Limits::default().component_bytes;
            let found = providers::find(&provider, &plugin_dir, limit).map_err(Error::Provider);
            found.map(|found| show(&providers::describe(&found)))
        }
        Command::Provider(ProviderCommand::Check(check)) => check_provider(&check),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            error.exit_code()
        }
    }
}

/// Prints to standard output. A reader that went away, as `head` does, is no failure.
fn show(text: &str) {
    use std::io::Write;
    std::io::stdout().write_all(text.as_bytes()).ok();
}

/// What is right is shown also when something else is wrong.
fn check_provider(check: &Check) -> Result<(), Error> {
    let (found, config) = decide(&check.provider, &check.plugin_dir, check.config.as_deref(), &check.endpoints)?;
    let checked = providers::check::check(&found, &config);
    show(&checked.text);
    checked.failure.map_or(Ok(()), |failure| Err(Error::Provider(failure)))
}

/// The component, and what the operator decided about it. The file is read first, because it says how large a component may be, and
/// understood last, because the component says what its own section must be.
fn decide(
    provider: &str,
    plugin_dir: &[PathBuf],
    config: Option<&Path>,
    endpoints: &[String],
) -> Result<(Found, Config), Error> {
    let document = Document::open(config).map_err(Error::Config)?;
    let found = providers::find(provider, plugin_dir, document.component_bytes()).map_err(Error::Provider)?;
    let schema = found.inspection.manifest.as_ref().and_then(|manifest| manifest.config_schema.as_ref());
    let config = document.read(endpoints, schema).map_err(Error::Config)?;
    Ok((found, config))
}

fn node(run: Run) -> Result<(), Error> {
    telemetry::init(run.log_format);
    // Installed already only where a test did it: the same one.
    rustls::crypto::ring::default_provider().install_default().ok();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::Runtime)?;
    runtime.block_on(be_a_node(run))
}

async fn be_a_node(run: Run) -> Result<(), Error> {
    let (found, config) = decide(&run.provider, &run.plugin_dir, run.config.as_deref(), &run.endpoints)?;
    let provider_name = found.name.clone();
    let mut shutdown = Box::pin(shutdown::signals().map_err(Error::Runtime)?);
    let (clients, door, cluster_id) = tokio::select! {
        // Cancel-safe: nothing has begun that must be ended; a certificate that was asked for is found again by the next process.
        _ = &mut shutdown => return Ok(()),
        ground = find_ground(&run) => ground?,
    };
    let tasks = Tasks::new();
    let (metrics, registry) = telemetry::metrics(tasks.clone());
    let (provider, provider_events) = start_provider(&run, found, config, metrics, cluster_id, &door, &tasks).await?;

    let version = desired::kubelet_version(client::server_minor(&clients.node).await);
    let settings = settings(&run, provider_name, &door, version);
    let (node_object, seen_node) = watch::channel(None);
    let results = Results::default();
    let probe_metrics = results.registry();
    let prober = prober(&run, &provider, results)?;
    let identity = NodeIdentity {
        name: run.node_name.clone(),
        address: door.address,
        kubernetes_service: run.kubernetes_service.clone(),
    };
    let pods = start_pods(&tasks, &clients, identity, prober, provider.clone(), provider_events, seen_node);
    let rooms = Rooms {
        provider: provider.clone(),
        pods,
        metrics: registry,
        probe_metrics,
        tasks: tasks.clone(),
        places: Places::default(),
        usage: Usage::default(),
        node_name: run.node_name.clone(),
        port: door.port,
    };
    let (address, port) = (door.address, door.port);
    start_server(&run, door, rooms, &clients, &tasks);
    let node_uid = start_node(&tasks, &clients, settings, &*provider, node_object);
    info!(node = run.node_name, %address, port, server = %clients.server, "started");

    let reason = tokio::select! {
        // Cancel-safe: what is not waited for any more is not needed any more.
        signal = &mut shutdown => signal,
        name = tasks.critical_end() => {
            error!(task = name, "a part of pluglet ended that must not end: stopping");
            "a failure"
        }
    };
    let removal = run
        .remove_node_on_exit
        .then(|| (ClusterNode::new(clients.node.clone(), clients.lease.clone(), &run.node_name), node_uid));
    shutdown::drain(reason, &tasks, &*provider, run.drain_timeout, removal).await;
    if reason == "a failure" { Err(Error::Ended) } else { Ok(()) }
}

/// Where others reach this node, and who it is to them.
struct Door {
    listener: TcpListener,
    address: IpAddr,
    port: u16,
    serving: Serving,
    authorities: Authorities,
}

/// Gets the identity that the node needs, and learns where it is. Waits for an API server that is away.
async fn find_ground(run: &Run) -> Result<(Clients, Door, String), Error> {
    trust::bootstrap(run).await?;
    let clients = client::connect(run.kubeconfig.as_deref()).await.map_err(Error::Client)?;
    trust::check_identity(run, &clients)?;
    let listener = listen(run).await?;
    let port = listener.local_addr().map_err(Error::Address)?.port();
    let address = match run.address {
        Some(address) => address,
        None => own_address(&clients.server).await.map_err(Error::Address)?,
    };
    let serving = Serving::new(run, address)?;
    let authorities = trust::authorities(run, &clients).await?;
    let cluster_id = cluster_id(run, &clients).await;
    Ok((clients, Door { listener, address, port, serving, authorities }, cluster_id))
}

fn settings(run: &Run, provider: String, door: &Door, kubelet_version: String) -> Settings {
    Settings {
        name: run.node_name.clone(),
        provider,
        address: door.address,
        port: door.port,
        kubelet_version,
        labels: run.labels(),
        taints: run.chosen_taints(),
        provider_tolerance: run.provider_tolerance,
    }
}

fn start_server(run: &Run, door: Door, rooms: Rooms, clients: &Clients, tasks: &Tasks) {
    let reviews = AccessReviews::new(clients.reviews.clone(), &run.node_name);
    let router = routes::router(rooms, Arc::new(Remembering::new(reviews)));
    let Door { listener, address, serving, authorities, .. } = door;
    let tls = tls::config(serving.certificate.clone(), &authorities);
    trust::rotate(run, address, serving, clients, tasks);
    tasks.spawn_critical("kubelet server", server::run(listener, tls, authorities, router, tasks.clone()));
}

async fn listen(run: &Run) -> Result<TcpListener, Error> {
    let address = SocketAddr::new(run.address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), run.port);
    TcpListener::bind(address).await.map_err(|source| Error::Listen { address, source })
}

/// The address of the interface that leads to the API server. Nothing is sent.
async fn own_address(server: &http::Uri) -> std::io::Result<IpAddr> {
    let host = server.host().unwrap_or("localhost").trim_matches(['[', ']']);
    let port = server.port_u16().unwrap_or(443);
    let socket = tokio::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    socket.connect((host, port)).await?;
    Ok(socket.local_addr()?.ip())
}

/// Absolute: what is in it is named in files that are elsewhere.
fn state_dir(run: &Run) -> PathBuf {
    let directory = run.state_dir.clone().unwrap_or_else(providers::default_state_dir);
    std::path::absolute(&directory).unwrap_or(directory)
}

async fn cluster_id(run: &Run, clients: &Clients) -> String {
    match &run.cluster_id {
        Some(id) => id.clone(),
        None => cluster::identity(clients, &state_dir(run)).await,
    }
}

/// Who probes pods whose provider does not.
fn prober(run: &Run, provider: &Arc<dyn Provider>, results: Results) -> Result<Option<Prober>, Error> {
    if run.probes == ProbeMode::Off {
        return Ok(None);
    }
    let runner = NodeRunner::new(provider.clone(), Reach::new(run.probe_loopback)).map_err(Error::Prober)?;
    Ok(Some(Prober { runner: Arc::new(runner), results }))
}

async fn start_provider(
    run: &Run,
    found: Found,
    config: Config,
    metrics: Metrics,
    cluster_id: String,
    door: &Door,
    tasks: &Tasks,
) -> Result<(Arc<dyn Provider>, EventReceiver), Error> {
    let is_runtime = found.is_runtime();
    let options = ProviderOptions {
        name: found.name,
        component: found.path,
        node_name: run.node_name.clone(),
        cluster_id,
        config_json: config.config_json,
        grants: config.grants,
        state_dir: state_dir(run),
        limits: config.limits,
        // The file that this process was started from, even if its name means another one by now.
        compiler: "/proc/self/exe".into(),
        metrics,
    };
    let (provider, events) = WasmProvider::start(options).await.map_err(Error::Start)?;
    let provider = Arc::new(provider);
    if !is_runtime {
        return Ok((provider, events));
    }
    let (sender, for_pods) = mpsc::channel(QUEUED_EVENTS);
    let reach = Reach::new(run.probe_loopback);
    let tools = containers::Tools {
        runtime: provider.clone(),
        sessions: provider.clone(),
        runner: Arc::new(NodeRunner::new(provider, reach.clone()).map_err(Error::Prober)?),
        reach,
        events: sender,
        grants: config.containers,
        images: config.images.map(|limits| collector::Limits { high: limits.high, low: limits.low }),
        state_dir: state_dir(run),
        names: NodeNames {
            node: run.node_name.clone(),
            cluster_dns: run.cluster_dns.iter().map(ToString::to_string).collect(),
            cluster_domain: run.cluster_domain.clone(),
        },
        address: door.address,
        clock: containers::clock,
    };
    Ok((Arc::new(Driver::new(tools, events, tasks)), for_pods))
}

fn start_pods(
    tasks: &Tasks,
    clients: &Clients,
    node: NodeIdentity,
    prober: Option<Prober>,
    provider: Arc<dyn Provider>,
    provider_events: EventReceiver,
    seen_node: watch::Receiver<Option<Arc<Node>>>,
) -> Arc<PodsView> {
    let (sink, writer) = events::sink(clients.workload.clone(), &node.name);
    let cancel = tasks.cancel_token();
    // Events are told to nobody after the drain began; what waits is in the log.
    tasks.spawn("events", async move { cancel.run_until_cancelled(writer).await.unwrap_or_default() });
    let objects = pod_watch::pods(clients.workload.clone(), &node.name);
    let shared = Arc::new(Shared {
        provider,
        store: Arc::new(ClusterPods::new(clients.workload.clone())),
        events: Arc::new(sink),
        objects: Objects::new(Arc::new(ClusterObjects::new(clients.streams.clone())), tasks.clone()),
        prober,
        node,
    });
    let view = Arc::new(PodsView::default());
    let pods = dispatch::run(shared, view.clone(), tasks.clone(), objects, provider_events, seen_node);
    tasks.spawn_critical("pods", pods);
    view
}

fn start_node(
    tasks: &Tasks,
    clients: &Clients,
    settings: Settings,
    provider: &dyn Provider,
    object: watch::Sender<Option<Arc<Node>>>,
) -> watch::Receiver<Option<String>> {
    let node = Arc::new(ClusterNode::new(clients.node.clone(), clients.lease.clone(), &settings.name));
    let (uid, node_uid) = watch::channel(None);
    let nodes = node.watch();
    let reconciling =
        reconcile::run(settings, node.clone(), nodes, provider.health(), Told { uid, object }, tasks.cancel_token());
    tasks.spawn_critical("node", reconciling);
    tasks.spawn_critical("lease", lease::run(node, node_uid.clone(), tasks.cancel_token()));
    node_uid
}
