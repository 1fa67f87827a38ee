//! Owned tasks: everything that runs beside something else is spawned here, has a name, and is awaited at shutdown.
//!
//! In: futures. Out: nothing but their effects. Invariant: no task outlives [`Tasks::drain`], and a critical task that ends ends the
//! process, because a node that only looks alive is worse than one that restarts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// The process's tasks. Clones are the same set.
#[derive(Clone, Debug)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    cancel: CancellationToken,
    running: Arc<Mutex<BTreeMap<&'static str, usize>>>,
    ended: Arc<watch::Sender<Option<&'static str>>>,
}

impl Tasks {
    pub(crate) fn new() -> Self {
        Self {
            tracker: TaskTracker::new(),
            cancel: CancellationToken::new(),
            running: Arc::default(),
            ended: Arc::new(watch::Sender::new(None)),
        }
    }

    /// Cancelled when the process drains. A task ends what it is doing and returns.
    pub(crate) fn cancel_token(&self) -> CancellationToken {
        self.cancel.clone()
    }

    /// Runs a task that may end at any time.
    pub(crate) fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let guard = Running::enter(name, self.running.clone());
        // Each block around a future would hold it twice, and there is a task for each pod.
        let task = Box::pin(task);
        self.tracker.spawn(
            async move {
                let _guard = guard;
                task.await;
            }
            .instrument(tracing::Span::current()),
        );
    }

    /// Runs a task that must not end before the drain: its end, by return or by panic, ends the process.
    pub(crate) fn spawn_critical(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let alarm = Alarm { name, cancel: self.cancel.clone(), ended: self.ended.clone() };
        self.spawn(name, async move {
            let _alarm = alarm;
            task.await;
        });
    }

    /// Waits until a critical task has ended; answers its name.
    pub(crate) async fn critical_end(&self) -> &'static str {
        let mut ended = self.ended.subscribe();
        match ended.wait_for(Option::is_some).await {
            Ok(name) => name.unwrap_or("unknown"),
            Err(_) => "unknown",
        }
    }

    /// How many run, by name.
    pub(crate) fn running(&self) -> Vec<(&'static str, usize)> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.iter().map(|(name, count)| (*name, *count)).collect()
    }

    /// Cancels all tasks and waits for their end. Answers those that did not end within `grace`.
    pub(crate) async fn drain(&self, grace: Duration) -> Vec<String> {
        self.cancel.cancel();
        self.tracker.close();
        if tokio::time::timeout(grace, self.tracker.wait()).await.is_ok() {
            return vec![];
        }
        let running = self.running().into_iter().filter(|(_, count)| *count > 0);
        running.map(|(name, count)| format!("{name} ({count})")).collect()
    }
}

struct Running {
    name: &'static str,
    running: Arc<Mutex<BTreeMap<&'static str, usize>>>,
}

impl Running {
    fn enter(name: &'static str, running: Arc<Mutex<BTreeMap<&'static str, usize>>>) -> Self {
        *running.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default() += 1;
        Self { name, running }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = running.get_mut(self.name) {
            *count -= 1;
        }
    }
}

struct Alarm {
    name: &'static str,
    cancel: CancellationToken,
    ended: Arc<watch::Sender<Option<&'static str>>>,
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if !self.cancel.is_cancelled() {
            self.ended.send_replace(Some(self.name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_critical_task_that_panics_is_noticed_by_name() {
        let tasks = Tasks::new();
        tasks.spawn_critical("lease", async { panic!("deliberate") });
        assert_eq!(tasks.critical_end().await, "lease");
    }

    #[tokio::test(start_paused = true)]
    async fn drain_names_the_tasks_that_do_not_end() {
        let tasks = Tasks::new();
        let cancel = tasks.cancel_token();
        tasks.spawn("polite", async move { cancel.cancelled().await });
        tasks.spawn("deaf", std::future::pending());
        assert_eq!(tasks.drain(Duration::from_secs(1)).await, vec!["deaf (1)"]);
    }
}
