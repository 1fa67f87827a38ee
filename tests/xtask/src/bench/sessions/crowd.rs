//! Many commands at once, all of which write; perhaps some that nobody reads.
//!
//! In: how many. Out: how fast the others were, what pluglet used, and what is left of it afterwards.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use http::Request;
use kube::api::{AttachParams, AttachedProcess};
use kube::core::kubelet_debug::KubeletDebugParams;
use tokio::io::AsyncReadExt;
use tokio::task::JoinSet;

use super::super::usage;
use super::Place;
use super::traffic::{Rate, Watch};

/// What each command writes that is read.
const BYTES: u64 = 2_000_000;
/// A session that nobody reads does not end by itself: its command does, once the client has gone.
const END: Duration = Duration::from_secs(30);
/// Between two looks at whether all has ended.
const LOOK: Duration = Duration::from_millis(100);
/// Connections are opened so many at a time: all together they would only wait for each other's handshakes.
const OPENING: usize = 16;

/// What was measured.
pub(super) struct Crowd {
    commands: usize,
    deaf: usize,
    /// Of those that were read.
    rate: Rate,
    memory_before: f64,
    memory_peak: f64,
    memory_after: f64,
    tasks_before: u64,
    tasks_after: u64,
}

impl Crowd {
    pub(super) fn cells(&self) -> Vec<String> {
        vec![
            self.commands.to_string(),
            self.deaf.to_string(),
            format!("{:.0}", self.rate.per_second()),
            format!("{:.1}", self.rate.cpu_seconds()),
            format!("{:.0}", self.memory_before),
            format!("{:.0}", self.memory_peak),
            format!("{:.0}", self.memory_after),
            self.tasks_before.to_string(),
            self.tasks_after.to_string(),
        ]
    }
}

/// Runs so many commands and reads all but `deaf` of them to their end.
pub(super) async fn run(place: &Place, commands: usize, deaf: usize) -> Result<Crowd> {
    let tasks_before = tasks(place).await?;
    let (memory_before, _) = usage::memory(place.process)?;
    usage::forget_peak(place.process)?;
    let unread = try_join_all((0..deaf).map(|_| open(place, "yes"))).await?;
    let watch = Watch::start(Some(place.process))?;
    let script = format!("yes | head -c {BYTES}");
    let (mut readers, mut opened) = (JoinSet::new(), deaf);
    while opened < commands {
        let count = OPENING.min(commands - opened);
        for process in try_join_all((0..count).map(|_| open(place, &script))).await? {
            readers.spawn(read(process));
        }
        opened += count;
    }
    let mut total = 0;
    while let Some(outcome) = readers.join_next().await {
        total += outcome??;
    }
    let rate = watch.stop(total)?;
    let (_, memory_peak) = usage::memory(place.process)?;
    drop(unread);
    let tasks_after =
        tokio::time::timeout(END, settled(place, tasks_before)).await.context("sessions do not end")??;
    let (memory_after, _) = usage::memory(place.process)?;
    Ok(Crowd { commands, deaf, rate, memory_before, memory_peak, memory_after, tasks_before, tasks_after })
}

async fn open(place: &Place, script: &str) -> Result<AttachedProcess> {
    let target = KubeletDebugParams { name: "shell", namespace: &place.namespace, pod_uid: None };
    let params = AttachParams::default().stdin(false).stderr(false);
    let command = ["sh", "-c", script];
    Ok(place.client.kubelet_node_exec(&target, "main", command, &params).await?)
}

async fn read(mut process: AttachedProcess) -> Result<u64> {
    let mut stdout = process.stdout().context("stdout")?;
    let mut buffer = vec![0; 64 * 1024];
    let mut read = 0;
    while let count @ 1.. = stdout.read(&mut buffer).await? {
        read += count as u64;
    }
    ensure!(read == BYTES, "{read} bytes of a command");
    Ok(read)
}

/// Waits until there are no more tasks than before.
async fn settled(place: &Place, before: u64) -> Result<u64> {
    loop {
        let now = tasks(place).await?;
        if now <= before {
            return Ok(now);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Tasks that pluglet itself says that it has, of whatever kind.
async fn tasks(place: &Place) -> Result<u64> {
    let text = place.client.request_text(Request::get("/metrics").body(vec![])?).await?;
    let counts = text.lines().filter_map(|line| line.strip_prefix("pluglet_tasks{")?.rsplit_once(' '));
    let counts: Vec<u64> = counts.map(|(_, count)| count.parse()).collect::<Result<_, _>>()?;
    ensure!(!counts.is_empty(), "there is no pluglet_tasks in /metrics");
    Ok(counts.iter().sum())
}
