//! When pods become Running and when they are gone, as one watch on their node sees it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::{StreamExt, pin_mut};
use kube::Client;
use kube::api::WatchEvent;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::requests::{self, ListView, PodView};

/// Moments of pods, by name.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub(super) running: HashMap<String, Instant>,
    pub(super) gone: HashMap<String, Instant>,
}

/// A running watch.
pub(super) struct Observer {
    seen: Arc<Mutex<Seen>>,
    /// Numbers of pods that have been Running, and that are gone.
    counts: watch::Receiver<(usize, usize)>,
    task: JoinSet<Result<()>>,
}

impl Observer {
    /// Begins to watch the pods of `node`.
    pub(super) async fn start(client: &Client, node: &str) -> Result<Self> {
        let list: ListView = client.request(requests::of_node(node, "limit=1")?).await?;
        let since = list.metadata.resource_version;
        let query = format!("watch=true&timeoutSeconds=3600&resourceVersion={since}");
        let events = client.request_events::<PodView>(requests::of_node(node, &query)?).await?;
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (sender, counts) = watch::channel((0, 0));
        let mut task = JoinSet::new();
        let record = Arc::clone(&seen);
        task.spawn(async move {
            pin_mut!(events);
            while let Some(event) = events.next().await {
                sender.send_replace(note(&record, event?)?);
            }
            bail!("the API server ended the watch")
        });
        Ok(Self { seen, counts, task })
    }

    /// Waits until `pods` have been Running.
    pub(super) async fn running(&mut self, pods: usize, deadline: Duration) -> Result<()> {
        self.until("Running", pods, deadline, |(running, _)| running).await
    }

    /// Waits until `pods` are gone.
    pub(super) async fn gone(&mut self, pods: usize, deadline: Duration) -> Result<()> {
        self.until("gone", pods, deadline, |(_, gone)| gone).await
    }

    /// All moments so far.
    pub(super) fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn until(
        &mut self,
        what: &str,
        pods: usize,
        deadline: Duration,
        count: impl Fn((usize, usize)) -> usize,
    ) -> Result<()> {
        let reached = self.counts.wait_for(|counts| count(*counts) >= pods);
        let broken = match tokio::time::timeout(deadline, reached).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(_)) => true,
            Err(_) => false,
        };
        if broken && let Some(outcome) = self.task.join_next().await {
            outcome?.context("the watch on the node's pods broke")?;
        }
        bail!("waited {deadline:?} for {pods} pods to be {what}; {} are", count(*self.counts.borrow()))
    }
}

fn note(seen: &Mutex<Seen>, event: WatchEvent<PodView>) -> Result<(usize, usize)> {
    let now = Instant::now();
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    match event {
        WatchEvent::Added(pod) | WatchEvent::Modified(pod) if pod.status.phase == "Running" => {
            seen.running.entry(pod.metadata.name).or_insert(now);
        }
        WatchEvent::Deleted(pod) => {
            seen.gone.insert(pod.metadata.name, now);
        }
        WatchEvent::Error(status) => bail!("{}", status.message),
        WatchEvent::Added(_) | WatchEvent::Modified(_) | WatchEvent::Bookmark(_) => {}
    }
    Ok((seen.running.len(), seen.gone.len()))
}
