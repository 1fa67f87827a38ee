//! Stops containers in their order, and removes the pod.
//!
//! In: by when. Out: an engine that has nothing of the pod any more. Invariant: `preStop` and the container's own end share one grace period; nothing is removed before the
//! end of every container has been told.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt as _};
use k8s_openapi::api::core::v1::PodSpec;
use pluglet_model::provider::Error;
use pluglet_model::runtime::{ContainerState, ContainerStatus};
use pluglet_rules::lifecycle::termination;
use pluglet_rules::runtime::find;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::warn;

use super::acting::done;
use super::hooks::Hook;
use super::{Files, Worker};
use crate::containers::Tools;
use crate::containers::handle::Handle;

/// What a container gets to end by itself even where its hook has taken all of the grace (`minimumGracePeriodInSeconds`).
const LEAST_GRACE: Duration = Duration::from_secs(2);

impl Worker {
    /// Stops and removes all of the pod, however often that takes.
    pub(super) async fn remove(&mut self, by: Instant) {
        let mut by = by;
        while let Err(error) = Box::pin(self.try_to_remove(by)).await {
            let pause = self.pause_after_failure();
            warn!(pod = %self.handle.key, uid = %self.handle.key.uid, %error, ?pause, "not removed yet");
            self.known = false;
            // A shorter grace is a reason to look again at once.
            timeout(pause, self.handle.ends_before(by)).await.ok();
            by = self.handle.delete_by().unwrap_or(by);
        }
    }

    async fn try_to_remove(&mut self, by: Instant) -> Result<(), Error> {
        self.look().await?;
        self.stop_containers(by).await?;
        // Their ends.
        self.look().await?;
        if !self.contents.containers.is_empty() {
            self.notes.waiting.clear();
            self.tell().await;
        }
        let key = self.handle.key.clone();
        let gone: Vec<String> = self.contents.sandboxes.iter().map(|sandbox| sandbox.id.clone()).collect();
        for id in &gone {
            done(self.tools.runtime.remove_sandbox(&key, id).await)?;
        }
        let containers = self.contents.containers.iter().filter(|container| !gone.contains(&container.sandbox_id));
        for container in containers {
            done(self.tools.runtime.remove_container(&key, &container.id).await)?;
        }
        self.remove_files().await
    }

    async fn remove_files(&self) -> Result<(), Error> {
        let (state, uid) = (self.tools.state_dir.clone(), self.handle.key.uid.clone());
        let removed = tokio::task::spawn_blocking(move || Files::remove(&state, &uid)).await;
        let failed = |error: String| Error::Internal(format!("the pod's files are not removed: {error}"));
        removed.map_err(|error| failed(error.to_string()))?.map_err(|error| failed(error.to_string()))
    }

    /// Stops all containers, sidecars last, then the sandboxes.
    pub(super) async fn stop_all(&mut self, by: Instant) -> Result<(), Error> {
        self.stop_containers(by).await?;
        let key = self.handle.key.clone();
        for sandbox in self.contents.sandboxes.iter_mut().filter(|sandbox| sandbox.ready) {
            done(self.tools.runtime.stop_sandbox(&key, &sandbox.id).await)?;
            sandbox.ready = false;
        }
        Ok(())
    }

    async fn stop_containers(&mut self, by: Instant) -> Result<(), Error> {
        let mut left: Vec<ContainerStatus> =
            self.contents.containers.iter().filter(|it| may_run(it)).cloned().collect();
        let mut stopping = FuturesUnordered::new();
        let mut told: BTreeSet<String> = BTreeSet::new();
        let mut by = by;
        let handle = self.handle.clone();
        while !left.is_empty() {
            for container in
                self.may_stop(&left, by).into_iter().filter(|it| !told.contains(&it.id)).collect::<Vec<_>>()
            {
                told.insert(container.id.clone());
                let message = format!("Stopping container {}", container.name);
                self.record(Some(&container.name), false, "Killing", message).await;
                stopping.push(self.end(&container.name, &container.id, by).run(self.tools.clone(), handle.clone()));
            }
            tokio::select! {
                // Cancel-safe: those that stop stay in the set.
                Some((id, outcome)) = stopping.next() => {
                    done(outcome)?;
                    left.retain(|container| container.id != id);
                    self.changed.insert(id);
                }
                // Cancel-safe: the next round looks at the moment again.
                sooner = shortened(&handle, by) => {
                    by = sooner;
                    // Those whose turn has not come have it in the next round.
                    for container in left.iter().filter(|container| told.contains(&container.id)) {
                        stopping.push(Ending { hook: None, id: container.id.clone(), by }.run(self.tools.clone(), handle.clone()));
                    }
                }
            }
        }
        Ok(())
    }

    /// Those whose turn it is. After the grace period it is everybody's.
    fn may_stop<'a>(&self, left: &'a [ContainerStatus], by: Instant) -> Vec<&'a ContainerStatus> {
        let spec = self.pod().and_then(|pod| pod.spec.as_ref());
        let Some(spec) = spec.filter(|_| by > Instant::now()) else { return left.iter().collect() };
        let running: BTreeSet<&str> = left.iter().map(|container| container.name.as_str()).collect();
        let turn = termination::may_stop(spec, &running);
        let known = |name: &str| find(spec, name).is_some();
        left.iter().filter(|it| turn.contains(&it.name.as_str()) || !known(&it.name)).collect()
    }

    /// Stops one container, its hook first.
    pub(super) async fn stop_container(&mut self, name: &str, id: &str, by: Instant) -> Result<(), Error> {
        let ending = self.end(name, id, by);
        let handle = self.handle.clone();
        tokio::select! {
            // The pod is to end: it is stopped with the others, in the time that is left then.
            () = handle.deleted() => Ok(()),
            // Not given up for anything else.
            (_, outcome) = ending.run(self.tools.clone(), handle.clone()) => done(outcome),
        }
    }

    fn end(&self, name: &str, id: &str, by: Instant) -> Ending {
        let spec: Option<&PodSpec> = self.pod().and_then(|pod| pod.spec.as_ref());
        let container = spec.and_then(|spec| find(spec, name)).map(|(_, container)| container);
        let hook = container.as_ref().and_then(|container| {
            let handler = container.lifecycle.as_ref()?.pre_stop.as_ref()?;
            Some((name.to_owned(), self.hook(handler, container, id)))
        });
        Ending { hook, id: id.to_owned(), by }
    }
}

/// One container on its way to its end.
struct Ending {
    hook: Option<(String, Hook)>,
    id: String,
    by: Instant,
}

impl Ending {
    async fn run(self, tools: Arc<Tools>, handle: Arc<Handle>) -> (String, Result<(), Error>) {
        let Self { hook, id, by } = self;
        let mut least = Duration::ZERO;
        if let Some((container, hook)) = hook.filter(|_| by > Instant::now()) {
            least = LEAST_GRACE;
            if let Ok(Err(_)) = timeout_at(by, hook.run(&tools, &handle.key)).await {
                let event = pluglet_model::provider::ProviderEvent::PodEvent {
                    key: handle.key.clone(),
                    container: Some(container),
                    warning: true,
                    reason: "FailedPreStopHook".to_owned(),
                    message: "PreStopHook failed".to_owned(),
                };
                tools.events.send(event).await.ok();
            }
        }
        let grace = by.saturating_duration_since(Instant::now()).max(least);
        let outcome = tools.runtime.stop_container(&handle.key, &id, grace).await;
        (id, outcome)
    }
}

fn may_run(container: &ContainerStatus) -> bool {
    matches!(container.state, ContainerState::Running | ContainerState::Unknown)
}

/// Returns when the pod is to end sooner than `by`; or then, so that those who waited for others get their turn.
async fn shortened(handle: &Handle, by: Instant) -> Instant {
    let sooner = handle.ends_before(by);
    match timeout_at(by, sooner).await {
        Ok(sooner) => sooner,
        Err(_) if Instant::now() < by + LEAST_GRACE => {
            sleep(LEAST_GRACE).await;
            by
        }
        Err(_) => std::future::pending().await,
    }
}
