//! Calls on their way into the component.
//!
//! In: what a caller wants. Out: a [`Job`] for the incarnation. Invariant: a job carries everything that must end with it: the reply's
//! sender (dropped when the component crashes, which is how the caller learns) and the permits (held until the guest is done, not
//! until the caller has given up).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::channel::mpsc;
use pluglet_model::session::SessionInput;
use tokio::sync::{OwnedSemaphorePermit, mpsc as chunks, oneshot};

use crate::bindings::exports::pluglet::provider::events::Event;
use crate::bindings::exports::pluglet::provider::{lifecycle, pods, sessions, stats};
use crate::bindings::pluglet::provider::types::{self, PodRef};
use crate::exports::containers::ContainerRequest;
use crate::logs::LogSink;
use crate::sessions::{ForwardSink, SessionSink};

/// Where the answer goes.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, types::Error>>;

/// One function of the contract.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    /// Its name, for people.
    pub(crate) name: &'static str,
    /// How long it may take, as the contract says.
    pub(crate) deadline: Duration,
    /// Which limit it counts against.
    pub(crate) lane: Lane,
}

/// Kinds of calls that must not take each other's room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// About one pod. As many as the operator allows.
    Pods,
    /// About all pods. Few and large; they must not wait behind pods that hang.
    Lists,
    /// The incarnation's own, and sessions, which bring a permit of their own.
    Free,
}

/// A function that may take so many seconds.
pub(crate) const fn kind(name: &'static str, seconds: u64, lane: Lane) -> Kind {
    Kind { name, deadline: Duration::from_secs(seconds), lane }
}

pub(crate) const START: Kind = kind("start", 30, Lane::Free);
pub(crate) const WATCH: Kind = kind("watch", 30, Lane::Free);
pub(crate) const CREATE: Kind = kind("create", 120, Lane::Pods);
pub(crate) const UPDATE: Kind = kind("update", 120, Lane::Pods);
pub(crate) const VOLUMES_CHANGED: Kind = kind("volumes-changed", 120, Lane::Pods);
pub(crate) const RESTART_CONTAINER: Kind = kind("restart-container", 60, Lane::Pods);
pub(crate) const DELETE: Kind = kind("delete", 60, Lane::Pods);
pub(crate) const STATUS: Kind = kind("status", 30, Lane::Pods);
pub(crate) const LIST: Kind = kind("list", 60, Lane::Lists);
pub(crate) const LOGS: Kind = kind("logs", 30, Lane::Free);
pub(crate) const EXEC: Kind = kind("exec", 30, Lane::Free);
pub(crate) const ATTACH: Kind = kind("attach", 30, Lane::Free);
pub(crate) const PORT_FORWARD: Kind = kind("port-forward", 30, Lane::Free);
pub(crate) const STATS: Kind = kind("stats", 10, Lane::Lists);

/// `stop` has the deadline that the host's shutdown leaves it.
pub(crate) fn stop(grace: Duration) -> Kind {
    Kind { name: "stop", deadline: grace, lane: Lane::Free }
}

/// A function with its arguments.
pub(crate) enum Request {
    Start { init: lifecycle::Init, reply: Reply<lifecycle::Info> },
    Stop { grace_ms: u64, reply: Reply<Option<Vec<u8>>> },
    Watch { sink: mpsc::Sender<Vec<Event>>, reply: Reply<()> },
    Create { pod: PodRef, spec: pods::ResolvedPod, reply: Reply<String> },
    Update { pod: PodRef, spec: pods::ResolvedPod, reply: Reply<String> },
    VolumesChanged { pod: PodRef, volumes: Vec<pods::Volume>, reply: Reply<()> },
    RestartContainer { pod: PodRef, container: String, grace_seconds: u32, reply: Reply<()> },
    Delete { pod: PodRef, grace_seconds: u32, reply: Reply<()> },
    Status { pod: PodRef, reply: Reply<String> },
    List { reply: Reply<Vec<(PodRef, String)>> },
    Logs { pod: PodRef, options: sessions::LogOptions, sink: LogSink, reply: Reply<()> },
    Exec { pod: PodRef, request: sessions::ExecRequest, input: SessionInput, sink: SessionSink, reply: Reply<()> },
    Attach { pod: PodRef, container: String, input: SessionInput, sink: SessionSink, reply: Reply<()> },
    PortForward { pod: PodRef, port: u16, input: chunks::Receiver<Bytes>, sink: ForwardSink, reply: Reply<()> },
    Stats { reply: Reply<Vec<stats::PodStats>> },
    Containers(ContainerRequest),
}

/// The right to have one call inside the component. Given back by being dropped.
#[derive(Debug, Default)]
pub(crate) struct Permit {
    _room: Option<OwnedSemaphorePermit>,
}

impl Permit {
    /// A place among the calls of its lane.
    pub(crate) fn new(room: Option<OwnedSemaphorePermit>) -> Self {
        Self { _room: room }
    }
}

/// A request with what goes with it.
pub(crate) struct Job {
    pub(crate) request: Request,
    pub(crate) kind: Kind,
    /// The pod that it is about.
    pub(crate) uid: Option<Arc<str>>,
    /// Given back when the guest is done.
    pub(crate) permit: Permit,
}
