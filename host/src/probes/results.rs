//! How checks of probes ended, counted for `/metrics/probes`.
//!
//! In: ends of checks. Out: `prober_probe_total` under the kubelet's name and labels (`prober_manager.go`). Invariant: the series of a pod go with
//! its probes, so that there are never more than three for each container that is probed now, times three results.

use std::sync::Arc;

use pluglet_model::PodKey;
use pluglet_rules::probe::Kind;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::Outcome;

/// The results of all pods. Clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Results(Family<Labels, Counter>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    probe_type: &'static str,
    result: &'static str,
    container: String,
    pod: String,
    namespace: String,
    pod_uid: String,
}

const SUCCESSFUL: &str = "successful";
const FAILED: &str = "failed";
const UNKNOWN: &str = "unknown";

impl Results {
    /// What `/metrics/probes` shows.
    pub(crate) fn registry(&self) -> Arc<Registry> {
        let mut registry = Registry::default();
        registry.register("prober_probe", "Checks of the probes that this node runs, by result", self.0.clone());
        Arc::new(registry)
    }

    /// Unlike a kubelet, which leaves them out, checks that could not be made count too: as `unknown`.
    pub(super) fn count(&self, key: &PodKey, container: &str, kind: Kind, outcome: &Outcome) {
        let result = match outcome.verdict() {
            Some(true) => SUCCESSFUL,
            Some(false) => FAILED,
            None => UNKNOWN,
        };
        self.0.get_or_create(&labels(key, container, kind, result)).inc();
    }

    /// The container is probed no more.
    pub(super) fn forget(&self, key: &PodKey, container: &str) {
        for kind in Kind::ALL {
            for result in [SUCCESSFUL, FAILED, UNKNOWN] {
                self.0.remove(&labels(key, container, kind, result));
            }
        }
    }
}

fn labels(key: &PodKey, container: &str, kind: Kind, result: &'static str) -> Labels {
    let probe_type = match kind {
        Kind::Startup => "Startup",
        Kind::Readiness => "Readiness",
        Kind::Liveness => "Liveness",
    };
    let [container, pod, namespace, pod_uid] = [container, &key.name, &key.namespace, &key.uid].map(str::to_owned);
    Labels { probe_type, result, container, pod, namespace, pod_uid }
}
