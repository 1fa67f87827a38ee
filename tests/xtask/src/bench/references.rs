//! `bench --references`: what pods cost that name a Secret, a ConfigMap and a token, beside as many that name nothing.
//!
//! In: how many pods. Out: a table on stdout. Each kind has a pluglet of its own. Its pods are created and bound; when all run and the node has had
//! some time to settle, memory, connections and the calls so far are taken. Then the pods are deleted.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use anyhow::Result;
use controlplane::audit;
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, DeleteParams};

use super::backend::{Backend, Subject};
use super::load::{Load, Names};
use super::observer::Observer;
use super::round::DEADLINE;
use super::table::table;
use super::{Bench, requests, usage};
use crate::cargo;

/// How many pods, unless told otherwise.
pub(super) const PODS: usize = 2000;
/// Before the load, for what is begun to end.
const SETTLE: Duration = Duration::from_secs(15);
/// After it: past the first comparison with the provider's list, which comes every minute and may look at each pod.
const IDLE: Duration = Duration::from_secs(75);
/// What a pod that names things may keep of memory, in bytes, besides what one keeps that names nothing.
const AIM_BYTES: f64 = 12_288.0;

/// Memory in MB, connections.
#[derive(Clone, Copy, Debug)]
struct Held {
    memory: f64,
    connections: usize,
}

/// What was measured for one kind of pods.
#[derive(Debug)]
struct Cost {
    title: &'static str,
    before: Held,
    after: Held,
    /// At most, MB.
    peak: f64,
    /// Calls of the node from the first create until all had settled, by verb and resource.
    calls: BTreeMap<String, usize>,
}

/// Both kinds, beside each other.
pub(super) struct Comparison {
    pods: usize,
    costs: Vec<Cost>,
}

/// Measures both kinds.
pub(super) async fn compare(bench: &Bench<'_>) -> Result<Comparison> {
    let mut costs = vec![];
    for (title, names) in [("plain", Names::Nothing), ("with references", Names::Objects)] {
        cargo::heading(&format!("{} pods, {title}", bench.pods));
        costs.push(Box::pin(measure(bench, title, names)).await?);
    }
    Ok(Comparison { pods: bench.pods, costs })
}

async fn measure(bench: &Bench<'_>, title: &'static str, names: Names) -> Result<Cost> {
    let node = format!("bench-{}", title.split(' ').next().unwrap_or(title));
    let pods: Vec<String> = (0..bench.pods).map(|number| format!("{node}-{number}")).collect();
    if names == Names::Objects {
        make_objects(bench, &pods).await?;
    }
    let mut backend = Backend::start(bench, Subject::Pluglet, &node).await?;
    tokio::time::sleep(SETTLE).await;
    let process = backend.process().unwrap_or_default();
    let before = held(bench, process)?;
    let mark = bench.plane.audit().mark()?;

    let load = Load {
        client: &bench.client,
        namespace: &bench.namespace,
        node: &node,
        writers: bench.writers,
        tell: None,
        names,
    };
    let user = backend.user(&node);
    let cost = tokio::select! {
        cost = Box::pin(async {
            let mut observer = Observer::start(&bench.client, &bench.namespace).await?;
            let made = load.create(pods).await?;
            observer.running(bench.pods, DEADLINE).await?;
            tokio::time::sleep(IDLE).await;
            let after = held(bench, process)?;
            let (_, peak) = usage::memory(process)?;
            let calls = bench.plane.audit().since(&mark)?;
            let calls = audit::tally(calls.iter().filter(|call| call.user == user));
            load.delete(&made).await?;
            observer.gone(bench.pods, DEADLINE).await?;
            anyhow::Ok(Cost { title, before, after, peak, calls })
        }) => cost?,
        error = backend.failed() => return Err(error),
    };
    backend.stop()?;
    Api::<Node>::all(bench.client.clone()).delete(&node, &DeleteParams::default()).await?;
    Ok(cost)
}

/// A Secret and a ConfigMap for each pod, of its name.
async fn make_objects(bench: &Bench<'_>, pods: &[String]) -> Result<()> {
    let make = async |name: &String| {
        for request in requests::objects(&bench.namespace, name)? {
            requests::send(&bench.client, request).await?;
        }
        anyhow::Ok(())
    };
    stream::iter(pods).map(make).buffer_unordered(bench.writers).try_collect().await
}

fn held(bench: &Bench<'_>, process: u32) -> Result<Held> {
    let (memory, _) = usage::memory(process)?;
    let port = bench.plane.server().rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or_default();
    Ok(Held { memory, connections: usage::connections(process, port)? })
}

impl Cost {
    /// What a pod keeps, in bytes.
    #[expect(clippy::cast_precision_loss, reason = "counts of pods stay far below 2^52")]
    fn bytes_per_pod(&self, pods: usize) -> f64 {
        (self.after.memory - self.before.memory) * 1e6 / pods as f64
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of calls stay far below 2^52")]
    fn calls_per_pod(&self, kind: Option<&str>, pods: usize) -> f64 {
        let wanted = self.calls.iter().filter(|(of, _)| kind.is_none_or(|kind| kind == of.as_str()));
        wanted.map(|(_, count)| *count).sum::<usize>() as f64 / pods as f64
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} pods of each kind; calls are those of the node until all had settled", self.pods)?;
        let row = |title: &str, value: &dyn Fn(&Cost) -> String| {
            let mut cells = vec![title.to_owned()];
            cells.extend(self.costs.iter().map(value));
            cells
        };
        let mut table = table(row("", &|cost| cost.title.to_owned()));
        table.add_row(row("RSS idle before, MB", &|cost| format!("{:.1}", cost.before.memory)));
        table.add_row(row("RSS at peak, MB", &|cost| format!("{:.1}", cost.peak)));
        table.add_row(row("RSS settled, MB", &|cost| format!("{:.1}", cost.after.memory)));
        table.add_row(row("kept per pod, KiB", &|cost| format!("{:.1}", cost.bytes_per_pod(self.pods) / 1024.0)));
        table.add_row(row("connections before", &|cost| cost.before.connections.to_string()));
        table.add_row(row("connections settled", &|cost| cost.after.connections.to_string()));
        table.add_row(row("API calls per pod", &|cost| format!("{:.2}", cost.calls_per_pod(None, self.pods))));
        let mut kinds: Vec<&String> = self.costs.iter().flat_map(|cost| cost.calls.keys()).collect();
        kinds.sort();
        kinds.dedup();
        for kind in kinds {
            table.add_row(row(kind, &|cost| format!("{:.3}", cost.calls_per_pod(Some(kind), self.pods))));
        }
        writeln!(f, "{table}")?;
        if let [plain, named] = self.costs.as_slice() {
            let more = named.bytes_per_pod(self.pods) - plain.bytes_per_pod(self.pods);
            let kept = named.bytes_per_pod(self.pods);
            let verdict = if kept <= AIM_BYTES { "met" } else { "MISSED" };
            writeln!(
                f,
                "a pod with references keeps {:.1} KiB, {:.1} KiB more than a plain one; aim: at most {:.0} KiB over the base, {verdict}",
                kept / 1024.0,
                more / 1024.0,
                AIM_BYTES / 1024.0
            )?;
        }
        Ok(())
    }
}
