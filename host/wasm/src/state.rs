//! What a store holds besides the component itself: the sandbox's walls and what the operator let through them.
//!
//! In: [`Capabilities`] and [`Limits`]. Out: [`State`], one per incarnation. Invariant: WASI sees an empty world (no files, no
//! environment, no arguments, no network); everything that reaches the outside is in [`Capabilities`].

use std::sync::Arc;

use pluglet_egress::Egress;
use tokio::task::JoinSet;
use wasmtime::component::{HasData, Linker, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::bindings::Provider;
use crate::bindings::pluglet::provider::types;
use crate::calls::Calls;
use crate::capabilities::kv::Kv;
use crate::capabilities::log::Logger;
use crate::limits::Limits;
use crate::metrics::ProviderMetrics;
use crate::state::limiter::Limiter;
use crate::state::stdio::Lines;

pub(crate) mod limiter;
mod stdio;

/// What the operator granted. Shared by all incarnations of a provider.
#[derive(Clone)]
pub(crate) struct Capabilities {
    pub(crate) egress: Arc<Egress>,
    pub(crate) kv: Arc<Kv>,
    pub(crate) logger: Logger,
    pub(crate) metrics: ProviderMetrics,
}

/// The data of one store.
pub(crate) struct State {
    pub(crate) limiter: Limiter,
    pub(crate) capabilities: Capabilities,
    /// Calls of the host that are inside, for `host.remaining-ms`.
    pub(crate) calls: Calls,
    /// Writers of open connections. They end with their streams, at the latest with the store.
    pub(crate) tasks: Tasks,
    /// Whether it was told that a metric's name is not allowed.
    pub(crate) metric_refused: bool,
    wasi: WasiCtx,
    table: ResourceTable,
}

impl State {
    /// The state of a new incarnation.
    pub(crate) fn new(capabilities: Capabilities, limits: &Limits) -> Self {
        let logger = &capabilities.logger;
        let wasi = WasiCtx::builder()
            .stdout(Lines::stdout(logger.clone()))
            .stderr(Lines::stderr(logger.clone()))
            // These three are the defaults. They are said again because they are the sandbox.
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .build();
        let limiter = Limiter::new(limits, capabilities.metrics.memory.clone());
        let (calls, tasks) = (Calls::default(), Tasks::default());
        Self { limiter, capabilities, calls, tasks, metric_refused: false, wasi, table: ResourceTable::new() }
    }
}

/// Tasks of one store, ended with it.
#[derive(Default)]
pub(crate) struct Tasks(JoinSet<()>);

impl Tasks {
    /// Run it beside the store.
    pub(crate) fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        // Those that have ended are forgotten; there are never more than open streams.
        while self.0.try_join_next().is_some() {}
        self.0.spawn(task);
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl HasData for State {
    type Data<'a> = &'a mut Self;
}

impl types::Host for State {}

/// Everything that a component may import. Sockets are not linked at all: what cannot be resolved cannot be misconfigured.
pub(crate) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
    use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView as _};
    use wasmtime_wasi::p2::bindings::{cli, filesystem, random};
    use wasmtime_wasi::random::{WasiRandom, WasiRandomView as _};

    // Clocks, streams, random bytes and the standard streams. The asynchronous variants: with the synchronous ones a guest that
    // panics (and so writes to stderr) would panic the host.
    wasmtime_wasi::p2::add_to_linker_proxy_interfaces_async(linker)?;
    // What the standard library imports besides. There are no preopened directories, so `filesystem` has nothing to offer.
    cli::environment::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::exit::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_input::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_output::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_stdin::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_stdout::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_stderr::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    filesystem::preopens::add_to_linker::<State, WasiFilesystem>(linker, State::filesystem)?;
    filesystem::types::add_to_linker::<State, WasiFilesystem>(linker, State::filesystem)?;
    random::insecure_seed::add_to_linker::<State, WasiRandom>(linker, State::random)?;
    Provider::add_to_linker::<State, State>(linker, |state| state)
}
