//! What the host asks of a backend: the [`Provider`] trait.
//!
//! In: resolved pods and requests for sessions. Out: pod statuses, streams, typed errors. Invariant: callers keep at most one
//! lifecycle call (create, update, delete) under way for one UID, and every such call may be made twice.
//!
//! The trait mirrors `wit/`, which says for each function who owns what, which errors it may give and which deadline it has.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use k8s_openapi::api::core::v1::{NodeCondition, Pod, PodStatus, Taint};
use tokio::sync::{mpsc, watch};

use crate::pod::Volume;
use crate::session::{ExecRequest, Forward, PodStats, Session, SessionInput};
use crate::{PodKey, PodPlan};

/// A backend, as the rest of the host sees it.
#[async_trait]
pub trait Provider: Send + Sync + 'static {
    /// What the provider last told about itself and whether it is alive. Changes when it restarts.
    fn health(&self) -> watch::Receiver<Health>;

    /// Make the pod run; returns when the backend has accepted it.
    async fn create(&self, plan: &PodPlan) -> Result<PodStatus, Error>;
    /// The pod's spec or metadata changed.
    async fn update(&self, plan: &PodPlan) -> Result<PodStatus, Error>;
    /// Begin to stop and remove the pod. `Ok` means begun: the end is reported by an event or by [`Provider::status`].
    async fn delete(&self, key: &PodKey, grace: Duration) -> Result<(), Error>;
    /// The present status of one pod.
    async fn status(&self, key: &PodKey) -> Result<PodStatus, Error>;
    /// Every pod the provider answers for. An empty status (`PodStatus::default()`) stands for one that could not be read: the pod is
    /// there.
    async fn list(&self) -> Result<Vec<(PodKey, PodStatus)>, Error>;

    /// The files of these volumes were refreshed; they replace the named volumes whole.
    async fn volumes_changed(&self, _key: &PodKey, _generation: u64, _volumes: &[Volume]) -> Result<(), Error> {
        Err(Error::Unsupported("it does not take new files for a pod that runs".to_owned()))
    }

    /// Stop one container within `grace` and start it again. Returns when that has begun.
    async fn restart_container(&self, _key: &PodKey, _container: &str, _grace: Duration) -> Result<(), Error> {
        Err(Error::Unsupported("it does not restart single containers".to_owned()))
    }

    /// Run a command in a container, without input, to its end.
    async fn run(&self, _key: &PodKey, _container: &str, _command: &[String]) -> Result<CommandOutput, Error> {
        Err(Error::Unsupported("it does not run commands in containers".to_owned()))
    }

    /// Run a command in a container. Returns when it runs.
    async fn exec(&self, _key: &PodKey, _request: ExecRequest, _input: SessionInput) -> Result<Session, Error> {
        Err(Error::Unsupported("it does not run commands in containers".to_owned()))
    }

    /// The streams of a container's own process. Their end does not end it.
    async fn attach(&self, _key: &PodKey, _container: &str, _input: SessionInput) -> Result<Session, Error> {
        Err(Error::Unsupported("it does not attach to containers".to_owned()))
    }

    /// A connection to a port in the pod; `input` is what the user sends on it.
    async fn port_forward(&self, _key: &PodKey, _port: u16, _input: mpsc::Receiver<Bytes>) -> Result<Forward, Error> {
        Err(Error::Unsupported("it does not forward ports".to_owned()))
    }

    /// Resource use of all pods. One without figures is left out.
    async fn stats(&self) -> Result<Vec<PodStats>, Error> {
        Err(Error::Unsupported("it does not report resource use".to_owned()))
    }

    /// Whether the host itself decides about single containers ([`Level::Containers`]), or the provider about whole pods.
    fn level(&self) -> Level {
        Level::Pods
    }

    /// This is a pod that the provider has listed. Only told at [`Level::Containers`], before anything else about a pod that this process has found: what has to be known to stop it
    /// as it should be.
    fn recall(&self, _key: &PodKey, _pod: &Arc<Pod>) {}

    /// The startup probe of a container has succeeded. Only asked for at [`Level::Containers`]: what comes after a sidecar waits for it.
    fn started(&self, _key: &PodKey, _container: &str) {}

    /// The log of one container.
    async fn logs(&self, key: &PodKey, request: LogRequest) -> Result<LogStream, Error>;

    /// Let the provider go; pods keep running.
    async fn stop(&self, grace: Duration);
}

/// Who decides what becomes of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The provider: it has been given the pod and keeps it.
    Pods,
    /// The host, by the pod: the provider is given each pod again by [`Provider::update`] after a restart of this process, and a container that
    /// fails its probe is stopped at once; when and whether it starts again follows from its policy and its past.
    Containers,
}

/// How a command that was run in a container ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandOutput {
    /// Its exit code.
    pub exit_code: i32,
    /// The first 10 KiB of standard output and standard error, as they came.
    pub output: Bytes,
}

/// What a provider tells unasked. Delivered over a bounded channel that is handed out when the provider is made.
#[derive(Debug)]
pub enum ProviderEvent {
    /// The whole present status of a pod.
    Status(PodKey, Box<PodStatus>),
    /// The pod is stopped and removed.
    Gone(PodKey),
    /// Something to record as a Kubernetes event.
    PodEvent {
        /// On which pod.
        key: PodKey,
        /// On which of its containers.
        container: Option<String>,
        /// `Warning` or `Normal`.
        warning: bool,
        /// UpperCamelCase.
        reason: String,
        /// For people.
        message: String,
    },
    /// Something has become of a container or sandbox, by its id in a [`Runtime`](crate::runtime::Runtime).
    ContainerChanged(PodKey, String),
    /// Events may be missing (also after each restart of the provider): list again.
    Resync,
}

/// Receives [`ProviderEvent`]s in order.
pub type EventReceiver = mpsc::Receiver<ProviderEvent>;

/// Whether the provider can be called.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// What it said at its last start. None until the first start has succeeded.
    pub info: Option<Info>,
    /// Why it cannot be called at present; None when it can.
    pub failure: Option<String>,
    /// Why it can be called and yet not tell its pods; None when its last list was good. Until it can, no pod is touched.
    pub trouble: Option<String>,
    /// How often it was started again after a crash.
    pub restarts: u64,
}

/// What a provider reports about itself.
#[derive(Clone, Debug, Default)]
pub struct Info {
    /// Optional powers.
    pub features: Features,
    /// Volume kinds it takes, by field name in `v1.Volume`.
    pub volume_kinds: Vec<String>,
    /// The node.
    pub node: NodeFacts,
}

/// Optional powers of a provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "mirrors the flags of the contract")]
pub struct Features {
    /// [`Provider::update`] works.
    pub update: bool,
    /// It reports events by itself.
    pub watch: bool,
    /// [`Provider::logs`] works.
    pub logs: bool,
    /// Commands can be run in containers.
    pub exec: bool,
    /// Containers can be attached to.
    pub attach: bool,
    /// Ports can be forwarded.
    pub port_forward: bool,
    /// It reports resource use.
    pub stats: bool,
    /// [`Provider::volumes_changed`] works. Without it files stay as they were when the pod was created.
    pub refresh: bool,
    /// [`Provider::restart_container`] works.
    pub restart: bool,
    /// It runs the probes of its pods itself and reports `ready` and `started` accordingly.
    pub probes: bool,
    /// It is a [`Runtime`](crate::runtime::Runtime): the host drives its containers.
    pub containers: bool,
}

impl Features {
    /// The names of those that are set, as the contract spells them.
    #[must_use]
    pub fn names(self) -> Vec<&'static str> {
        [
            (self.update, "update"),
            (self.watch, "watch"),
            (self.logs, "logs"),
            (self.exec, "exec"),
            (self.attach, "attach"),
            (self.port_forward, "port-forward"),
            (self.stats, "stats"),
            (self.refresh, "refresh"),
            (self.restart, "restart"),
            (self.probes, "probes"),
            (self.containers, "containers"),
        ]
        .into_iter()
        .filter_map(|(set, name)| set.then_some(name))
        .collect()
    }
}

/// The node as the backend knows it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeFacts {
    /// Resource name → quantity.
    pub capacity: BTreeMap<String, String>,
    /// Empty: the same as `capacity`.
    pub allocatable: BTreeMap<String, String>,
    /// As in GOARCH.
    pub architecture: String,
    /// `linux` or `windows`.
    pub operating_system: String,
    /// Labels for the Node.
    pub labels: BTreeMap<String, String>,
    /// Taints for the Node.
    pub taints: Vec<Taint>,
    /// Conditions of the backend.
    pub conditions: Vec<NodeCondition>,
}

impl NodeFacts {
    /// What pods may request: as told, or all there is.
    #[must_use]
    pub fn allocatable(&self) -> &BTreeMap<String, String> {
        if self.allocatable.is_empty() { &self.capacity } else { &self.allocatable }
    }
}

/// Which part of a container's log is wanted. `tail_lines` and `since_unix_ns` are hints: a provider may send more.
#[derive(Clone, Debug, Default)]
pub struct LogRequest {
    /// Container name; init and ephemeral containers count.
    pub container: String,
    /// The run before the present one.
    pub previous: bool,
    /// Go on until the container ends.
    pub follow: bool,
    /// No more than this many lines from the end are needed.
    pub tail_lines: Option<u64>,
    /// Nothing older is needed; nanoseconds since 1970.
    pub since_unix_ns: Option<u64>,
}

/// Log items in order; an `Err` is the last item.
pub type LogStream = BoxStream<'static, Result<LogItem, Error>>;

/// A piece of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogItem {
    /// A line or a piece of one.
    Line {
        /// When it was written; nanoseconds since 1970. None where the backend does not know.
        time_unix_ns: Option<u64>,
        /// True for standard error.
        stderr: bool,
        /// Ends in a newline where the line does.
        bytes: Bytes,
    },
    /// What follows is newer than the request.
    CaughtUp,
}

/// Why a provider call failed. The variant decides what happens next; the text is for people.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// No such pod or container.
    #[error("not found")]
    NotFound,
    /// The UID exists with other content.
    #[error("already exists with other content")]
    AlreadyExists,
    /// The provider cannot do that, ever.
    #[error("not supported by this provider: {0}")]
    Unsupported(String),
    /// The request can never succeed as it stands.
    #[error("{0}")]
    Invalid(String),
    /// The host's own policy does not let the pod run.
    #[error("{message}")]
    Forbidden {
        /// UpperCamelCase, for the pod's status.
        reason: &'static str,
        /// For people.
        message: String,
    },
    /// The backend refused the credentials or the right.
    #[error("the backend refused: {0}")]
    Denied(String),
    /// The backend is away or overloaded.
    #[error("the backend is unavailable: {message}")]
    Unavailable {
        /// For people.
        message: String,
        /// How long the backend asked to be left alone.
        retry_after: Option<Duration>,
    },
    /// A limit is reached.
    #[error("a limit of the backend is reached: {message}")]
    Quota {
        /// For people.
        message: String,
        /// How long the backend asked to be left alone.
        retry_after: Option<Duration>,
    },
    /// The provider itself failed.
    #[error("the provider failed: {0}")]
    Internal(String),
    /// The provider did not answer in time; the call may still take effect.
    #[error("the provider did not answer {call} within {after:?}")]
    Timeout {
        /// Which call.
        call: &'static str,
        /// The deadline that passed.
        after: Duration,
    },
    /// The provider stopped while the call was under way, for a reason that need not be this call's fault.
    #[error("the provider stopped during the call and is being restarted: {0}")]
    Restarting(String),
    /// This very call has stopped the provider again and again.
    #[error("this pod crashes the provider ({strikes} times): {message}")]
    Crashed {
        /// How often.
        strikes: u32,
        /// What the engine said.
        message: String,
    },
}

/// What to do after an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Never: the request is wrong.
    Never,
    /// Soon, without telling anyone: nobody's fault.
    Soon,
    /// By the usual back-off, not before the given time has passed.
    Backoff(Option<Duration>),
    /// At the longest interval: only a person can mend it.
    Slowly,
}

impl Error {
    /// Whether and when to try again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Invalid(_) | Self::Unsupported(_) | Self::Forbidden { .. } => Retry::Never,
            Self::Restarting(_) => Retry::Soon,
            Self::Unavailable { retry_after, .. } | Self::Quota { retry_after, .. } => Retry::Backoff(*retry_after),
            Self::NotFound | Self::AlreadyExists | Self::Internal(_) | Self::Timeout { .. } => Retry::Backoff(None),
            Self::Denied(_) | Self::Crashed { .. } => Retry::Slowly,
        }
    }

    /// The reason for statuses and events, in Kubernetes' spelling.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotFound => "ProviderNotFound",
            Self::AlreadyExists => "ProviderConflict",
            Self::Unsupported(_) => "ProviderUnsupported",
            Self::Invalid(_) => "ProviderInvalid",
            Self::Forbidden { reason, .. } => reason,
            Self::Denied(_) => "ProviderDenied",
            Self::Unavailable { .. } => "ProviderUnavailable",
            Self::Quota { .. } => "ProviderQuotaExceeded",
            Self::Internal(_) => "ProviderError",
            Self::Timeout { .. } => "ProviderTimeout",
            Self::Restarting(_) => "ProviderRestarting",
            Self::Crashed { .. } => "ProviderCrashed",
        }
    }
}
