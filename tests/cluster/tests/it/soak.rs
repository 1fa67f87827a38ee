//! Random lives of pods, with everything going wrong that can: at the end the API server, pluglet and the provider agree.
//!
//! In: `PLUGLET_SOAK_SEED` (else a random one), `PLUGLET_SOAK_SECONDS` (25). Out: the seed, and how many steps were made. Invariant: the same seed makes
//! the same steps in the same order; only how far each has come when the next begins is the machine's. `cargo xtask soak` runs it for minutes.
//!
//! It has a control plane of its own, since it restarts the API server.

mod act;
mod agreement;
mod plan;

use std::collections::HashMap;
use std::fmt::Display;
use std::str::FromStr;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use cluster::{Happened, History, Node, World, config_map, phase, uid};
use controlplane::{ControlPlane, Options, dump};
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use act::act;
use plan::{CONFIG_MAPS, Random, Step};

const SECONDS: u64 = 25;
/// Steps that are told when it fails.
const TOLD: usize = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_random_lives_and_faults_api_pluglet_and_provider_agree() -> Result<()> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let seed = from_environment("PLUGLET_SOAK_SEED")?.unwrap_or(u64::from(now.subsec_nanos()) ^ now.as_secs());
    let seconds = from_environment("PLUGLET_SOAK_SECONDS")?.unwrap_or(SECONDS);
    eprintln!("soak: seed {seed}, {seconds} s");
    let mut told = vec![];
    let outcome = Box::pin(soak(seed, Duration::from_secs(seconds), &mut told)).await;
    eprintln!("soak: {} steps", told.len());
    outcome.with_context(|| {
        let last = told.get(told.len().saturating_sub(TOLD)..).unwrap_or_default().join("\n  ");
        format!("seed {seed} (again: cargo xtask soak --seed {seed}); the last steps:\n  {last}\n")
    })
}

fn from_environment<T: FromStr<Err: Display>>(name: &str) -> Result<Option<T>> {
    let Ok(text) = std::env::var(name) else { return Ok(None) };
    match text.parse() {
        Ok(value) => Ok(Some(value)),
        Err(error) => bail!("{name}={text:?}: {error}"),
    }
}

async fn soak(seed: u64, duration: Duration, told: &mut Vec<String>) -> Result<()> {
    let plane: &'static ControlPlane = Box::leak(Box::new(ControlPlane::start(Options::default()).await?));
    let world = World::on(plane, "soak").await?;
    let maps: Vec<_> = CONFIG_MAPS.iter().map(|name| config_map(name, &json!({ "version": "0" }))).collect();
    world.create(&maps).await?;
    let mut node = world.node("node-soak").await?;
    let history = History::begin(world.pods(), None).await?;
    let live = async {
        drive(&world, &mut node, seed, duration, told).await?;
        agreement::check(&world, &mut node).await
    };
    let outcome = tokio::select! {
        outcome = Box::pin(live) => outcome,
        wrong = Box::pin(never_wrong(history)) => wrong,
    };
    if outcome.is_err() {
        keep(&world, &node, seed, told);
    }
    outcome
}

/// What may explain a failure: its control plane goes away with the test.
fn keep(world: &World, node: &Node, seed: u64, told: &[String]) {
    let dir = dump::directory().join(format!("soak-{seed}"));
    let kept = world.plane.dump(&dir).and_then(|()| {
        std::fs::write(dir.join("steps.txt"), told.join("\n"))?;
        for entry in std::fs::read_dir(world.plane.dir().join("logs"))?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(&node.name) {
                std::fs::copy(entry.path(), dir.join(entry.file_name()))?;
            }
        }
        Ok(())
    });
    eprintln!("soak: what may explain it is in {}: {kept:?}", dir.display());
}

/// Makes steps until the time is up.
async fn drive(world: &World, node: &mut Node, seed: u64, duration: Duration, told: &mut Vec<String>) -> Result<()> {
    let mut random = Random(seed);
    let begun = Instant::now();
    while begun.elapsed() < duration {
        let step = Step::next(&mut random, told.len());
        told.push(format!("{:>5}: {step:?}", told.len()));
        act(world, node, told.len(), &step).await.with_context(|| format!("{step:?}"))?;
    }
    Ok(())
}

/// Watches all pods for what must never be seen of one. Ends only when it was.
async fn never_wrong(mut history: History<Pod>) -> Result<()> {
    let mut ended: HashMap<String, String> = HashMap::new();
    loop {
        let pod = match history.next().await? {
            Happened::Applied(pod) => pod,
            Happened::Deleted(pod) => {
                ended.remove(uid(&pod));
                continue;
            }
        };
        let (uid, phase) = (uid(&pod).to_owned(), phase(&pod).to_owned());
        for container in pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten()) {
            let id = container.container_id.as_deref().unwrap_or_default();
            ensure!(id.is_empty() || id.contains(&uid), "{uid} has the status of another pod's container: {id}");
        }
        if let Some(end) = ended.get(&uid) {
            ensure!(*end == phase, "{:?} ({uid}) was {end} and became {phase}", pod.metadata.name);
        } else if phase == "Succeeded" || phase == "Failed" {
            ended.insert(uid, phase);
        }
    }
}
