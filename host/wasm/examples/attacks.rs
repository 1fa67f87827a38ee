//! What others feel of an attack: `cargo run --release -p pluglet-wasm --example attacks`.
//!
//! In: the hostile provider at work, the mock provider beside it in the same process. Out: for each attack the time from create to Running of
//! the mock's pods, against the same in a quiet run; how late a heartbeat of the host was; what the process grew by. Invariant: quiet and
//! attacked rounds alternate, so that a noisy machine is noisy for both.

#[path = "support/bench.rs"]
mod bench;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use pluglet_egress::{Grant, Target};
use pluglet_model::provider::{Provider as _, ProviderEvent};
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

use bench::{Provided, Result, is_running, plan};

/// Pods in each round, one after the other at this pace.
const PODS: usize = 400;
const PACE: Duration = Duration::from_millis(10);

fn main() -> Result<ExitCode> {
    bench::run(bench)
}

fn attacks() -> Vec<(&'static str, Value)> {
    let request = |op: &str| json!({"op": op, "endpoint": "target", "target": "/granted/echo", "method": "POST"});
    let with = |mut value: Value, field: &str, what: Value| {
        value.as_object_mut().map(|map| map.insert(field.to_owned(), what));
        value
    };
    vec![
        ("10,000 concurrent requests", with(with(request("flood"), "n", json!(10_000)), "bodyBytes", json!(1024))),
        (
            "endless body",
            json!({"op": "send", "endpoint": "target", "target": format!("/granted/stream/{}", 10_u64 << 30)}),
        ),
        ("log flood", json!({"op": "logFlood", "bytes": 256 << 20, "lineBytes": 4096, "to": "log"})),
        ("kv over quota", json!({"op": "kvFill", "keyBytes": 32, "valueBytes": 200_000, "count": 1000})),
        ("leaked handles", json!({"op": "leakStreams", "n": 1_000_000})),
        ("memory bomb", json!({"op": "memoryBomb"})),
        ("CPU spin", json!({"op": "spin"})),
        ("CPU burn that gives way", json!({"op": "busy", "ms": 60_000})),
        ("recursion", json!({"op": "recursion"})),
        ("unreachable", json!({"op": "unreachable"})),
        ("status flood", json!({"op": "status", "uid": "made-up", "phase": "Failed", "n": 100_000})),
        ("event flood", json!({"op": "podEvent", "uid": "made-up", "reason": "Flood", "message": "x", "n": 100_000})),
    ]
}

async fn bench() -> Result<()> {
    let server = bench::serve()?;
    let mock = Provided::start("mock", |_| ()).await?;
    // Warm up.
    round(&mock).await?;
    println!("{:<28} {:>9} {:>9} {:>7} {:>12} {:>9}", "attack", "quiet p99", "p99", "ratio", "heartbeat", "grown");
    for (name, instruction) in attacks() {
        let quiet = round(&mock).await?;
        let grant = Grant::new(Target::base(&format!("http://{server}"))?);
        let hostile = Provided::start("hostile", |options| {
            options.grants.insert("target".to_owned(), grant);
        })
        .await?;
        let before = rss()?;
        let attacked = tokio::select! {
            // Cancel-safe: nothing is kept.
            () = attack(&hostile, &instruction) => unreachable_end(),
            // Cancel-safe: as above.
            round = round(&mock) => round,
        }?;
        let grown = rss()?.saturating_sub(before) >> 20;
        hostile.stop().await;
        let ratio = attacked.p99.as_secs_f64() / quiet.p99.as_secs_f64();
        let late = attacked.heartbeat;
        println!("{name:<28} {:>9.1?} {:>9.1?} {ratio:>7.2} {late:>9.0?} late {grown:>5} MiB", quiet.p99, attacked.p99);
    }
    mock.stop().await;
    Ok(())
}

fn unreachable_end() -> Result<Round> {
    Err("the attack ended by itself".into())
}

/// Attack again and again, and take the events as a host does.
async fn attack(hostile: &Provided, instruction: &Value) {
    let again = async {
        loop {
            // Crashes and refusals are what an attack comes to; the host would try again, too.
            if hostile.perform(instruction).await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    };
    let drain = async {
        let mut events = hostile.events.lock().await;
        while events.recv().await.is_some() {}
        std::future::pending::<()>().await;
    };
    futures::join!(again, drain);
}

struct Round {
    p99: Duration,
    /// How late the worst heartbeat was.
    heartbeat: Duration,
}

/// Pods of the mock, from create to Running, with a heartbeat beside them.
async fn round(mock: &Provided) -> Result<Round> {
    let pods = async {
        let mut events = mock.events.lock().await;
        let mut pace = interval(PACE);
        let mut times = Vec::with_capacity(PODS);
        for _ in 0..PODS {
            pace.tick().await;
            let plan = plan(None);
            let begun = Instant::now();
            let mut running = is_running(&mock.provider.create(&plan).await?);
            while !running {
                let event = events.recv().await.ok_or("the mock is gone")?;
                running = matches!(&event, ProviderEvent::Status(key, status) if key.uid == plan.key.uid && is_running(status));
            }
            times.push(begun.elapsed());
            mock.provider.delete(&plan.key, Duration::ZERO).await?;
        }
        times.sort_unstable();
        Ok::<_, Box<dyn std::error::Error>>(times.get(PODS * 99 / 100).copied().unwrap_or_default())
    };
    let mut worst = Duration::ZERO;
    let heartbeat = async {
        let mut beat = interval(Duration::from_millis(100));
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let due = Instant::now() + Duration::from_millis(100);
            beat.tick().await;
            worst = worst.max(Instant::now().saturating_duration_since(due));
        }
    };
    let p99 = tokio::select! {
        // Cancel-safe: it ends only with the bench.
        () = heartbeat => Duration::ZERO,
        // Cancel-safe: its result is all that is wanted.
        p99 = pods => p99?,
    };
    Ok(Round { p99, heartbeat: worst })
}

/// Resident memory of this process in bytes.
fn rss() -> Result<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = statm.split(' ').nth(1).ok_or("/proc/self/statm has another form")?.parse()?;
    Ok(pages * 4096)
}
