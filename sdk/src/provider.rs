//! What an author writes: a type that implements [`Provider`].
//!
//! In: calls of the host. Out: statuses, streams, errors. Invariant: a guest has one thread, so methods take `&self`, calls overlap
//! at their `.await` points, and state lives in cells. Never hold a `RefCell` borrow over an `.await`.

use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::containers::{NoRuntime, Runtime};
use crate::pod::{PodRef, ResolvedPod, Status, Volume};
use crate::sessions::{ByteStream, ExecRequest, LogOptions, LogStream, Session, SessionInput, Tunnel};
use crate::{Error, Host, Info, PodStats, Result};

/// A backend, as a guest sees it.
///
/// The host keeps at most one of `create`, `update`, `volumes_changed`, `restart_container`, `delete` and `status` under way for one UID;
/// calls for different UIDs overlap. A call that misses its deadline is given up by the host, may still take effect, and is made again: every
/// method must bear being called twice.
#[expect(async_fn_in_trait, reason = "a guest has one thread, so no caller ever needs the futures to be Send")]
pub trait Provider: Sized + 'static {
    /// Read the configuration and find what the backend already runs. Called once, before everything else; deadline 30 s.
    ///
    /// # Errors
    /// [`Error::Invalid`] means that the configuration is wrong: the host prints the text and does not try again.
    async fn start(host: Host, init: Init) -> Result<Self>;

    /// What this provider can do, and its node. Called once, after `start`; changes go through [`Host::node_changed`].
    fn info(&self) -> Info;

    /// Make the pod run. Returns when the backend has accepted it: do not wait for it to be running. Deadline 120 s.
    ///
    /// Idempotent by UID: a pod that exists is success and returns its present status. From success on the pod is in `list` until it
    /// is gone.
    ///
    /// # Errors
    /// [`Error::Invalid`] fails the pod for good; all others are tried again.
    async fn create(&self, pod: PodRef, spec: ResolvedPod) -> Result<Status>;

    /// Stop the pod within `grace` (whole seconds, 0 means now), its `preStop` hooks included, then remove it. Returns when stopping has begun; deadline 60 s.
    ///
    /// When it has stopped, report a status whose containers are all terminated, then [`Host::gone`]. A later call may shorten the
    /// grace period, never lengthen it.
    ///
    /// # Errors
    /// [`Error::NotFound`] for an unknown UID, which the host takes as done.
    async fn delete(&self, pod: PodRef, grace: Duration) -> Result<()>;

    /// Every pod of this node and cluster that this provider answers for, whoever started it: see [`Init::cluster_id`]. Leave out nothing: an
    /// error is better than a hole, because the host starts again what is missing. Name nothing of others: it would be deleted. Deadline 60 s.
    ///
    /// # Errors
    /// Any, when the list cannot be complete.
    async fn list(&self) -> Result<Vec<(PodRef, Status)>>;

    /// The present status of one pod; deadline 30 s. The default looks it up in [`Provider::list`].
    ///
    /// # Errors
    /// [`Error::NotFound`] for an unknown UID.
    async fn status(&self, pod: PodRef) -> Result<Status> {
        let pods = self.list().await?;
        pods.into_iter().find(|(listed, _)| listed.uid == pod.uid).map(|(_, status)| status).ok_or(Error::NotFound)
    }

    /// The pod's spec, labels or annotations changed. Needs [`crate::Feature::Update`]; deadline 120 s.
    ///
    /// # Errors
    /// [`Error::NotFound`] makes the host create the pod again; [`Error::Unsupported`] leaves it as it is, with an event.
    async fn update(&self, _pod: PodRef, _spec: ResolvedPod) -> Result<Status> {
        Err(unsupported("this provider cannot change a pod that runs"))
    }

    /// Files of volumes were refreshed: replace the named volumes whole, and leave the others. Containers go on running. Needs
    /// [`crate::Feature::Refresh`]; deadline 120 s.
    ///
    /// # Errors
    /// [`Error::NotFound`] makes the host create the pod again; [`Error::Unsupported`] leaves the files as they are, with an event.
    async fn volumes_changed(&self, _pod: PodRef, _volumes: Vec<Volume>) -> Result<()> {
        Err(unsupported("this provider cannot change the files of a pod that runs"))
    }

    /// Stop one container within `grace` (whole seconds, 0 means now) and start it again, whatever the pod's restart policy says: its liveness
    /// or startup probe has failed. Returns when stopping has begun. The other containers and the pod's address stay; `restart_count`
    /// of this container rises by one. Needs [`crate::Feature::Restart`]; deadline 60 s.
    ///
    /// A call while the container is being stopped for another is the same restart, and may shorten the grace period.
    ///
    /// # Errors
    /// [`Error::NotFound`] where no such container runs, which the host takes as done.
    async fn restart_container(&self, _pod: PodRef, _container: String, _grace: Duration) -> Result<()> {
        Err(unsupported("this provider cannot restart a single container"))
    }

    /// The log of one container. Needs [`crate::Feature::Logs`]; deadline to open 30 s.
    ///
    /// # Errors
    /// [`Error::NotFound`] where that container has no log, or no previous run.
    async fn logs(&self, _pod: PodRef, _options: LogOptions) -> Result<LogStream> {
        Err(unsupported("this provider has no logs"))
    }

    /// Run a command in a container, for a user or for an `exec` probe. Needs [`crate::Feature::Exec`]; deadline to open 30 s.
    ///
    /// When the user leaves, the session's streams and future are dropped: end the command then. Within seconds of leaving that happens also
    /// to a session that writes nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`] where no such container runs.
    async fn exec(&self, _pod: PodRef, _request: ExecRequest, _input: SessionInput) -> Result<Session> {
        Err(unsupported("this provider cannot run commands in containers"))
    }

    /// Connect to a container's own process; the end of the session does not end it. Needs [`crate::Feature::Attach`].
    ///
    /// # Errors
    /// [`Error::NotFound`] where no such container runs.
    async fn attach(&self, _pod: PodRef, _container: String, _input: SessionInput) -> Result<Session> {
        Err(unsupported("this provider cannot attach to containers"))
    }

    /// One TCP connection to `port` inside the pod. Needs [`crate::Feature::PortForward`].
    ///
    /// # Errors
    /// [`Error::NotFound`] for an unknown UID; [`Error::Unavailable`] where nothing listens.
    async fn port_forward(&self, _pod: PodRef, _port: u16, _input: ByteStream) -> Result<Tunnel> {
        Err(unsupported("this provider cannot forward ports"))
    }

    /// Resource use of all pods. One pod without figures is left out. Needs [`crate::Feature::Stats`]; deadline 10 s, and it may be
    /// called every second.
    ///
    /// # Errors
    /// Any, when no figures can be had at all.
    async fn stats(&self) -> Result<Vec<PodStats>> {
        Err(unsupported("this provider has no figures of resource use"))
    }

    /// The host lets this incarnation go. Pods keep running: this is not their end. What is returned (at most 1 MiB) reaches the
    /// next incarnation as [`Init::handoff`]. Not called before a crash, so nothing may depend on it.
    async fn stop(&self, _grace: Duration) -> Option<Vec<u8>> {
        None
    }

    /// The runtime of a provider that knows containers; [`crate::Containers`] has one.
    #[doc(hidden)]
    fn runtime(&self) -> Option<&impl Runtime> {
        None::<&NoRuntime>
    }
}

fn unsupported(what: &str) -> Error {
    Error::Unsupported(what.to_owned())
}

/// What a provider learns at its start.
#[derive(Clone, Debug, Default)]
pub struct Init {
    /// The name of the node that the provider backs. Unique in its cluster only: a backend may serve several clusters.
    pub node_name: String,
    /// Which cluster that is: the same for all its nodes and for as long as it lives. Tag what you make in the backend with both, and find,
    /// list and delete by both, so that nothing of another node or of another cluster is ever touched.
    pub cluster_id: String,
    /// The operator's `config:` section, as JSON; `{}` when there is none.
    pub config_json: String,
    /// What the previous incarnation returned from [`Provider::stop`]. None at a first start and after a crash.
    pub handoff: Option<Vec<u8>>,
}

impl Init {
    /// The configuration in the provider's own type. Give that type `#[serde(deny_unknown_fields)]`, so that a misspelt key is found
    /// at the start and not missed for ever.
    ///
    /// # Errors
    /// [`Error::Invalid`], naming the problem and its place.
    pub fn config<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_str(&self.config_json).map_err(|error| Error::Invalid(format!("config: {error}")))
    }
}
