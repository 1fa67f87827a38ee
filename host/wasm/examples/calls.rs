//! How long a warm call takes: `cargo run --release -p pluglet-wasm --example calls`.
//!
//! In: the components that `cargo xtask build-plugins` makes. Out: times on standard output. Invariant: it measures through
//! [`WasmProvider`], as the host calls it, with a pod of about 4 KB; what JSON alone costs is printed beside it.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use pluglet_model::provider::Provider;
use pluglet_model::{PodKey, PodPlan};
use pluglet_wasm::{Limits, Metrics, ProviderOptions, WasmProvider, compile};

/// Calls that are measured, and as many pods.
const CALLS: usize = 10_000;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    // This program is its own compiler, as pluglet is.
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == compile::COMMAND) {
        return Ok(compile::main(arguments));
    }
    tokio::runtime::Runtime::new()?.block_on(bench())?;
    Ok(ExitCode::SUCCESS)
}

async fn bench() -> Result<(), Box<dyn Error>> {
    let state = tempfile::tempdir()?;
    let plans: Vec<PodPlan> = (0..CALLS).map(plan).collect::<Result<_, _>>()?;
    json(&plans)?;
    for plugin in ["hello", "mock"] {
        let options = options(plugin, state.path())?;
        let begun = Instant::now();
        let (provider, mut events) = WasmProvider::start(options.clone()).await?;
        println!("{plugin}: compiled and started in {:?}", begun.elapsed());
        // Events are taken as the host would, so that they do not hold up the provider.
        let drain = async { while events.recv().await.is_some() {} };
        let measure = measure(plugin, &provider, &plans);
        tokio::select! {
            // Cancel-safe: nothing is kept.
            () = drain => {}
            // Cancel-safe: the other arm ends only with the provider.
            measured = measure => measured?,
        }
        provider.stop(Duration::from_secs(5)).await;

        let begun = Instant::now();
        let (provider, _events) =
            WasmProvider::start(ProviderOptions { node_name: "again".to_owned(), ..options }).await?;
        println!("{plugin}: started with cached code in {:?}", begun.elapsed());
        provider.stop(Duration::from_secs(5)).await;
    }
    Ok(())
}

async fn measure(plugin: &str, provider: &WasmProvider, plans: &[PodPlan]) -> Result<(), Box<dyn Error>> {
    let (first, rest) = plans.split_at(CALLS / 2);
    let mut times = Vec::with_capacity(first.len());
    let cpu = cpu_time()?;
    for plan in first {
        let begun = Instant::now();
        provider.create(plan).await?;
        times.push(begun.elapsed());
    }
    report(&format!("{plugin}: create, one after the other"), &mut times, cpu_time()? - cpu);

    let (begun, cpu) = (Instant::now(), cpu_time()?);
    let mut running = FuturesUnordered::new();
    for plan in rest {
        if running.len() >= 64
            && let Some(done) = running.next().await
        {
            let _: PodStatus = done?;
        }
        running.push(provider.create(plan));
    }
    while let Some(done) = running.next().await {
        done?;
    }
    let calls = u32::try_from(rest.len())?;
    let (each, cpu) = (begun.elapsed() / calls, (cpu_time()? - cpu) / calls);
    println!("{plugin}: create, 64 at once: {each:?} each, {:.0}/s, CPU {cpu:?} each", 1.0 / each.as_secs_f64());

    // `hello` finds a status by listing, which says nothing about the way there and back.
    if plugin == "mock" {
        let mut times = Vec::with_capacity(first.len());
        let cpu = cpu_time()?;
        for plan in first {
            let begun = Instant::now();
            provider.status(&plan.key).await?;
            times.push(begun.elapsed());
        }
        report(&format!("{plugin}: status, one after the other"), &mut times, cpu_time()? - cpu);
    }

    let begun = Instant::now();
    let listed = provider.list().await?.len();
    println!("{plugin}: list of {listed} pods: {:?}", begun.elapsed());
    Ok(())
}

/// What the host's side of the JSON costs, which is part of every create.
fn json(plans: &[PodPlan]) -> Result<(), Box<dyn Error>> {
    let bytes = plans.first().map_or(Ok(0), |plan| serde_json::to_string(&*plan.pod).map(|json| json.len()))?;
    let begun = Instant::now();
    for plan in plans {
        std::hint::black_box(serde_json::to_string(&*plan.pod)?);
    }
    println!("a pod of {bytes} bytes to JSON: {:?} each", begun.elapsed() / u32::try_from(plans.len())?);
    Ok(())
}

fn report(what: &str, times: &mut [Duration], cpu: Duration) {
    times.sort_unstable();
    let at = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or_default();
    let each = cpu / u32::try_from(times.len().max(1)).unwrap_or(u32::MAX);
    println!("{what}: p50 {:?}, p99 {:?}, CPU {each:?} each", at(50), at(99));
}

/// CPU time of this process so far, in steps of 10 ms. On a machine that others use too it says more than the clock.
fn cpu_time() -> Result<Duration, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The second field is the program's name in parentheses and may hold anything; user and system time are 14 and 15.
    let after_name = stat.rsplit_once(") ").ok_or("/proc/self/stat has another form")?.1;
    let ticks: u64 = after_name.split(' ').skip(11).take(2).map(str::parse::<u64>).sum::<Result<_, _>>()?;
    Ok(Duration::from_millis(ticks * 10))
}

fn options(plugin: &str, state: &Path) -> std::io::Result<ProviderOptions> {
    let components = std::env::var_os("PLUGLET_COMPONENTS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/wasm32-wasip2/component"),
        PathBuf::from,
    );
    Ok(ProviderOptions {
        name: plugin.to_owned(),
        component: components.join(format!("{plugin}.wasm")),
        node_name: "bench".to_owned(),
        cluster_id: "cluster".to_owned(),
        config_json: "{}".to_owned(),
        grants: BTreeMap::new(),
        state_dir: state.to_owned(),
        limits: Limits::default(),
        compiler: std::env::current_exe()?,
        metrics: Metrics::default(),
    })
}

fn plan(n: usize) -> Result<PodPlan, serde_json::Error> {
    let uid = format!("8b1c7f0e-2f9a-4a64-9e4c-{n:012}");
    let name = format!("web-7c9d8b6f5-{n}");
    let container = |c: usize| {
        serde_json::json!({
            "name": format!("container-{c}"),
            "image": format!("registry.example.com/team/service-{c}:v1.2.3"),
            "command": ["/bin/server"],
            "args": (0..6).map(|i| format!("--some-flag-number-{i}=some-value-{i}")).collect::<Vec<_>>(),
            "env": (0..10).map(|i| serde_json::json!({"name": format!("ENVIRONMENT_VARIABLE_{i}"), "value": format!("value-{i}")})).collect::<Vec<_>>(),
            "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
            "resources": {"requests": {"cpu": "250m", "memory": "256Mi"}, "limits": {"cpu": "500m", "memory": "512Mi"}},
        })
    };
    let pod: Pod = serde_json::from_value(serde_json::json!({
        "metadata": {
            "uid": uid, "namespace": "team-a", "name": name, "generation": 1,
            "labels": (0..6).map(|i| (format!("app.kubernetes.io/label-{i}"), format!("value-{i}"))).collect::<BTreeMap<_, _>>(),
        },
        "spec": {"nodeName": "bench", "restartPolicy": "Always", "containers": [container(0), container(1), container(2)]},
    }))?;
    let key = PodKey::new(&uid, "team-a", &name);
    Ok(PodPlan { key, generation: 1, pod: pod.into(), volumes: Vec::new(), registry_credentials: Vec::new() })
}
