//! A provider made of WebAssembly, as the host sees it.
//!
//! In: [`ProviderOptions`]; calls of the [`Provider`] trait. Out: [`WasmProvider`]. Invariant: nothing of the component runs on the
//! caller's runtime: a guest that hogs its threads cannot slow down the API server's watch or the kubelet's HTTP.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::PodStatus;
use pluglet_model::provider::{Error, EventReceiver, Features, Health, LogRequest, LogStream, Provider};
use pluglet_model::{PodKey, PodPlan};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use tracing::warn;

use crate::adapt;
use crate::call::{CREATE, DELETE, LIST, LOGS, Request, STATUS, UPDATE};
use crate::dispatch::Dispatch;
use crate::logs;
use crate::options::ProviderOptions;
use crate::start::{self, StartError};
use crate::supervisor::Stop;

/// How long the supervisor may take beyond the grace that the provider has. It drops the store and answers; a second is plenty.
const STOP_SLACK: Duration = Duration::from_secs(5);

/// How many statuses of a list are parsed before other tasks get their turn. One takes about 10 µs.
const PARSED_AT_ONCE: usize = 64;

/// A provider. Dropping it ends the component without saying goodbye; [`Provider::stop`] is the polite way.
pub struct WasmProvider {
    dispatch: Arc<Dispatch>,
    health: watch::Receiver<Health>,
    orders: mpsc::Sender<Stop>,
    _rooms: Rooms,
}

/// The provider's threads. Dropped in the background, because a runtime must not be waited for inside another one.
pub(crate) struct Rooms(Option<Runtime>);

impl Rooms {
    pub(crate) fn new(runtime: Runtime) -> Self {
        Self(Some(runtime))
    }
}

impl Drop for Rooms {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl WasmProvider {
    /// Load the component and start it.
    ///
    /// Returns when the first start is over, well or not: whether the provider can be called is told by [`Provider::health`], and a
    /// start that failed for a reason that may pass is tried again in the background.
    ///
    /// # Errors
    /// For what will not pass: the artifact, an endpoint, the state directory, or a configuration that the provider refuses.
    pub async fn start(options: ProviderOptions) -> Result<(Self, EventReceiver), StartError> {
        let started = start::start(options).await?;
        let provider =
            Self { dispatch: started.dispatch, health: started.health, orders: started.orders, _rooms: started.rooms };
        Ok((provider, started.events))
    }

    /// `Unsupported` where the provider did not offer the feature. Before its first start nobody knows, and the call itself will tell.
    fn require(&self, has: impl FnOnce(Features) -> bool, what: &str) -> Result<(), Error> {
        match &self.health.borrow().info {
            Some(info) if !has(info.features) => {
                Err(Error::Unsupported(format!("it does not offer the feature `{what}`")))
            }
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Provider for WasmProvider {
    fn health(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }

    async fn create(&self, plan: &PodPlan) -> Result<PodStatus, Error> {
        let pod = adapt::pod_ref(&plan.key, plan.generation);
        let spec = adapt::resolved_pod(plan)?;
        let make = |reply| Request::Create { pod, spec, reply };
        adapt::status(&self.dispatch.call_about(CREATE, plan, make).await?.0)
    }

    async fn update(&self, plan: &PodPlan) -> Result<PodStatus, Error> {
        self.require(|features| features.update, "update")?;
        let pod = adapt::pod_ref(&plan.key, plan.generation);
        let spec = adapt::resolved_pod(plan)?;
        let make = |reply| Request::Update { pod, spec, reply };
        adapt::status(&self.dispatch.call_about(UPDATE, plan, make).await?.0)
    }

    async fn delete(&self, key: &PodKey, grace: Duration) -> Result<(), Error> {
        let pod = adapt::pod_ref(key, 0);
        // Rounded up: a pod must not get less than it was promised, and 0 has a meaning of its own.
        let grace_seconds = u32::try_from(grace.as_millis().div_ceil(1000)).unwrap_or(u32::MAX);
        let make = |reply| Request::Delete { pod, grace_seconds, reply };
        self.dispatch.call(DELETE, Some(&key.uid), make).await.map(|_| ())
    }

    async fn status(&self, key: &PodKey) -> Result<PodStatus, Error> {
        let pod = adapt::pod_ref(key, 0);
        let make = |reply| Request::Status { pod, reply };
        adapt::status(&self.dispatch.call(STATUS, Some(&key.uid), make).await?.0)
    }

    async fn list(&self) -> Result<Vec<(PodKey, PodStatus)>, Error> {
        let (listed, _) = self.dispatch.call(LIST, None, |reply| Request::List { reply }).await?;
        let mut pods = Vec::with_capacity(listed.len());
        for (pod, json) in listed {
            if pods.len() % PARSED_AT_ONCE == PARSED_AT_ONCE - 1 {
                tokio::task::yield_now().await;
            }
            let key = adapt::key(&pod);
            // A list with a hole would look like a pod that is gone, and without a list no pod is touched: one bad status costs
            // only itself. An empty one says that the pod is there and nothing more.
            let status = adapt::status(&json).unwrap_or_else(|error| {
                warn!(pod = %key, uid = %key.uid, %error, "the provider lists this pod with a status that cannot be read");
                PodStatus::default()
            });
            pods.push((key, status));
        }
        Ok(pods)
    }

    async fn logs(&self, key: &PodKey, request: LogRequest) -> Result<LogStream, Error> {
        self.require(|features| features.logs, "logs")?;
        let (sink, source) = logs::channel(self.dispatch.session()?);
        let pod = adapt::pod_ref(key, 0);
        let options = adapt::log_options(request);
        let make = |reply| Request::Logs { pod, options, sink, reply };
        let ((), gate) = self.dispatch.call(LOGS, Some(&key.uid), make).await?;
        Ok(source.into_stream(gate, Arc::clone(&key.uid)))
    }

    async fn stop(&self, grace: Duration) {
        let (done, gone) = oneshot::channel();
        // An error of either kind means that it is gone already; a timeout, that dropping it will have to do.
        if self.orders.send(Stop { grace, done }).await.is_ok() {
            let _ = timeout(grace + STOP_SLACK, gone).await;
        }
    }
}
