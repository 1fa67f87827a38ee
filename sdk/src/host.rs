//! The host, as a provider sees it.
//!
//! In: calls of the provider. Out: HTTP, a small durable memory, a clock, a log, metrics, background tasks and reports. Invariant: there is
//! no other way out of the sandbox; off wasm the test harness answers in the host's place.

mod http;
mod imports;
mod kv;

use std::fmt::Display;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

#[cfg(target_arch = "wasm32")]
pub(crate) use http::Frame;
pub use http::{
    Body, BodyWriter, Endpoint, Handshake, Headers, HttpError, Message, Request, RequestBuilder, Response,
    StreamingResponse, Upgraded, WebSocket, WebSocketBuilder, WebSocketReader, WebSocketWriter,
};
pub(crate) use imports::Imports;
pub use imports::Level;
pub use kv::{Kv, KvError};

use crate::events::{Event, EventQueue, PodEvent};
use crate::tasks::Tasks;
use crate::{NodeFacts, PodRef, Status};

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crate::testing::World as Backend;
#[cfg(target_arch = "wasm32")]
pub(crate) use crate::wasm::Backend;

/// The way to everything outside of the provider. A clone is a few bytes and means the same host.
#[derive(Clone)]
pub struct Host {
    inner: Rc<Inner>,
}

struct Inner {
    backend: Backend,
    events: EventQueue,
    tasks: Tasks,
}

impl Host {
    pub(crate) fn new(backend: Backend) -> Self {
        Self { inner: Rc::new(Inner { backend, events: EventQueue::default(), tasks: Tasks::default() }) }
    }

    pub(crate) fn backend(&self) -> &Backend {
        &self.inner.backend
    }

    pub(crate) fn events(&self) -> &EventQueue {
        &self.inner.events
    }

    pub(crate) fn tasks(&self) -> &Tasks {
        &self.inner.tasks
    }

    /// The HTTP endpoint of that name in the provider's manifest.
    #[must_use]
    pub fn endpoint<'a>(&'a self, name: &'a str) -> Endpoint<'a> {
        Endpoint::new(self, name)
    }

    /// Send a request and wait for its whole answer. Any HTTP status is a success; see [`Response::ok`].
    ///
    /// The host does not repeat it: whether a lost answer may be asked for again is the provider's knowledge.
    ///
    /// # Errors
    /// [`HttpError`] when there is no answer.
    pub async fn fetch(&self, request: Request) -> Result<Response, HttpError> {
        self.backend().fetch(request).await
    }

    /// The provider's durable memory on this node.
    #[must_use]
    pub fn kv(&self) -> Kv<'_> {
        Kv::new(self)
    }

    /// Wall clock: nanoseconds since 1970, UTC. It may jump when the machine's clock is set.
    #[must_use]
    pub fn now_unix_ns(&self) -> u64 {
        self.backend().now_unix_ns()
    }

    /// Wait, to the millisecond and rounded up. Other calls and tasks go on meanwhile.
    pub async fn sleep(&self, duration: Duration) {
        let ms = duration.as_nanos().div_ceil(1_000_000);
        self.backend().sleep_ms(u64::try_from(ms).unwrap_or(u64::MAX)).await;
    }

    /// Unpredictable bytes, at most 4096 a call.
    #[must_use]
    pub fn random_bytes(&self, length: u32) -> Vec<u8> {
        self.backend().random_bytes(length)
    }

    /// How long until the host gives up the call on whose behalf this is asked, to the millisecond; zero when it has. None in background
    /// tasks ([`Host::spawn`]) and in sessions that are open: those have no deadline.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.backend().remaining_ms().map(Duration::from_millis)
    }

    /// Whether nobody waits for that call's answer any more. What it has done stays done; what is still to do need not be.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.backend().is_cancelled()
    }

    /// Add to a counter of this provider in the host's metrics. Names are 1 to 64 of `a`-`z`, `0`-`9` and `_`, and there are at most 64 of
    /// them; others are dropped, with one line in the log.
    pub fn counter_add(&self, name: &str, value: u64) {
        self.backend().counter_add(name, value);
    }

    /// Set a gauge of this provider in the host's metrics. Names are those of [`Host::counter_add`].
    pub fn gauge_set(&self, name: &str, value: f64) {
        self.backend().gauge_set(name, value);
    }

    /// Run a task beside the calls. It lives until it ends or the incarnation does.
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.inner.tasks.spawn(Box::pin(task));
    }

    /// A line in the host's log, under the provider's name. At most 8 KiB a line and 200 lines a second.
    pub fn log(&self, level: Level, message: &str) {
        self.backend().log(level, message, &[]);
    }

    /// A line with fields, such as `("uid", "…")`.
    pub fn log_with(&self, level: Level, message: &str, fields: &[(&str, &str)]) {
        self.backend().log(level, message, fields);
    }

    /// [`Host::log`] at debug level.
    pub fn debug(&self, message: impl Display) {
        self.log(Level::Debug, &message.to_string());
    }

    /// [`Host::log`] at info level.
    pub fn info(&self, message: impl Display) {
        self.log(Level::Info, &message.to_string());
    }

    /// [`Host::log`] at warn level.
    pub fn warn(&self, message: impl Display) {
        self.log(Level::Warn, &message.to_string());
    }

    /// [`Host::log`] at error level.
    pub fn error(&self, message: impl Display) {
        self.log(Level::Error, &message.to_string());
    }
}

/// Reports. They are queued and delivered in order when the provider has [`crate::Feature::Watch`].
impl Host {
    /// The whole present status of a pod. Takes the place of one for the same UID that was not delivered yet.
    pub fn report(&self, pod: PodRef, status: impl Into<Status>) {
        self.inner.events.push(Event::Status(pod, status.into()));
    }

    /// The pod is stopped and removed. Report its last status first; say nothing more about this UID after.
    pub fn gone(&self, pod: PodRef) {
        self.inner.events.push(Event::Gone(pod));
    }

    /// A `Normal` event for `kubectl describe pod`. `reason` is UpperCamelCase.
    pub fn pod_event(&self, pod: PodRef, reason: impl Into<String>, message: impl Into<String>) {
        let event = PodEvent { pod, warning: false, reason: reason.into(), message: message.into() };
        self.inner.events.push(Event::Pod(event));
    }

    /// A `Warning` event for `kubectl describe pod`. `reason` is UpperCamelCase.
    pub fn pod_warning(&self, pod: PodRef, reason: impl Into<String>, message: impl Into<String>) {
        let event = PodEvent { pod, warning: true, reason: reason.into(), message: message.into() };
        self.inner.events.push(Event::Pod(event));
    }

    /// Something has become of a container or sandbox, by its id; only of a [`crate::Runtime`]. The host asks how it is.
    pub fn container_changed(&self, pod: PodRef, id: impl Into<String>) {
        self.inner.events.push(Event::ContainerChanged(pod, id.into()));
    }

    /// The node's facts changed: all of them.
    pub fn node_changed(&self, node: NodeFacts) {
        self.inner.events.push(Event::Node(node));
    }

    /// Something may have been missed: the host lists all pods.
    pub fn resync(&self) {
        self.inner.events.push(Event::Resync);
    }
}
