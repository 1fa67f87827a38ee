//! The provider that pods see, where the component is a container runtime.
//!
//! In: calls of the [`Provider`] trait; what the component tells. Out: the same trait's answers. Invariant: one worker for one pod; what the engine has and nobody asked
//! for gets a worker too, which does nothing until somebody says what shall become of it.

mod forward;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use k8s_openapi::api::core::v1::{Container, Pod, PodStatus};
use pluglet_model::pod::Volume;
use pluglet_model::provider::{
    CommandOutput, Error, EventReceiver, Features, Health, Level, LogRequest, LogStream, Provider, ProviderEvent,
};
use pluglet_model::runtime::{ContainerState, PodContents};
use pluglet_model::session::{ExecRequest, Forward, PodStats, Session, SessionInput};
use pluglet_model::{PodKey, PodPlan};
use pluglet_rules::runtime::{container, find, status};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::handle::Handle;
use super::worker::Worker;
use super::{Tools, collector};
use crate::tasks::Tasks;

/// Events on their way to the pods.
pub(crate) const QUEUED_EVENTS: usize = 128;

/// Volume kinds that come as directories of the host's.
const DIRECTORY_KINDS: [&str; 6] = ["configMap", "secret", "downwardAPI", "projected", "emptyDir", "hostPath"];

/// Drives the containers of all pods.
pub(crate) struct Driver {
    tools: Arc<Tools>,
    workers: Arc<Mutex<HashMap<Arc<str>, Arc<Handle>>>>,
    health: watch::Receiver<Health>,
    tasks: Tasks,
}

impl Driver {
    /// `told` is what the component tells; what is for the pods goes to `tools.events`.
    pub(crate) fn new(tools: Tools, told: EventReceiver, tasks: &Tasks) -> Self {
        let tools = Arc::new(tools);
        let (sender, health) = watch::channel(as_driven(&tools.sessions.health().borrow(), &tools));
        let driver = Self { tools: tools.clone(), workers: Arc::default(), health, tasks: tasks.clone() };
        let cancel = tasks.cancel_token();
        tasks.spawn("runtime health", {
            let (tools, cancel) = (tools.clone(), cancel.clone());
            async move { cancel.run_until_cancelled(follow_health(tools, sender)).await.unwrap_or_default() }
        });
        if let Some(limits) = tools.images {
            let (tools, cancel) = (tools.clone(), cancel.clone());
            tasks.spawn("images", async move {
                cancel.run_until_cancelled(collector::run(&*tools.runtime, limits)).await.unwrap_or_default();
            });
        }
        let workers = driver.workers.clone();
        tasks.spawn_critical("runtime events", async move {
            cancel.run_until_cancelled(sort(told, tools, workers)).await.unwrap_or_default();
            cancel.cancelled().await;
        });
        driver
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Handle>>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, key: &PodKey) -> Option<Arc<Handle>> {
        self.lock().get(&key.uid).cloned()
    }

    /// The worker of a pod, begun if there is none.
    fn worker(&self, key: &PodKey) -> Arc<Handle> {
        let mut workers = self.lock();
        if let Some(handle) = workers.get(&key.uid) {
            return handle.clone();
        }
        let handle = Arc::new(Handle::new(key.clone()));
        workers.insert(key.uid.clone(), handle.clone());
        drop(workers);
        let worker = Worker::new(handle.clone(), self.tools.clone());
        let (all, cancel): (_, CancellationToken) = (self.workers.clone(), self.tasks.cancel_token());
        let uid = key.uid.clone();
        self.tasks.spawn("containers of a pod", async move {
            worker.run(cancel).await;
            all.lock().unwrap_or_else(PoisonError::into_inner).remove(&uid);
        });
        handle
    }

    fn check(&self, plan: &PodPlan) -> Result<(), Error> {
        let spec = plan.pod.spec.as_ref();
        if spec.is_some_and(|spec| spec.host_users == Some(false)) {
            let what = "hostUsers: false, user namespaces: the pod's root would be the machine's";
            return Err(Error::Unsupported(what.to_owned()));
        }
        let refused = self.tools.grants.refusals(&plan.pod);
        if refused.is_empty() {
            return Ok(());
        }
        Err(Error::Forbidden { reason: self.tools.grants.reason(&plan.pod), message: refused.join("; ") })
    }

    fn give(&self, plan: &PodPlan) -> PodStatus {
        let handle = self.worker(&plan.key);
        let plan = Arc::new(plan.clone());
        handle.order(|orders| {
            orders.plan = Some(plan);
            // It has them as they are now.
            orders.volumes.clear();
        });
        handle.shown().status
    }

    /// Changes the resources of containers that run.
    async fn resize(&self, handle: &Handle, before: Option<Arc<PodPlan>>, plan: &PodPlan) -> Result<(), Error> {
        let Some(before) = before else { return Ok(()) };
        let (Some(old), Some(new)) = (&before.pod.spec, &plan.pod.spec) else { return Ok(()) };
        let memory = self.tools.node_memory();
        let wants = |pod, container: &Container| container::resources(pod, container, memory);
        for now in &new.containers {
            let Some((_, was)) = find(old, &now.name) else { continue };
            let resources = wants(&plan.pod, now);
            if resources == wants(&before.pod, &was) {
                continue;
            }
            if let Some(id) = handle.running(&now.name) {
                self.tools.runtime.update_container(&plan.key, &id, &resources).await?;
            }
        }
        Ok(())
    }

    /// The id of the container's run that is meant, if it runs.
    fn running(&self, key: &PodKey, container: &str) -> Result<String, Error> {
        self.find(key).and_then(|handle| handle.running(container)).ok_or(Error::NotFound)
    }
}

#[async_trait]
impl Provider for Driver {
    fn health(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }

    fn level(&self) -> Level {
        Level::Containers
    }

    async fn create(&self, plan: &PodPlan) -> Result<PodStatus, Error> {
        self.check(plan)?;
        Ok(self.give(plan))
    }

    /// Not checked against the grants once more: what they are about cannot be changed in a pod, but for containers for debugging, each of which is checked before it is
    /// made; and a pod that was let in goes on when the operator grants less.
    async fn update(&self, plan: &PodPlan) -> Result<PodStatus, Error> {
        let handle = self.find(&plan.key).ok_or(Error::NotFound)?;
        let before = handle.shown().plan;
        let status = self.give(plan);
        self.resize(&handle, before, plan).await?;
        Ok(status)
    }

    async fn delete(&self, key: &PodKey, grace: Duration) -> Result<(), Error> {
        self.worker(key).delete(Instant::now() + grace);
        Ok(())
    }

    async fn status(&self, key: &PodKey) -> Result<PodStatus, Error> {
        self.find(key).map(|handle| handle.shown().status).ok_or(Error::NotFound)
    }

    async fn list(&self) -> Result<Vec<(PodKey, PodStatus)>, Error> {
        let driven: HashMap<Arc<str>, Arc<Handle>> = self.lock().clone();
        let mut listed: HashMap<Arc<str>, PodContents> =
            self.tools.runtime.pods().await?.into_iter().map(|pod| (pod.key.uid.clone(), pod)).collect();
        let mut pods = vec![];
        for handle in driven.into_values() {
            let contents = listed.remove(&handle.key.uid);
            // One that ended meanwhile is not listed again.
            if self.find(&handle.key).is_none() {
                continue;
            }
            let there = contents.unwrap_or_else(|| PodContents::none(handle.key.clone()));
            if differs(&handle.shown().contents, &there) {
                // In doubt whether the list is older than what the worker knows: it looks for itself.
                handle.order(|orders| orders.doubted = true);
            }
            pods.push((handle.key.clone(), handle.shown().status));
        }
        for contents in listed.into_values() {
            let status = status::status(None, &contents, &status::Notes::default());
            pods.push((contents.key.clone(), status));
            // One that was begun while the list was made knows better.
            let begun = self.find(&contents.key).is_some();
            self.worker(&contents.key).order(|orders| match begun {
                true => orders.doubted = true,
                false => orders.contents = Some(contents),
            });
        }
        Ok(pods)
    }

    async fn volumes_changed(&self, key: &PodKey, _generation: u64, volumes: &[Volume]) -> Result<(), Error> {
        let handle = self.find(key).ok_or(Error::NotFound)?;
        handle
            .order(|orders| orders.volumes.extend(volumes.iter().map(|volume| (volume.name.clone(), volume.clone()))));
        Ok(())
    }

    fn recall(&self, key: &PodKey, pod: &Arc<Pod>) {
        let pod = pod.clone();
        self.worker(key).order(|orders| orders.recalled = Some(pod));
    }

    async fn restart_container(&self, key: &PodKey, container: &str, grace: Duration) -> Result<(), Error> {
        let handle = self.find(key).ok_or(Error::NotFound)?;
        let id = handle.running(container).ok_or(Error::NotFound)?;
        handle.order(|orders| orders.failed.extend([(id, grace)]));
        Ok(())
    }

    fn started(&self, key: &PodKey, container: &str) {
        let Some(handle) = self.find(key) else { return };
        if let Some(id) = handle.running(container) {
            handle.order(|orders| orders.started.extend([id]));
        }
    }

    async fn run(&self, key: &PodKey, container: &str, command: &[String]) -> Result<CommandOutput, Error> {
        self.tools.sessions.run(key, &self.running(key, container)?, command).await
    }

    async fn exec(&self, key: &PodKey, request: ExecRequest, input: SessionInput) -> Result<Session, Error> {
        let container = self.running(key, &request.container)?;
        self.tools.sessions.exec(key, ExecRequest { container, ..request }, input).await
    }

    async fn attach(&self, key: &PodKey, container: &str, input: SessionInput) -> Result<Session, Error> {
        self.tools.sessions.attach(key, &self.running(key, container)?, input).await
    }

    async fn port_forward(&self, key: &PodKey, port: u16, input: mpsc::Receiver<Bytes>) -> Result<Forward, Error> {
        let features = self.tools.sessions.health().borrow().info.as_ref().map(|info| info.features);
        if features.is_some_and(|features| features.port_forward) {
            return self.tools.sessions.port_forward(key, port, input).await;
        }
        let address = self.status(key).await?.pod_ip.and_then(|ip| ip.parse().ok());
        let no_address = || Error::Unavailable { message: "the pod has no address yet".to_owned(), retry_after: None };
        forward::connect(&self.tools.reach, address.ok_or_else(no_address)?, port, input).await
    }

    async fn stats(&self) -> Result<Vec<PodStats>, Error> {
        self.tools.sessions.stats().await
    }

    async fn logs(&self, key: &PodKey, request: LogRequest) -> Result<LogStream, Error> {
        let handle = self.find(key).ok_or(Error::NotFound)?;
        let attempt = handle.attempt(&request.container, request.previous).ok_or(Error::NotFound)?;
        if attempt.state == ContainerState::Created {
            return Err(Error::NotFound);
        }
        let request = LogRequest { container: attempt.id, previous: false, ..request };
        self.tools.sessions.logs(key, request).await
    }

    async fn stop(&self, grace: Duration) {
        self.tools.sessions.stop(grace).await;
    }
}

/// What the component tells, to whom it concerns.
async fn sort(mut told: EventReceiver, tools: Arc<Tools>, workers: Arc<Mutex<HashMap<Arc<str>, Arc<Handle>>>>) {
    while let Some(event) = told.recv().await {
        match event {
            ProviderEvent::ContainerChanged(key, id) => {
                let handle = workers.lock().unwrap_or_else(PoisonError::into_inner).get(&key.uid).cloned();
                match handle {
                    Some(handle) => handle.order(|orders| orders.changed.extend([id])),
                    // Of a pod that nobody drives: the next list takes it up.
                    None => debug!(uid = %key.uid, "something has become of a container of an unknown pod"),
                }
            }
            ProviderEvent::Status(key, _) | ProviderEvent::Gone(key) => {
                debug!(uid = %key.uid, "a runtime tells of a whole pod, which is not its to tell");
            }
            event @ (ProviderEvent::PodEvent { .. } | ProviderEvent::Resync) => {
                tools.events.send(event).await.ok();
            }
        }
    }
}

async fn follow_health(tools: Arc<Tools>, sender: watch::Sender<Health>) {
    let mut health = tools.sessions.health();
    while health.changed().await.is_ok() {
        let driven = as_driven(&health.borrow_and_update(), &tools);
        sender.send_replace(driven);
    }
}

/// What the component can do together with the driver.
fn as_driven(health: &Health, tools: &Tools) -> Health {
    let mut driven = health.clone();
    if let Some(info) = &mut driven.info {
        let Features { logs, exec, attach, stats, .. } = info.features;
        let directories = tools.grants.directories;
        info.features = Features {
            update: true,
            watch: true,
            refresh: directories,
            restart: true,
            containers: true,
            logs,
            exec,
            attach,
            port_forward: true,
            stats,
            ..Features::default()
        };
        info.volume_kinds = if directories { DIRECTORY_KINDS.map(str::to_owned).to_vec() } else { vec![] };
    }
    driven
}

/// Whether a list says another thing than what is known.
fn differs(known: &PodContents, listed: &PodContents) -> bool {
    let containers = |contents: &PodContents| {
        let mut all: Vec<_> = contents.containers.iter().map(|it| (it.id.clone(), it.state)).collect();
        all.sort_by(|one, other| one.0.cmp(&other.0));
        all
    };
    let sandboxes = |contents: &PodContents| {
        let mut all: Vec<_> = contents.sandboxes.iter().map(|it| (it.id.clone(), it.ready)).collect();
        all.sort();
        all
    };
    containers(known) != containers(listed) || sandboxes(known) != sandboxes(listed)
}
