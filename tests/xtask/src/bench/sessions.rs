//! `bench --sessions`: what logs, commands and forwarded ports cost beside a bare TCP connection in the same run.
//!
//! In: nothing. Out: tables on stdout. All goes from this process directly to the node, over TLS, as the API server's calls do. The pods are the
//! mock's, so the other end of each session is a component in the sandbox.
//!
//! This process shares the machine with the node. Rates are therefore told for the wall clock, and for each second of CPU time that pluglet has used.

mod crowd;
mod raw;
mod traffic;

use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, DeleteParams, PostParams};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Client, ResourceExt};
use serde_json::json;

use super::Bench;
use super::backend::{Backend, Subject};
use super::table::table;
use crate::cargo;
use crowd::Crowd;
use traffic::{Rate, Trips};

const NODE: &str = "bench-sessions";
const RUNNING: Duration = Duration::from_secs(30);
/// Bytes of a log that is read.
const LOG: u64 = 512 << 20;
/// Lengths of its lines, with their ends.
const LINES: [usize; 4] = [80, 200, 1024, 16 * 1024];
/// What goes through one forwarded connection.
const FORWARDED: u64 = 1_000_000_000;
/// Sessions at once.
const CROWD: usize = 500;

/// Where sessions go.
#[derive(Clone)]
struct Place {
    /// Of the node itself.
    client: Client,
    namespace: String,
    process: u32,
}

/// Everything measured.
pub(super) struct Figures {
    raw_copy: Rate,
    logs: Vec<(usize, Rate)>,
    forwarded: Rate,
    raw_trips: Trips,
    trips: Trips,
    crowds: Vec<Crowd>,
}

/// Measures all.
pub(super) async fn measure(bench: &Bench<'_>) -> Result<Figures> {
    let mut backend = Backend::start(bench, Subject::Pluglet, NODE).await?;
    let Backend::Pluglet(node) = &backend else { anyhow::bail!("no node") };
    let url = node.url().parse()?;
    let client = bench.plane.client_with(|config| {
        config.cluster_url = url;
        config.accept_invalid_certs = true;
        config.default_retry = false;
    });
    let place = Place { client: client.await?, namespace: bench.namespace.clone(), process: node.id() };
    for length in LINES {
        // The line end is the last byte.
        let line = "x".repeat(length - 1);
        pod(
            bench,
            &log_pod(length),
            &json!({"mock.pluglet.dev/log-size": LOG.to_string(), "mock.pluglet.dev/log-line": line}),
        )
        .await?;
    }
    pod(bench, "shell", &json!({})).await?;
    let figures = tokio::select! {
        figures = Box::pin(all(&place)) => figures?,
        error = backend.failed() => return Err(error),
    };
    backend.stop()?;
    Api::<Node>::all(bench.client.clone()).delete(NODE, &DeleteParams::default()).await?;
    Ok(figures)
}

async fn all(place: &Place) -> Result<Figures> {
    cargo::heading("a bare TCP connection");
    let (raw_copy, raw_trips) = (raw::copy(LOG)?, raw::trips()?);
    let mut logs = vec![];
    for length in LINES {
        cargo::heading(&format!("a log with lines of {length} bytes"));
        // The first reading pays for what is made once.
        traffic::log(place, &log_pod(length)).await?;
        logs.push((length, traffic::log(place, &log_pod(length)).await?));
    }
    cargo::heading("a forwarded port");
    let forwarded = traffic::forward(place, FORWARDED).await?;
    cargo::heading("round trips of a command");
    let trips = traffic::trips(place).await?;
    let mut crowds = vec![];
    for deaf in [0, 1] {
        cargo::heading(&format!("{CROWD} commands at once, {deaf} of which nobody reads"));
        crowds.push(crowd::run(place, CROWD, deaf).await?);
    }
    Ok(Figures { raw_copy, logs, forwarded, raw_trips, trips, crowds })
}

fn log_pod(length: usize) -> String {
    format!("log-{length}")
}

/// A pod of the node that runs.
async fn pod(bench: &Bench<'_>, name: &str, annotations: &serde_json::Value) -> Result<()> {
    let pods = Api::<Pod>::namespaced(bench.client.clone(), &bench.namespace);
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": name, "annotations": annotations},
        "spec": {
            "nodeName": NODE, "automountServiceAccountToken": false, "enableServiceLinks": false,
            "containers": [{"name": "main", "image": "example.com/app"}],
        },
    }))?;
    let pod = pods.create(&PostParams::default(), &pod).await?;
    let running = await_condition(pods, name, conditions::is_pod_running());
    tokio::time::timeout(RUNNING, running).await.with_context(|| format!("{} does not run", pod.name_any()))??;
    Ok(())
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rates = table(["", "MiB/s", "of the bare copy", "MiB for each CPU second of pluglet", "aim"]);
        let mut row = |title: String, rate: &Rate, aim: &str| {
            let cpu = rate.per_cpu_second().map_or_else(String::new, |rate| format!("{rate:.0}"));
            let share = format!("{:.2}", rate.per_second() / self.raw_copy.per_second());
            rates.add_row([title, format!("{:.0}", rate.per_second()), share, cpu, aim.to_owned()]);
        };
        row("bare TCP copy".to_owned(), &self.raw_copy, "");
        for (length, rate) in &self.logs {
            row(format!("log, lines of {length} bytes"), rate, "at least 300 a CPU second");
        }
        row("forwarded port".to_owned(), &self.forwarded, "");
        writeln!(f, "{rates}\n")?;

        let mut trips = table(["one byte there and back", "each second", "p50, µs", "p99, µs", "aim"]);
        for (title, figures, aim) in
            [("bare TCP", &self.raw_trips, ""), ("exec, `cat`", &self.trips, "p50 at most 1000 more")]
        {
            trips.add_row([
                title.to_owned(),
                format!("{:.0}", figures.per_second),
                format!("{:.0}", figures.p50_us),
                format!("{:.0}", figures.p99_us),
                aim.to_owned(),
            ]);
        }
        writeln!(f, "{trips}\n")?;

        let mut crowds = table([
            "commands at once",
            "not read",
            "MiB/s of the others",
            "CPU seconds",
            "RSS before, MB",
            "at most",
            "after",
            "tasks before",
            "after",
        ]);
        for crowd in &self.crowds {
            crowds.add_row(crowd.cells());
        }
        writeln!(f, "{crowds}")
    }
}
