//! What is counted about providers.
//!
//! In: what happens to them. Out: metric families for a registry. Invariant: labels are the operator's names and closed sets; a provider's own
//! metrics have names of a fixed alphabet, and few of them.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Names that one provider may use. Each is a series in the host's memory and in whatever scrapes it.
const MAX_NAMES: usize = 64;

/// Longest name.
const MAX_NAME_BYTES: usize = 64;

type Seconds = Counter<f64, AtomicU64>;

/// All families. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    egress: pluglet_egress::Metrics,
    up: Family<Of, Gauge>,
    restarts: Family<Of, Counter>,
    crashes: Family<Ended, Counter>,
    calls: Family<Called, Counter>,
    call_seconds: Calls,
    cpu: Family<Of, Seconds>,
    throttled: Family<Of, Seconds>,
    memory: Family<Of, Gauge>,
    log_lines_dropped: Family<Of, Counter>,
    events_dropped: Family<Of, Counter>,
    quarantined: Family<Of, Gauge>,
    own_counters: Family<Own, Counter>,
    own_gauges: Family<Own, Gauge<f64, AtomicU64>>,
}

/// Times of calls. A type of its own, because a histogram has no default.
#[derive(Clone, Debug)]
struct Calls(Family<Kind, Histogram, fn() -> Histogram>);

impl Default for Calls {
    fn default() -> Self {
        Self(Family::new_with_constructor(|| Histogram::new([0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0])))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    provider: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    provider: String,
    cause: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Called {
    provider: String,
    call: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    provider: String,
    call: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Own {
    provider: String,
    name: String,
}

impl Metrics {
    /// Make them known under `pluglet_provider_…`.
    pub fn register(&self, registry: &mut Registry) {
        self.egress.register(registry);
        let own = registry.sub_registry_with_prefix("pluglet_provider");
        own.register("up", "Whether the provider can be called", self.up.clone());
        own.register("restarts", "Starts after the first", self.restarts.clone());
        own.register("crashes", "Incarnations that did not end in order, by cause", self.crashes.clone());
        own.register("calls", "Calls of the provider, by how they ended", self.calls.clone());
        let duration = self.call_seconds.0.clone();
        own.register_with_unit("call_duration", "Time of the provider's calls", Unit::Seconds, duration);
        own.register_with_unit("cpu", "CPU time that the provider used", Unit::Seconds, self.cpu.clone());
        let throttled = self.throttled.clone();
        own.register_with_unit("throttled", "Time that it was paused for too much CPU", Unit::Seconds, throttled);
        own.register("memory_bytes", "Linear memory of the provider", self.memory.clone());
        own.register("log_lines_dropped", "Log lines beyond the provider's rate", self.log_lines_dropped.clone());
        own.register("events_dropped", "Pod events beyond the provider's rate", self.events_dropped.clone());
        let quarantined = self.quarantined.clone();
        own.register("quarantined_pods", "Pods that are refused because they crash the provider", quarantined);
        own.register("own", "Counters of the provider's own", self.own_counters.clone());
        own.register("own_gauge", "Gauges of the provider's own", self.own_gauges.clone());
    }

    /// Those of the way out.
    pub(crate) fn egress(&self) -> pluglet_egress::Metrics {
        self.egress.clone()
    }

    /// Those of one provider.
    pub(crate) fn of(&self, provider: &str) -> ProviderMetrics {
        let of = Of { provider: provider.to_owned() };
        ProviderMetrics {
            up: self.up.get_or_create_owned(&of),
            restarts: self.restarts.get_or_create_owned(&of),
            cpu: self.cpu.get_or_create_owned(&of),
            throttled: self.throttled.get_or_create_owned(&of),
            memory: self.memory.get_or_create_owned(&of),
            log_lines_dropped: self.log_lines_dropped.get_or_create_owned(&of),
            events_dropped: self.events_dropped.get_or_create_owned(&of),
            quarantined: self.quarantined.get_or_create_owned(&of),
            provider: of.provider,
            names: Arc::default(),
            all: self.clone(),
        }
    }
}

/// What is counted about one provider.
#[derive(Clone, Debug)]
pub(crate) struct ProviderMetrics {
    provider: String,
    pub(crate) up: Gauge,
    pub(crate) restarts: Counter,
    cpu: Seconds,
    throttled: Seconds,
    pub(crate) memory: Gauge,
    pub(crate) log_lines_dropped: Counter,
    pub(crate) events_dropped: Counter,
    pub(crate) quarantined: Gauge,
    /// Names of its own that it has used.
    names: Arc<Mutex<BTreeSet<String>>>,
    all: Metrics,
}

impl ProviderMetrics {
    pub(crate) fn crashed(&self, cause: &'static str) {
        self.all.crashes.get_or_create(&Ended { provider: self.provider.clone(), cause }).inc();
    }

    pub(crate) fn called(&self, call: &'static str, outcome: &'static str, took: Duration) {
        let provider = self.provider.clone();
        self.all.call_seconds.0.get_or_create(&Kind { provider: provider.clone(), call }).observe(took.as_secs_f64());
        self.all.calls.get_or_create(&Called { provider, call, outcome }).inc();
    }

    pub(crate) fn used_cpu(&self, time: Duration) {
        self.cpu.inc_by(time.as_secs_f64());
    }

    pub(crate) fn was_throttled(&self, time: Duration) {
        self.throttled.inc_by(time.as_secs_f64());
    }

    /// Add to a counter of the provider's own; false when the name is not allowed.
    pub(crate) fn add_own(&self, name: &str, value: u64) -> bool {
        let known = self.is_known(name);
        if known {
            let own = Own { provider: self.provider.clone(), name: name.to_owned() };
            self.all.own_counters.get_or_create(&own).inc_by(value);
        }
        known
    }

    /// Set a gauge of the provider's own; false when the name is not allowed.
    pub(crate) fn set_own(&self, name: &str, value: f64) -> bool {
        let known = self.is_known(name);
        if known {
            let own = Own { provider: self.provider.clone(), name: name.to_owned() };
            self.all.own_gauges.get_or_create(&own).set(value);
        }
        known
    }

    fn is_known(&self, name: &str) -> bool {
        let well_formed = (1..=MAX_NAME_BYTES).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if !well_formed {
            return false;
        }
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.contains(name) || (names.len() < MAX_NAMES && names.insert(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn a_provider_has_few_names_of_its_own() {
        let metrics = Metrics::default();
        let mock = metrics.of("mock");
        assert!((0..MAX_NAMES).all(|n| mock.add_own(&format!("n{n}"), 1)));
        assert!(!mock.add_own("one_more", 1) && mock.add_own("n0", 1) && mock.set_own("n1", 0.5));
        for name in ["", "Upper", "a-b", "a\"b", &"x".repeat(65)] {
            assert!(!mock.set_own(name, 1.0), "{name:?}");
        }
    }

    #[test]
    fn everything_is_told_with_the_providers_name() {
        let metrics = Metrics::default();
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        let mock = metrics.of("mock");
        mock.called("create", "ok", Duration::from_millis(2));
        mock.crashed("trap");
        mock.used_cpu(Duration::from_millis(1500));
        mock.add_own("polls", 3);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            r#"pluglet_provider_calls_total{provider="mock",call="create",outcome="ok"} 1"#,
            r#"pluglet_provider_crashes_total{provider="mock",cause="trap"} 1"#,
            r#"pluglet_provider_cpu_seconds_total{provider="mock"} 1.5"#,
            r#"pluglet_provider_own_total{provider="mock",name="polls"} 3"#,
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
