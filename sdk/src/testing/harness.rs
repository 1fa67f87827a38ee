//! Calls a provider as the host does.
//!
//! In: pods and requests. Out: answers in typed form, and events. Invariant: a call that waits moves the clock to its end; a call that
//! can never end is an error and not a test that hangs.

mod sessions;

use std::rc::Rc;
use std::time::Duration;

use super::executor::{Executor, Pending};
use super::{TestPod, World};
use crate::kubernetes::PodStatus;
use crate::{Error, Event, Host, Info, Init, PodRef, Provider, Result, Status, Volume};

/// A provider that runs natively. The crate's first page has an example.
pub struct Harness<P> {
    world: World,
    executor: Executor,
    host: Host,
    provider: Rc<P>,
    info: Info,
    /// The provider's background tasks run as long as this is kept.
    _tasks: Pending<()>,
}

impl<P: Provider> Harness<P> {
    /// Start a provider with a configuration in a new world, as the node `node` of the cluster `cluster`.
    ///
    /// # Errors
    /// What the provider's `start` gives.
    pub fn start(config_json: &str) -> Result<Self> {
        Self::start_in(World::new(), init(config_json))
    }

    /// Start a provider in a world that a test has prepared.
    ///
    /// # Errors
    /// What the provider's `start` gives.
    pub fn start_in(world: World, init: Init) -> Result<Self> {
        let executor = Executor::new(world.clone());
        let host = Host::new(world.clone());
        let background = host.clone();
        let tasks = executor.begin(async move { background.tasks().run().await })?;
        let provider = executor.finish(P::start(host.clone(), init))?;
        let info = provider.info();
        Ok(Self { world, executor, host, provider: Rc::new(provider), info, _tasks: tasks })
    }

    /// Kill the provider and start it again in the same world: what is not in the memory is lost.
    ///
    /// # Errors
    /// What the provider's `start` gives.
    pub fn restart(self, config_json: &str) -> Result<Self> {
        let world = self.world.clone();
        drop(self);
        world.clock().forget_sleepers();
        Self::start_in(world, init(config_json))
    }

    /// What the provider told about itself at its start.
    #[must_use]
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// Clock, memory, endpoints and log.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Let time pass; everything that is due happens at its time.
    pub fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.executor.advance_to(self.world.clock().now_ns().saturating_add(by));
    }

    /// The events since the last time. Of several statuses of one pod only the newest is told, as to the real host.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.executor.settle();
        self.host.events().drain()
    }

    /// Make a call and do not wait for its end, so that calls overlap.
    ///
    /// # Errors
    /// [`Error::Internal`] when the harness cannot run it.
    pub fn begin<T: 'static>(&self, call: impl AsyncFnOnce(Rc<P>) -> T + 'static) -> Result<Pending<T>> {
        let provider = Rc::clone(&self.provider);
        self.executor.begin(async move { call(provider).await })
    }

    /// Make a call and move the clock until it has ended.
    ///
    /// # Errors
    /// What the call gives; [`Error::Internal`] when it can never end.
    pub fn call<T: 'static>(&self, call: impl AsyncFnOnce(Rc<P>) -> Result<T> + 'static) -> Result<T> {
        let provider = Rc::clone(&self.provider);
        self.executor.finish(async move { call(provider).await })
    }

    /// [`Provider::create`].
    ///
    /// # Errors
    /// What the provider gives; [`Error::Internal`] when the status is not JSON of a status.
    pub fn create(&self, pod: &TestPod) -> Result<PodStatus> {
        let TestPod { pod_ref, spec } = pod.clone();
        read(&self.call(async move |provider| provider.create(pod_ref, spec).await)?)
    }

    /// [`Provider::update`].
    ///
    /// # Errors
    /// As [`Harness::create`].
    pub fn update(&self, pod: &TestPod) -> Result<PodStatus> {
        let TestPod { pod_ref, spec } = pod.clone();
        read(&self.call(async move |provider| provider.update(pod_ref, spec).await)?)
    }

    /// [`Provider::volumes_changed`].
    ///
    /// # Errors
    /// What the provider gives.
    pub fn volumes_changed(&self, pod: &TestPod, volumes: Vec<Volume>) -> Result<()> {
        let pod = pod.pod_ref.clone();
        self.call(async move |provider| provider.volumes_changed(pod, volumes).await)
    }

    /// [`Provider::restart_container`].
    ///
    /// # Errors
    /// What the provider gives.
    pub fn restart_container(&self, pod: &TestPod, container: &str, grace_seconds: u32) -> Result<()> {
        let (pod, container) = (pod.pod_ref.clone(), container.to_owned());
        let grace = Duration::from_secs(grace_seconds.into());
        self.call(async move |provider| provider.restart_container(pod, container, grace).await)
    }

    /// [`Provider::delete`].
    ///
    /// # Errors
    /// What the provider gives.
    pub fn delete(&self, pod: &TestPod, grace_seconds: u32) -> Result<()> {
        let pod = pod.pod_ref.clone();
        self.call(async move |provider| provider.delete(pod, Duration::from_secs(grace_seconds.into())).await)
    }

    /// [`Provider::status`].
    ///
    /// # Errors
    /// As [`Harness::create`].
    pub fn status(&self, pod: &TestPod) -> Result<PodStatus> {
        let pod = pod.pod_ref.clone();
        read(&self.call(async move |provider| provider.status(pod).await)?)
    }

    /// [`Provider::list`], as the host gets it.
    ///
    /// # Errors
    /// What the provider gives.
    pub fn list(&self) -> Result<Vec<(PodRef, Status)>> {
        self.call(async |provider| provider.list().await)
    }
}

fn init(config_json: &str) -> Init {
    Init { node_name: "node".into(), cluster_id: "cluster".into(), config_json: config_json.into(), handoff: None }
}

fn read(status: &Status) -> Result<PodStatus> {
    serde_json::from_str(status.as_json()).map_err(|error| Error::internal(format!("not a status: {error}")))
}
