//! When pods become Running and when they are gone, as one watch on their namespace sees it.
//!
//! Not on their node, as a kubelet has it: the API server keeps ten events for such a watcher before it stops to wait for
//! it, and for a watch of a namespace many more. So the observer does not get in the way of the subject's watch, nor lose
//! its own when the subject does not keep up.

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
    /// How often the API server closed the watch.
    pub(super) breaks: usize,
}

/// A running watch.
pub(super) struct Observer {
    seen: Arc<Mutex<Seen>>,
    /// Numbers of pods that have been Running, and that are gone.
    counts: watch::Receiver<(usize, usize)>,
    task: JoinSet<Result<()>>,
}

impl Observer {
    /// Begins to watch the pods of `namespace`.
    pub(super) async fn start(client: &Client, namespace: &str) -> Result<Self> {
        let list: ListView = client.request(requests::pods(namespace, "limit=1")?).await?;
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (sender, counts) = watch::channel((0, 0));
        let mut task = JoinSet::new();
        let follow =
            follow(client.clone(), namespace.to_owned(), list.metadata.resource_version, Arc::clone(&seen), sender);
        task.spawn(follow);
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
            outcome?.context("the watch on the pods broke")?;
        }
        bail!("waited {deadline:?} for {pods} pods to be {what}; {} are", count(*self.counts.borrow()))
    }
}

/// Watches from the version `since` on, for ever.
///
/// The API server closes the watch of whoever does not read fast enough; it is then taken up where it broke off.
async fn follow(
    client: Client,
    namespace: String,
    mut since: String,
    seen: Arc<Mutex<Seen>>,
    counts: watch::Sender<(usize, usize)>,
) -> Result<()> {
    loop {
        let query = format!("watch=true&timeoutSeconds=3600&resourceVersion={since}");
        let events = client.request_events::<PodView>(requests::pods(&namespace, &query)?).await?;
        pin_mut!(events);
        while let Some(event) = events.next().await {
            let (version, now) = note(&seen, event?)?;
            since = version;
            counts.send_replace(now);
        }
        seen.lock().unwrap_or_else(PoisonError::into_inner).breaks += 1;
    }
}

/// Takes down what an event says; answers its version and the numbers of pods so far.
fn note(seen: &Mutex<Seen>, event: WatchEvent<PodView>) -> Result<(String, (usize, usize))> {
    let now = Instant::now();
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    let version = match event {
        WatchEvent::Added(pod) | WatchEvent::Modified(pod) => {
            if pod.status.phase == "Running" {
                seen.running.entry(pod.metadata.name).or_insert(now);
            }
            pod.metadata.resource_version
        }
        WatchEvent::Deleted(pod) => {
            seen.gone.insert(pod.metadata.name, now);
            pod.metadata.resource_version
        }
        WatchEvent::Bookmark(bookmark) => bookmark.metadata.resource_version,
        WatchEvent::Error(status) => bail!("{}", status.message),
    };
    Ok((version, (seen.running.len(), seen.gone.len())))
}
