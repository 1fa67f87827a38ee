//! A provider made of WebAssembly, as the host sees it.
//!
//! In: [`ProviderOptions`]; calls of the [`Provider`] trait. Out: [`WasmProvider`]. Invariant: nothing of the component runs on the
//! caller's runtime: a guest that hogs its threads cannot slow down the API server's watch or the kubelet's HTTP.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use k8s_openapi::api::core::v1::PodStatus;
use pluglet_egress::Seldom;
use pluglet_model::pod::Volume;
use pluglet_model::provider::{CommandOutput, Error, EventReceiver, Features, Health, LogRequest, LogStream, Provider};
use pluglet_model::session::{ExecRequest, Forward, PodStats, Session, SessionInput};
use pluglet_model::{PodKey, PodPlan};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};

use tracing::warn;

use crate::adapt;
use crate::bindings::pluglet::provider::types::PodRef;
use crate::call::{
    ATTACH, CREATE, DELETE, EXEC, LIST, LOGS, PORT_FORWARD, RESTART_CONTAINER, Request, STATS, STATUS, UPDATE,
    VOLUMES_CHANGED,
};
use crate::dispatch::Dispatch;
use crate::logs;
use crate::options::ProviderOptions;
use crate::run;
use crate::sessions;
use crate::start::{self, StartError};
use crate::supervisor::Stop;
use crate::supervisor::publish::Publisher;

/// How long the supervisor may take beyond the grace that the provider has. It drops the store and answers; a second is plenty.
const STOP_SLACK: Duration = Duration::from_secs(5);

/// How many statuses of a list are parsed before other tasks get their turn. One takes about 10 µs.
const PARSED_AT_ONCE: usize = 64;

/// Pods in one list: many times what a node has. Each becomes an object that the host holds and an action that it may take, and a guest
/// could invent a million in one call.
pub(crate) const MAX_LISTED: usize = 20_000;

/// A provider. Dropping it ends the component without saying goodbye; [`Provider::stop`] is the polite way.
pub struct WasmProvider {
    pub(crate) dispatch: Arc<Dispatch>,
    /// Weak: when the supervisor is gone, the publisher says so by being dropped.
    publisher: Weak<Publisher>,
    health: watch::Receiver<Health>,
    orders: mpsc::Sender<Stop>,
    /// For lists with bad statuses. A guest can have itself listed as often as it sends `resync`.
    bad_list: Mutex<Seldom>,
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
        let provider = Self {
            dispatch: started.dispatch,
            publisher: Arc::downgrade(&started.publisher),
            health: started.health,
            orders: started.orders,
            bad_list: Mutex::default(),
            _rooms: started.rooms,
        };
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

    /// Whether the provider can tell its pods, for the node's health.
    pub(crate) fn publish_listed(&self, error: Option<&Error>) {
        let Some(publisher) = self.publisher.upgrade() else { return };
        match error {
            None => publisher.listed(None),
            // A call that a crash has cut off says nothing about the backend.
            Some(Error::Restarting(_)) => {}
            Some(error) => publisher.listed(Some(error.to_string())),
        }
    }

    async fn list_once(&self) -> Result<Vec<(PodKey, PodStatus)>, Error> {
        let (listed, _) = self.dispatch.call(LIST, None, |reply| Request::List { reply }).await?;
        let List { pods, bad } = List::read(listed).await?;
        if let Some(Bad { count, first, error }) = bad {
            let told = self.bad_list.lock().unwrap_or_else(PoisonError::into_inner).admit(Instant::now());
            if let Some(untold) = told {
                warn!(count, pod = %first, uid = %first.uid, %error, untold, "the provider lists pods with statuses that cannot be read; the first is shown");
            }
        }
        Ok(pods)
    }
}

/// What a provider lists.
struct List {
    pods: Vec<(PodKey, PodStatus)>,
    bad: Option<Bad>,
}

/// Statuses of a list that cannot be read.
struct Bad {
    count: usize,
    first: PodKey,
    error: Error,
}

impl List {
    /// The list as the host can use it. One that is too long is refused whole: no pod is touched then.
    async fn read(listed: Vec<(PodRef, String)>) -> Result<Self, Error> {
        if listed.len() > MAX_LISTED {
            return Err(Error::Internal(format!("it lists {} pods, {MAX_LISTED} are allowed", listed.len())));
        }
        let mut list = Self { pods: Vec::with_capacity(listed.len()), bad: None };
        for (pod, json) in listed {
            if list.pods.len() % PARSED_AT_ONCE == PARSED_AT_ONCE - 1 {
                tokio::task::yield_now().await;
            }
            let key = adapt::key(&pod);
            // A list with a hole would look like a pod that is gone, and without a list no pod is touched: one bad status costs
            // only itself. An empty one says that the pod is there and nothing more.
            let status = adapt::status(&json).unwrap_or_else(|error| {
                list.bad.get_or_insert_with(|| Bad { count: 0, first: key.clone(), error }).count += 1;
                PodStatus::default()
            });
            list.pods.push((key, status));
        }
        Ok(list)
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
        let (pod, grace_seconds) = (adapt::pod_ref(key, 0), adapt::grace_seconds(grace));
        let make = |reply| Request::Delete { pod, grace_seconds, reply };
        self.dispatch.call(DELETE, Some(&key.uid), make).await.map(|_| ())
    }

    async fn status(&self, key: &PodKey) -> Result<PodStatus, Error> {
        let pod = adapt::pod_ref(key, 0);
        let make = |reply| Request::Status { pod, reply };
        adapt::status(&self.dispatch.call(STATUS, Some(&key.uid), make).await?.0)
    }

    async fn list(&self) -> Result<Vec<(PodKey, PodStatus)>, Error> {
        let listed = self.list_once().await;
        self.publish_listed(listed.as_ref().err());
        listed
    }

    async fn volumes_changed(&self, key: &PodKey, generation: u64, volumes: &[Volume]) -> Result<(), Error> {
        self.require(|features| features.refresh, "refresh")?;
        let (pod, volumes) = (adapt::pod_ref(key, generation), adapt::volumes(volumes));
        let make = |reply| Request::VolumesChanged { pod, volumes, reply };
        self.dispatch.call(VOLUMES_CHANGED, Some(&key.uid), make).await.map(|_| ())
    }

    async fn restart_container(&self, key: &PodKey, container: &str, grace: Duration) -> Result<(), Error> {
        self.require(|features| features.restart, "restart")?;
        let (pod, grace_seconds) = (adapt::pod_ref(key, 0), adapt::grace_seconds(grace));
        let container = container.to_owned();
        let make = |reply| Request::RestartContainer { pod, container, grace_seconds, reply };
        self.dispatch.call(RESTART_CONTAINER, Some(&key.uid), make).await.map(|_| ())
    }

    async fn run(&self, key: &PodKey, container: &str, command: &[String]) -> Result<CommandOutput, Error> {
        self.require(|features| features.exec, "exec")?;
        let (sink, source) = run::channel(self.dispatch.command()?);
        let request = ExecRequest { container: container.to_owned(), command: command.to_vec(), tty: false };
        let (pod, request, input) = (adapt::pod_ref(key, 0), adapt::exec_request(request), SessionInput::none());
        let make = |reply| Request::Exec { pod, request, input, sink, reply };
        let ((), gate) = self.dispatch.call(EXEC, Some(&key.uid), make).await?;
        source.finish(gate, &key.uid).await
    }

    async fn exec(&self, key: &PodKey, request: ExecRequest, input: SessionInput) -> Result<Session, Error> {
        self.require(|features| features.exec, "exec")?;
        let (sink, source) = sessions::channel(self.dispatch.session()?);
        let (pod, request) = (adapt::pod_ref(key, 0), adapt::exec_request(request));
        let make = |reply| Request::Exec { pod, request, input, sink, reply };
        let ((), gate) = self.dispatch.call(EXEC, Some(&key.uid), make).await?;
        Ok(source.into_session(gate, Arc::clone(&key.uid)))
    }

    async fn attach(&self, key: &PodKey, container: &str, input: SessionInput) -> Result<Session, Error> {
        self.require(|features| features.attach, "attach")?;
        let (sink, source) = sessions::channel(self.dispatch.session()?);
        let (pod, container) = (adapt::pod_ref(key, 0), container.to_owned());
        let make = |reply| Request::Attach { pod, container, input, sink, reply };
        let ((), gate) = self.dispatch.call(ATTACH, Some(&key.uid), make).await?;
        Ok(source.into_session(gate, Arc::clone(&key.uid)))
    }

    async fn port_forward(&self, key: &PodKey, port: u16, input: mpsc::Receiver<Bytes>) -> Result<Forward, Error> {
        self.require(|features| features.port_forward, "port-forward")?;
        let (sink, source) = sessions::forward_channel(self.dispatch.session()?);
        let pod = adapt::pod_ref(key, 0);
        let make = |reply| Request::PortForward { pod, port, input, sink, reply };
        let ((), gate) = self.dispatch.call(PORT_FORWARD, Some(&key.uid), make).await?;
        Ok(source.into_forward(gate, Arc::clone(&key.uid)))
    }

    async fn stats(&self) -> Result<Vec<PodStats>, Error> {
        self.require(|features| features.stats, "stats")?;
        let (stats, _) = self.dispatch.call(STATS, None, |reply| Request::Stats { reply }).await?;
        if stats.len() > MAX_LISTED {
            return Err(Error::Internal(format!("it tells of {} pods, {MAX_LISTED} are allowed", stats.len())));
        }
        Ok(stats.into_iter().map(adapt::pod_stats).collect())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(count: usize, json: &str) -> Vec<(PodRef, String)> {
        let pod = |n: usize| PodRef {
            uid: n.to_string(),
            namespace: "default".to_owned(),
            name: n.to_string(),
            generation: 1,
        };
        (0..count).map(|n| (pod(n), json.to_owned())).collect()
    }

    #[tokio::test]
    async fn a_list_that_is_too_long_is_refused_whole_and_told_with_its_length() {
        assert_eq!(List::read(listed(MAX_LISTED, "{}")).await.unwrap().pods.len(), MAX_LISTED);
        let error = List::read(listed(MAX_LISTED + 1, "{}")).await.err().unwrap();
        assert!(matches!(&error, Error::Internal(text) if text.contains("20001") && text.contains("20000")), "{error}");
    }

    #[tokio::test]
    async fn bad_statuses_of_a_list_cost_only_themselves_and_are_summed_up() {
        let mut pods = listed(200, "phase: Running");
        pods.extend(listed(1, "{}"));
        let list = List::read(pods).await.unwrap();
        let bad = list.bad.unwrap();
        assert_eq!((list.pods.len(), bad.count, &*bad.first.uid), (201, 200, "0"));
    }
}
