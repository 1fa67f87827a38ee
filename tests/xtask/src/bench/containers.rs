//! `bench --containers`: what pods of real containers cost, beside the same calls sent straight to the engine.
//!
//! In: an engine of the bench's own. Out: tables on stdout. The two take turns, for the machine is shared: each creates and deletes some pods one at a
//! time, then many at once, waits while they run, and deletes them at once with a grace of 30 s. Their process ends as soon as it is told to.
//!
//! The direct calls are the limit: what the engine itself needs for such pods, without an API server and without anybody who decides. pluglet's calls
//! go through a socket that counts them, which costs each some 0.1 ms.

mod account;
mod calls;
mod direct;
mod driven;
mod figures;
mod report;
mod tap;

use std::time::Duration;

use anyhow::{Context, Result, bail};
use engine::{Engine, Options, Started};

use super::Bench;
use crate::cargo;
use account::Account;
use report::Report;

/// Pods at once, unless told otherwise.
pub(super) const PODS: usize = 30;
/// Of each side.
pub(super) const ROUNDS: usize = 2;
/// Pods one at a time.
const ALONE: usize = 5;
/// What a user's delete has unless told otherwise.
const GRACE: Duration = Duration::from_secs(30);
/// How long is looked at pods that only run.
const IDLE: Duration = Duration::from_secs(10);
/// For what is under way to end.
const QUIET: Duration = Duration::from_secs(1);

/// What each pod runs. It ends at once when it is told to.
const SCRIPT: &str = "trap 'exit 0' TERM; sleep 1000 & wait";
/// What each sandbox runs, for there is no pause image here.
const SANDBOX_COMMAND: [&str; 3] = ["/bin/sh", "-c", "trap 'exit 0' TERM INT; sleep 2147483 & wait"];

/// What both sides get.
struct Setting<'a> {
    engine: &'a Engine,
    account: &'a Account,
    pods: usize,
}

/// Measures both sides in turns.
pub(super) async fn measure(bench: &Bench<'_>, rounds: usize) -> Result<Report> {
    let engine = match Engine::start(Options::default()).await? {
        Started::Ready(engine) => engine,
        Started::Skipped(why) => bail!("pods with real containers need an engine: {why}"),
    };
    let account = Account::open(&engine)?;
    let setting = Setting { engine: &engine, account: &account, pods: bench.pods };
    let report = Box::pin(take_turns(bench, &setting, rounds)).await;
    // Whatever came of it, and before the control group that its processes are in.
    engine.stop().await?;
    report
}

async fn take_turns(bench: &Bench<'_>, setting: &Setting<'_>, rounds: usize) -> Result<Report> {
    let mut all = vec![];
    for number in 1..=rounds {
        cargo::heading(&format!("round {number} of {rounds}: {} pods straight at the engine", setting.pods));
        let direct = Box::pin(direct::run(setting, number)).await.context("straight at the engine")?;
        eprintln!("{}", report::line_of(&direct));
        all.push(direct);
        cargo::heading(&format!("round {number} of {rounds}: {} pods by way of pluglet", setting.pods));
        let driven = Box::pin(driven::run(bench, setting, number)).await.context("by way of pluglet")?;
        eprintln!("{}", report::line_of(&driven));
        all.push(driven);
    }
    Ok(Report::new(setting, all))
}
