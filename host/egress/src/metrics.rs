//! What is counted about the way out.
//!
//! In: ends of requests. Out: metric families for a registry. Invariant: labels come from the operator's file and from closed sets, never
//! from a provider's words: a label that a provider could choose would fill the registry's memory.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// The families. Clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: Family<Request, Counter>,
    refusals: Family<Refused, Counter>,
    in_flight: Family<Place, Gauge>,
    seconds: Family<Place, Histogram, fn() -> Histogram>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    provider: String,
    endpoint: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    provider: String,
    endpoint: String,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Place {
    provider: String,
    endpoint: String,
}

impl Default for Metrics {
    fn default() -> Self {
        let seconds: fn() -> Histogram = || Histogram::new([0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0]);
        Self {
            requests: Family::default(),
            refusals: Family::default(),
            in_flight: Family::default(),
            seconds: Family::new_with_constructor(seconds),
        }
    }
}

impl Metrics {
    /// Make them known under `pluglet_provider_http_…`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "pluglet_provider_http_requests",
            "Requests of providers that were sent, by how they ended",
            self.requests.clone(),
        );
        registry.register(
            "pluglet_provider_http_refusals",
            "Requests of providers that were not allowed, by reason",
            self.refusals.clone(),
        );
        registry.register(
            "pluglet_provider_http_in_flight",
            "Requests, streams and connections of providers under way",
            self.in_flight.clone(),
        );
        registry.register(
            "pluglet_provider_http_request_seconds",
            "Time from a provider's call to the head of the answer",
            self.seconds.clone(),
        );
    }

    /// The counters of one endpoint, looked up once.
    pub(crate) fn of(&self, provider: &str, endpoint: &str) -> EndpointMetrics {
        let place = Place { provider: provider.to_owned(), endpoint: endpoint.to_owned() };
        let requests = |outcome| {
            let (provider, endpoint) = (provider.to_owned(), endpoint.to_owned());
            (outcome, self.requests.get_or_create_owned(&Request { provider, endpoint, outcome }))
        };
        EndpointMetrics {
            in_flight: self.in_flight.get_or_create_owned(&place),
            seconds: self.seconds.get_or_create_owned(&place),
            requests: OUTCOMES.map(requests),
        }
    }

    /// A request that was not allowed. `endpoint` is empty for a name that nobody granted.
    pub(crate) fn refused(&self, provider: &str, endpoint: &str, reason: &'static str) {
        let labels = Refused { provider: provider.to_owned(), endpoint: endpoint.to_owned(), reason };
        self.refusals.get_or_create(&labels).inc();
    }
}

/// How requests end. A closed set, so that the counters can be looked up once.
const OUTCOMES: [&str; 13] = [
    "1xx",
    "2xx",
    "3xx",
    "4xx",
    "5xx",
    "other",
    "denied",
    "timeout",
    "connect",
    "too-large",
    "protocol",
    "busy",
    "credential",
];

/// The counters of one endpoint.
#[derive(Clone, Debug)]
pub(crate) struct EndpointMetrics {
    in_flight: Gauge,
    seconds: Histogram,
    requests: [(&'static str, Counter); OUTCOMES.len()],
}

impl EndpointMetrics {
    /// The head of an answer came, or will not.
    pub(crate) fn ended(&self, outcome: &'static str, seconds: f64) {
        if let Some((_, counter)) = self.requests.iter().find(|(name, _)| *name == outcome) {
            counter.inc();
        }
        self.seconds.observe(seconds);
    }

    /// Something is under way until the guard is dropped.
    pub(crate) fn begin(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }
}

/// Counts for as long as it lives.
#[derive(Debug)]
pub(crate) struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}
