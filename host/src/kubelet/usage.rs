//! Resource use of the node's pods: what `kubectl top`, autoscalers and dashboards read.
//!
//! In: the provider's figures. Out: `/metrics/resource`, `/metrics/cadvisor`, `/stats/summary`. Invariant: a counter of CPU time never falls while
//! its container lives, the node's never at all; what is unknown is left out, and nothing that runs is told as 0, since readers drop a pod
//! of which one container uses nothing.

mod cadvisor;
mod own;
mod resource;
mod summary;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use pluglet_model::PodKey;
use pluglet_model::provider::Error;
use pluglet_model::session::{ContainerStats, PodStats};

use super::routes::Rooms;
use crate::pods::view::PodsView;

const BILLION: u128 = 1_000_000_000;
/// Of the text format that has timestamps.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What was known at the last look, to make counters of what is known now. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Usage(Arc<Mutex<Known>>);

struct Known {
    /// When this process began to look, milliseconds since 1970: what was used before is nobody's to guess.
    since_ms: u64,
    containers: HashMap<(Arc<str>, String), Seen>,
    /// CPU time of all containers that ever ran, nanoseconds.
    pods_cpu_ns: u64,
}

impl Default for Known {
    fn default() -> Self {
        Self { since_ms: own::figures().time_ms, containers: HashMap::new(), pods_cpu_ns: 0 }
    }
}

/// A container at the last look.
#[derive(Clone, Copy, Default)]
struct Seen {
    start_ms: u64,
    time_ms: u64,
    cpu_ns: u64,
}

/// Everything at one moment.
struct Snapshot {
    node: Figures,
    pods: Vec<Pod>,
}

struct Pod {
    key: PodKey,
    containers: Vec<Container>,
}

struct Container {
    name: String,
    image: String,
    start_ms: u64,
    figures: Figures,
}

/// None is unknown; nothing is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Figures {
    /// Milliseconds since 1970.
    time_ms: u64,
    cpu_ns: Option<u64>,
    /// Billionths of a core.
    nano_cores: Option<u64>,
    working_set: Option<u64>,
    memory: Option<u64>,
}

impl Pod {
    /// All containers together, as far as all are known.
    fn total(&self) -> Figures {
        let sum = |of: fn(&Figures) -> Option<u64>| -> Option<u64> {
            self.containers.iter().try_fold(0_u64, |sum, container| Some(sum.saturating_add(of(&container.figures)?)))
        };
        Figures {
            time_ms: self.containers.iter().map(|container| container.figures.time_ms).max().unwrap_or_default(),
            cpu_ns: sum(|figures| figures.cpu_ns),
            nano_cores: sum(|figures| figures.nano_cores),
            working_set: sum(|figures| figures.working_set),
            memory: sum(|figures| figures.memory),
        }
    }
}

impl Usage {
    async fn snapshot(&self, rooms: &Rooms) -> Result<Snapshot, Error> {
        let stats = rooms.provider.stats().await?;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(known.take(stats, &rooms.pods, own::figures()))
    }
}

impl Known {
    /// Of pods that the API server has not, and containers that a pod has not, nothing is told.
    fn take(&mut self, stats: Vec<PodStats>, view: &PodsView, own: Figures) -> Snapshot {
        let mut pods = vec![];
        for PodStats { key, containers } in stats {
            let Some(seen) = view.find(&key.namespace, &key.name).filter(|seen| seen.key == key) else { continue };
            let spec = seen.object.peek().spec.clone().unwrap_or_default();
            let declared = spec.containers.iter().chain(spec.init_containers.iter().flatten());
            let images: HashMap<&str, &str> = declared
                .map(|container| (container.name.as_str(), container.image.as_deref().unwrap_or_default()))
                .collect();
            let told = containers.into_iter().filter_map(|stats| {
                let image = (*images.get(stats.name.as_str())?).to_owned();
                Some(self.container(&seen.key, stats, image))
            });
            let containers: Vec<_> = told.collect();
            pods.push(Pod { key: seen.key, containers });
        }
        // One that is left out now and then is remembered for as long as there is its pod.
        let there: HashSet<Arc<str>> = view.all().into_iter().map(|seen| seen.key.uid).collect();
        self.containers.retain(|(uid, _), _| there.contains(uid));
        let sum = |of: fn(&Figures) -> Option<u64>| -> u64 {
            let containers = pods.iter().flat_map(|pod| &pod.containers);
            let all = containers.filter_map(|container| of(&container.figures)).chain(of(&own));
            all.fold(0, u64::saturating_add)
        };
        let node = Figures {
            time_ms: own.time_ms,
            cpu_ns: Some(self.pods_cpu_ns.saturating_add(own.cpu_ns.unwrap_or(1))),
            nano_cores: Some(sum(|figures| figures.nano_cores)),
            working_set: Some(sum(|figures| figures.working_set)),
            memory: Some(sum(|figures| figures.memory)),
        };
        Snapshot { node, pods }
    }

    fn container(&mut self, key: &PodKey, stats: ContainerStats, image: String) -> Container {
        let id = (key.uid.clone(), stats.name.clone());
        let before = self.containers.get(&id).copied().filter(|seen| seen.start_ms == stats.start_time_unix_ms);
        let start_ms = stats.start_time_unix_ms;
        let is_old = start_ms < self.since_ms;
        let last = before.unwrap_or(Seen {
            start_ms,
            time_ms: if is_old { stats.time_unix_ms } else { start_ms },
            cpu_ns: stats.cpu_usage_core_ns.filter(|_| is_old).unwrap_or_default(),
        });
        let passed_ms = u128::from(stats.time_unix_ms.saturating_sub(last.time_ms));
        // A backend may know only how much is in use: that since the last look.
        let integrated = stats.cpu_usage_nano_cores.map(|nano_cores| {
            let used = u128::from(nano_cores) * passed_ms / 1000;
            last.cpu_ns.saturating_add(u64::try_from(used).unwrap_or(u64::MAX))
        });
        let cpu_ns = stats.cpu_usage_core_ns.or(integrated).map(|cpu| cpu.max(last.cpu_ns).max(1));
        let used = cpu_ns.unwrap_or(last.cpu_ns) - last.cpu_ns;
        self.pods_cpu_ns = self.pods_cpu_ns.saturating_add(used);
        let rate = (before.is_some() && passed_ms > 0).then(|| u128::from(used) * 1000 / passed_ms);
        let nano_cores = stats.cpu_usage_nano_cores.or(rate.and_then(|rate| u64::try_from(rate).ok()));
        // Two who look at once may be served in either order.
        let time_ms = stats.time_unix_ms.max(last.time_ms);
        self.containers.insert(id, Seen { start_ms, time_ms, cpu_ns: cpu_ns.unwrap_or(last.cpu_ns) });
        Container {
            name: stats.name,
            image,
            start_ms: stats.start_time_unix_ms,
            figures: Figures {
                time_ms: stats.time_unix_ms,
                cpu_ns,
                nano_cores,
                working_set: stats.memory_working_set.map(|bytes| bytes.max(1)),
                memory: stats.memory_usage.map(|bytes| bytes.max(1)),
            },
        }
    }
}

/// `/metrics/resource`.
pub(crate) async fn resource(State(rooms): State<Rooms>) -> Response {
    text(rooms.usage.snapshot(&rooms).await.map(|snapshot| resource::render(&snapshot)))
}

/// `/metrics/cadvisor`.
pub(crate) async fn cadvisor(State(rooms): State<Rooms>) -> Response {
    let capacity = rooms.provider.health().borrow().info.as_ref().map(|info| info.node.capacity.clone());
    let snapshot = rooms.usage.snapshot(&rooms).await;
    text(snapshot.map(|snapshot| cadvisor::render(&snapshot, &capacity.unwrap_or_default())))
}

/// `/stats/summary`.
pub(crate) async fn summary(State(rooms): State<Rooms>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let only = url::form_urlencoded::parse(query.as_bytes())
        .any(|(name, value)| name == "only_cpu_and_memory" && value == "true");
    match rooms.usage.snapshot(&rooms).await {
        Ok(snapshot) => axum::Json(summary::render(&snapshot, &rooms.node_name, &rooms.pods, only)).into_response(),
        Err(error) => failure(&error),
    }
}

fn text(rendered: Result<String, Error>) -> Response {
    match rendered {
        Ok(text) => ([(header::CONTENT_TYPE, TEXT)], text).into_response(),
        Err(error) => failure(&error),
    }
}

fn failure(error: &Error) -> Response {
    let status = match error {
        Error::Unsupported(_) => StatusCode::NOT_IMPLEMENTED,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, format!("no figures of resource use: {error}\n")).into_response()
}

/// A count of billionths, exact: `1.5`, as seconds of nanoseconds.
fn billionths(count: u64) -> String {
    let count = u128::from(count);
    let (whole, rest) = (count / BILLION, count % BILLION);
    format!("{whole}.{rest:09}")
}

#[cfg(test)]
mod tests;
