//! The log and the metrics.
//!
//! In: `RUST_LOG`, the chosen form. Out: lines on standard error; what counts, and the registry that shows it. Invariant: the log is set up
//! once, before anything else runs.

use std::io::IsTerminal;
use std::sync::Arc;

use pluglet_wasm::Metrics;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::args::LogFormat;
use crate::tasks::Tasks;

/// The client library reports each retry as an error of its own; ours say it once, with what follows.
const DEFAULT_FILTER: &str = "info,kube_client=off,kube_runtime=off";

/// Starts logging. A second call in one process, as in tests, changes nothing.
pub(crate) fn init(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let registry = tracing_subscriber::registry().with(filter);
    // Colours are for terminals: in a file they would stand between a name and its value.
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(colours);
    let outcome = match format {
        LogFormat::Text => registry.with(layer.with_target(false)).try_init(),
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
    };
    // Already set up: the earlier one stays.
    outcome.ok();
}

/// What providers are counted in, and the registry that `/metrics` shows, with the tasks of this process.
pub(crate) fn metrics(tasks: Tasks) -> (Metrics, Arc<Registry>) {
    let metrics = Metrics::default();
    let mut registry = Registry::default();
    metrics.register(&mut registry);
    registry.register_collector(Box::new(Running(tasks)));
    (metrics, Arc::new(registry))
}

/// Tells how many tasks of each name run, when it is asked.
#[derive(Debug)]
struct Running(Tasks);

impl Collector for Running {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let help = "Tasks that run in this process, by what they do.";
        let mut metric = encoder.encode_descriptor("pluglet_tasks", help, None, MetricType::Gauge)?;
        for (name, count) in self.0.running() {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            ConstGauge::new(count).encode(metric.encode_family(&[("name", name)])?)?;
        }
        Ok(())
    }
}
