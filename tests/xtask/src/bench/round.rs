//! One round of one subject: start it, load it, measure it, stop it.
//!
//! In: the subject. Out: a [`Round`] with every figure. The node and all of its pods are gone afterwards.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use controlplane::{Call, audit};
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, DeleteParams};
use serde::Serialize;

use super::Bench;
use super::backend::{Backend, Subject};
use super::load::{Load, Made, Names};
use super::observer::{Observer, Seen};
use super::{stats, usage};

/// Before the load, so that start-up work does not count.
const QUIET: Duration = Duration::from_secs(1);
/// For all pods to become Running, or to be gone: far beyond what a node that works takes.
pub(super) const DEADLINE: Duration = Duration::from_secs(300);

/// Pods that are deleted one at a time, if there are enough.
const LONE: usize = 20;

/// Everything measured in one round.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Round {
    pub(super) subject: Subject,
    pub(super) number: usize,
    /// Pods per second, from the first create to the last Running.
    pub(super) running_per_s: f64,
    /// From create sent to Running seen.
    pub(super) start_p50_ms: f64,
    pub(super) start_p99_ms: f64,
    /// Pods per second, from the burst's first delete to the last gone.
    pub(super) gone_per_s: f64,
    /// From delete sent to gone seen, one at a time.
    pub(super) lone_delete_p50_ms: f64,
    /// From delete sent to gone seen, in the burst.
    pub(super) delete_p50_ms: f64,
    pub(super) delete_p99_ms: f64,
    /// Requests of the subject for each pod of the round: all but leases, node and watches.
    pub(super) calls_per_pod: f64,
    /// Requests of the subject that were answered 4xx, of any kind.
    pub(super) calls_4xx: usize,
    /// All requests of the subject by kind and code.
    pub(super) calls: BTreeMap<String, usize>,
    /// CPU time of the subject's process for each pod, from before the first create to after the last gone.
    pub(super) cpu_ms_per_pod: Option<f64>,
    /// Memory of the subject's process, before the load and at most, in MB.
    pub(super) rss_idle_mb: Option<f64>,
    pub(super) rss_peak_mb: Option<f64>,
    /// How often the API server closed our watch because we did not keep up: latencies of such a round are too long.
    pub(super) watch_breaks: usize,
    /// Of the machine, over the last minute, at the end of the round.
    pub(super) load_average: f64,
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {:.0} pods/s to Running (p50 {:.0} ms), {:.0} gone/s (p50 {:.0} ms, alone {:.0} ms), {:.2} calls per pod",
            self.subject,
            self.running_per_s,
            self.start_p50_ms,
            self.gone_per_s,
            self.delete_p50_ms,
            self.lone_delete_p50_ms,
            self.calls_per_pod
        )
    }
}

/// What the load and the watch tell about one round.
struct Timeline {
    made: Vec<Made>,
    deleted_alone: HashMap<String, Instant>,
    deleted: HashMap<String, Instant>,
    seen: Seen,
}

/// Runs a round.
pub(super) async fn run(bench: &Bench<'_>, subject: Subject, number: usize) -> Result<Round> {
    let node = format!("bench-{subject}-{number}");
    let mut backend = Backend::start(bench, subject, &node).await?;
    tokio::time::sleep(QUIET).await;
    let user = backend.user(&node);
    let process = backend.process();
    let memory_idle = process.map(usage::memory).transpose()?;
    let cpu_before = process.map(usage::cpu).transpose()?;
    let mark = bench.plane.audit().mark()?;

    let load = Load {
        client: &bench.client,
        namespace: &bench.namespace,
        node: &node,
        writers: bench.writers,
        tell: backend.channel(),
        names: Names::Nothing,
    };
    let timeline = tokio::select! {
        timeline = Box::pin(drive(bench, &load)) => timeline?,
        error = backend.failed() => return Err(error),
    };

    let cpu_after = process.map(usage::cpu).transpose()?;
    let memory_peak = process.map(usage::memory).transpose()?;
    let calls: Vec<Call> = bench.plane.audit().since(&mark)?.into_iter().filter(|call| call.user == user).collect();
    backend.stop()?;
    Api::<Node>::all(bench.client.clone()).delete(&node, &DeleteParams::default()).await?;

    let mut round = timeline.figures(subject, number)?;
    round.count(&calls, bench.pods);
    round.cpu_ms_per_pod = cpu_before.zip(cpu_after).map(|(before, after)| per_pod(millis(after - before), bench.pods));
    round.rss_idle_mb = memory_idle.map(|(now, _)| now);
    round.rss_peak_mb = memory_peak.map(|(_, most)| most);
    Ok(round)
}

async fn drive(bench: &Bench<'_>, load: &Load<'_>) -> Result<Timeline> {
    let mut observer = Observer::start(&bench.client, load.namespace).await?;
    let names = (0..bench.pods).map(|number| format!("{}-{number}", load.node)).collect();
    let made = load.create(names).await?;
    observer.running(bench.pods, DEADLINE).await?;
    let (alone, burst) = made.split_at(LONE.min(bench.pods / 5));
    let mut deleted_alone = HashMap::new();
    for pod in alone {
        deleted_alone.extend(load.delete(std::slice::from_ref(pod)).await?);
        observer.gone(deleted_alone.len(), DEADLINE).await?;
    }
    let deleted = load.delete(burst).await?;
    observer.gone(bench.pods, DEADLINE).await?;
    Ok(Timeline { deleted_alone, deleted, seen: observer.seen(), made })
}

impl Timeline {
    fn figures(&self, subject: Subject, number: usize) -> Result<Round> {
        let created: HashMap<String, Instant> = self.made.iter().map(|pod| (pod.name.clone(), pod.sent)).collect();
        let starts = latencies(&created, &self.seen.running)?;
        let lone_deletes = latencies(&self.deleted_alone, &self.seen.gone)?;
        let deletes = latencies(&self.deleted, &self.seen.gone)?;
        Ok(Round {
            subject,
            number,
            running_per_s: rate(&created, &self.seen.running)?,
            start_p50_ms: stats::percentile(&starts, 50),
            start_p99_ms: stats::percentile(&starts, 99),
            gone_per_s: rate(&self.deleted, &self.seen.gone)?,
            lone_delete_p50_ms: stats::percentile(&lone_deletes, 50),
            delete_p50_ms: stats::percentile(&deletes, 50),
            delete_p99_ms: stats::percentile(&deletes, 99),
            calls_per_pod: f64::NAN,
            calls_4xx: 0,
            calls: BTreeMap::new(),
            cpu_ms_per_pod: None,
            rss_idle_mb: None,
            rss_peak_mb: None,
            watch_breaks: self.seen.breaks,
            load_average: super::report::load_average(),
        })
    }
}

impl Round {
    fn count(&mut self, calls: &[Call], pods: usize) {
        let for_pods = calls.iter().filter(|call| {
            call.resource != "leases" && call.resource != "nodes" && call.verb != "watch" && call.verb != "list"
        });
        self.calls_per_pod = per_pod(as_f64(for_pods.count()), pods);
        self.calls_4xx = calls.iter().filter(|call| (400..500).contains(&call.code)).count();
        self.calls = audit::tally(calls);
    }
}

/// Milliseconds from `begun` to `ended`, for each name in `begun`.
fn latencies(begun: &HashMap<String, Instant>, ended: &HashMap<String, Instant>) -> Result<Vec<f64>> {
    begun
        .iter()
        .map(|(name, begun)| {
            let ended = ended.get(name).with_context(|| format!("the watch never saw {name}"))?;
            Ok(millis(ended.duration_since(*begun)))
        })
        .collect()
}

/// Pods per second, from the first beginning to the last end.
fn rate(begun: &HashMap<String, Instant>, ended: &HashMap<String, Instant>) -> Result<f64> {
    let first = begun.values().min().context("no pods")?;
    let last = begun.keys().filter_map(|name| ended.get(name)).max().context("no pods")?;
    Ok(as_f64(begun.len()) / last.duration_since(*first).as_secs_f64())
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn per_pod(amount: f64, pods: usize) -> f64 {
    amount / as_f64(pods)
}

#[expect(clippy::cast_precision_loss, reason = "counts of pods and calls stay far below 2^52")]
fn as_f64(count: usize) -> f64 {
    count as f64
}
