//! Resource use.
//!
//! In: the engine's figures. Out: figures of each container that runs, by pod. Invariant: a container without figures is left out and fails nobody
//! else; what takes too long is left out too.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};
use futures::stream::{self, StreamExt};
use pluglet_sdk::{ContainerStats, Error, PodStats, Result};
use serde::Deserialize;

use crate::client::{Client, json, query};
use crate::inspect::{Inspected, or_default};
use crate::labels::{self, CONTAINER, KIND, Kind, Labels};
use crate::time::unix_ns;
use crate::{list, names};

/// Docker takes up to a second for one.
const AT_ONCE: usize = 16;
/// The host waits 10 s.
const LONGEST: Duration = Duration::from_millis(8500);
const MS: u64 = 1_000_000;
const SECOND_MS: u64 = 1_000;

/// Figures of one container, as Docker tells them.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Sample {
    #[serde(deserialize_with = "or_default")]
    read: String,
    #[serde(deserialize_with = "or_default")]
    cpu_stats: Cpu,
    #[serde(deserialize_with = "or_default")]
    memory_stats: Memory,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Cpu {
    #[serde(deserialize_with = "or_default")]
    cpu_usage: CpuUsage,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CpuUsage {
    total_usage: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Memory {
    usage: Option<u64>,
    #[serde(deserialize_with = "or_default")]
    stats: MemoryParts,
}

/// Files that can be thrown out of memory: with cgroup v1 of the container and all below it, with v2 there is one.
#[derive(Default, Deserialize)]
#[serde(default)]
struct MemoryParts {
    total_inactive_file: Option<u64>,
    inactive_file: Option<u64>,
}

/// Figures of all containers, as Podman tells them.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Report {
    #[serde(deserialize_with = "or_default")]
    stats: Vec<Figures>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Figures {
    #[serde(rename = "ContainerID")]
    container_id: String,
    #[serde(rename = "CPUNano")]
    cpu_nano: u64,
    mem_usage: u64,
}

/// An entry of Podman's own list.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Running {
    id: String,
    #[serde(deserialize_with = "or_default")]
    labels: Labels,
    /// Seconds since 1970.
    #[serde(deserialize_with = "or_default")]
    started_at: i64,
}

const CONTAINERS: [(&str, &str); 1] = [(KIND, Kind::Container.word())];

pub(crate) async fn all(client: &Client) -> Result<Vec<PodStats>> {
    let filter = client.owner.filter_running(&CONTAINERS);
    let list = client.libpod("GET", &format!("/containers/json{}", query(&[("filters", &filter)])));
    let report = client.libpod("GET", "/containers/stats?stream=false");
    match (list, report) {
        (Some(list), Some(report)) => podman(client, json(list).await?, json(report).await?),
        _ => docker(client).await,
    }
}

/// One call tells the figures of all containers, also of those that are not ours.
fn podman(client: &Client, running: Vec<Running>, report: Report) -> Result<Vec<PodStats>> {
    let now_ms = client.host.now_unix_ns() / MS;
    let figures: BTreeMap<_, _> = report.stats.iter().map(|figures| (figures.container_id.as_str(), figures)).collect();
    let ours = running.iter().filter(|one| client.owner.owns(&one.labels));
    let stats = ours.filter_map(|one| {
        let figures = figures.get(one.id.as_str())?;
        let stats = ContainerStats {
            name: labels::text(&one.labels, CONTAINER),
            time_unix_ms: now_ms,
            start_time_unix_ms: u64::try_from(one.started_at).unwrap_or_default() * SECOND_MS,
            cpu_usage_core_ns: Some(figures.cpu_nano),
            cpu_usage_nano_cores: None,
            // It does not tell what could be taken back.
            memory_working_set: Some(figures.mem_usage),
            memory_usage: Some(figures.mem_usage),
        };
        Some((one.labels.clone(), stats))
    });
    Ok(by_pod(stats))
}

async fn docker(client: &Client) -> Result<Vec<PodStats>> {
    let running = list::running(client, &CONTAINERS).await?;
    let asked = !running.is_empty();
    let each = running.into_iter().map(|one| async move { (sample(client, &one.id).await, one.labels) });
    let mut samples = pin!(stream::iter(each).buffer_unordered(AT_ONCE));
    let mut late = pin!(client.host.sleep(LONGEST));
    let (mut found, mut failure) = (Vec::new(), None);
    while let Either::Left((Some((sample, labels)), _)) = select(samples.next(), &mut late).await {
        match sample {
            Ok(stats) => found.push((labels, stats)),
            Err(error) => failure = Some(error),
        }
    }
    match failure {
        Some(error) if asked && found.is_empty() => Err(error),
        _ => Ok(by_pod(found)),
    }
}

async fn sample(client: &Client, id: &str) -> Result<ContainerStats> {
    if !names::is_name(id) {
        return Err(Error::NotFound);
    }
    let inspected: Inspected = client.inspect(id).await?;
    let sample: Sample = json(client.get(&format!("/containers/{id}/stats?stream=false&one-shot=true"))).await?;
    Ok(figures(&inspected, &sample, client.host.now_unix_ns()))
}

fn figures(inspected: &Inspected, sample: &Sample, now_ns: u64) -> ContainerStats {
    let Memory { usage, stats } = &sample.memory_stats;
    let unused = stats.total_inactive_file.or(stats.inactive_file).unwrap_or_default();
    ContainerStats {
        name: labels::text(inspected.labels(), CONTAINER),
        time_unix_ms: unix_ns(&sample.read).unwrap_or(now_ns) / MS,
        start_time_unix_ms: unix_ns(&inspected.state.started_at).unwrap_or_default() / MS,
        cpu_usage_core_ns: sample.cpu_stats.cpu_usage.total_usage,
        cpu_usage_nano_cores: None,
        memory_working_set: usage.map(|usage| usage.saturating_sub(unused)),
        memory_usage: *usage,
    }
}

fn by_pod(stats: impl IntoIterator<Item = (Labels, ContainerStats)>) -> Vec<PodStats> {
    let mut pods: BTreeMap<String, PodStats> = BTreeMap::new();
    for (labels, stats) in stats {
        let Some(pod) = labels::pod(&labels) else { continue };
        pods.entry(pod.uid.clone()).or_insert_with(|| PodStats { pod, containers: Vec::new() }).containers.push(stats);
    }
    pods.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_working_set_leaves_out_files_that_can_go() {
        let sample: Sample = serde_json::from_str(
            r#"{"read": "1970-01-01T00:00:05.5Z", "cpu_stats": {"cpu_usage": {"total_usage": 82987710}},
                "memory_stats": {"usage": 655360, "stats": {"inactive_file": 1, "total_inactive_file": 55360}}}"#,
        )
        .unwrap();
        let stats = figures(&Inspected::default(), &sample, 0);
        assert_eq!((stats.cpu_usage_core_ns, stats.time_unix_ms), (Some(82_987_710), 5500));
        assert_eq!((stats.memory_usage, stats.memory_working_set), (Some(655_360), Some(600_000)));
    }

    #[test]
    fn what_is_not_told_is_not_zero() {
        let stats = figures(&Inspected::default(), &Sample::default(), 7 * MS);
        assert_eq!((stats.cpu_usage_core_ns, stats.memory_usage, stats.memory_working_set), (None, None, None));
        assert_eq!(stats.time_unix_ms, 7);
    }
}
