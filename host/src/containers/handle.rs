//! What a pod's worker and its callers share.
//!
//! In: orders of the callers, what the worker has found. Out: each to the other. Invariant: orders are merged, never queued: only the newest pod and the
//! shortest grace count; nothing that is told gets lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use pluglet_model::pod::Volume;
use pluglet_model::runtime::{ContainerState, ContainerStatus, PodContents};
use pluglet_model::{PodKey, PodPlan};
use pluglet_rules::runtime::status::newest_first;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// One pod.
pub(super) struct Handle {
    pub(super) key: PodKey,
    orders: Mutex<Orders>,
    /// When the pod is to have ended. None: it is to run.
    delete: watch::Sender<Option<Instant>>,
    shown: Mutex<Shown>,
    /// There are orders.
    pub(super) wake: Notify,
}

/// What the worker is to do or to know.
#[derive(Default)]
pub(super) struct Orders {
    /// The pod, as it is to be from now on.
    pub(super) plan: Option<Arc<PodPlan>>,
    /// The pod as the API server has it, where no plan of it was made yet.
    pub(super) recalled: Option<Arc<Pod>>,
    /// New content of its volumes, by name.
    pub(super) volumes: BTreeMap<String, Volume>,
    /// All that the engine has of it, as it was just listed.
    pub(super) contents: Option<PodContents>,
    /// Containers or sandboxes of which something has become.
    pub(super) changed: BTreeSet<String>,
    /// A list says another thing than the worker knows, and may be the older of the two: it is to look at all of the pod itself.
    pub(super) doubted: bool,
    /// By id: containers that failed a probe, and how long they have to stop.
    pub(super) failed: BTreeMap<String, Duration>,
    /// Ids of containers whose startup probe has succeeded.
    pub(super) started: BTreeSet<String>,
}

/// What the worker has found.
#[derive(Clone)]
pub(super) struct Shown {
    pub(super) contents: PodContents,
    pub(super) status: PodStatus,
    pub(super) plan: Option<Arc<PodPlan>>,
}

impl Handle {
    pub(super) fn new(key: PodKey) -> Self {
        let contents = PodContents::none(key.clone());
        let status = PodStatus { phase: Some("Pending".to_owned()), ..PodStatus::default() };
        let shown = Mutex::new(Shown { contents, status, plan: None });
        Self { key, orders: Mutex::default(), delete: watch::Sender::new(None), shown, wake: Notify::new() }
    }

    /// Gives orders.
    pub(super) fn order(&self, give: impl FnOnce(&mut Orders)) {
        give(&mut self.lock());
        self.wake.notify_one();
    }

    /// Orders the pod to be stopped and removed by then. A later order may bring that forward, never put it off.
    pub(super) fn delete(&self, by: Instant) {
        self.delete.send_if_modified(|delete| {
            let sooner = delete.is_none_or(|known| by < known);
            if sooner {
                *delete = Some(by);
            }
            sooner
        });
        self.wake.notify_one();
    }

    /// Takes what was ordered, but for the end of the pod, which stays.
    pub(super) fn take(&self) -> Orders {
        std::mem::take(&mut *self.lock())
    }

    /// When the pod is to have ended; None while it is to run.
    pub(super) fn delete_by(&self) -> Option<Instant> {
        *self.delete.borrow()
    }

    /// Returns once the pod is to end.
    pub(super) async fn deleted(&self) {
        // The sender is a field of this.
        self.delete.subscribe().wait_for(Option::is_some).await.ok();
    }

    /// Returns once the pod is to end sooner than `by`.
    pub(super) async fn ends_before(&self, by: Instant) -> Instant {
        let mut delete = self.delete.subscribe();
        let sooner = delete.wait_for(|delete| delete.is_some_and(|delete| delete < by)).await;
        // The sender is a field of this.
        sooner.ok().and_then(|delete| *delete).unwrap_or(by)
    }

    pub(super) fn shown(&self) -> Shown {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn show(&self, shown: Shown) {
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = shown;
    }

    /// The newest run of a container, or the one before it.
    pub(super) fn attempt(&self, container: &str, before: bool) -> Option<ContainerStatus> {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let attempts = newest_first(&shown.contents);
        let mut own = attempts.into_iter().filter(|attempt| attempt.name == container);
        own.nth(usize::from(before)).cloned()
    }

    /// The id of a container's run, if it runs.
    pub(super) fn running(&self, container: &str) -> Option<String> {
        let attempt = self.attempt(container, false)?;
        (attempt.state == ContainerState::Running).then_some(attempt.id)
    }

    fn lock(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
