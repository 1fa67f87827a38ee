//! How checks are made: a port, and what implements it for a node.
//!
//! In: a [`Check`], where the pod is, a timeout. Out: an [`Outcome`], never an error. Invariant: a check ends in time, whatever the other side
//! does.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pluglet_model::PodKey;
use pluglet_model::provider::Provider;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use super::address::{Reach, Unreachable};
use super::check::Check;
use super::{command, grpc, http, tcp};

/// Checks of all pods of this node that are under way at once. Each is a connection: without this limit pods whose probes hang would use up
/// the process's file descriptors, of which the API server's watches and providers need theirs. Places are given in the order of
/// asking, and the wait for one is not part of the check's timeout: a busy node must not look like a sick container.
const PLACES: usize = 64;

/// How long a check may keep its place, whatever `timeoutSeconds` says. The API takes 68 years; a few pods with such probes that never
/// answer would keep all places for ever. With this limit they only slow the others down.
const LONGEST_CHECK: Duration = Duration::from_secs(60);

/// What came of a check (`probe.Result` in the kubelet).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The container is well.
    Success,
    /// It is well, but the check was answered in a doubtful way.
    Warning { output: String },
    /// It is not well.
    Failure { output: String },
    /// The check could not be made: says nothing about the container.
    Unknown { error: String },
}

impl Outcome {
    pub(super) fn failure(output: impl Into<String>) -> Self {
        Self::Failure { output: output.into() }
    }

    /// What it counts as; None where it does not.
    pub(super) fn verdict(&self) -> Option<bool> {
        match self {
            Self::Success | Self::Warning { .. } => Some(true),
            Self::Failure { .. } => Some(false),
            Self::Unknown { .. } => None,
        }
    }
}

/// Makes checks.
#[async_trait]
pub(crate) trait Runner: Send + Sync + 'static {
    /// Makes one check within `timeout`. `pod_ip` is where network probes go that name no host.
    async fn check(
        &self,
        key: &PodKey,
        container: &str,
        check: &Check,
        pod_ip: Option<IpAddr>,
        timeout: Duration,
    ) -> Outcome;
}

/// Makes checks from this node, and commands through the provider. One for all pods of the node.
pub(crate) struct NodeRunner {
    provider: Arc<dyn Provider>,
    reach: Reach,
    tls: TlsConnector,
    places: Semaphore,
}

impl NodeRunner {
    /// Fails only if the TLS library cannot be set up.
    pub(crate) fn new(provider: Arc<dyn Provider>, reach: Reach) -> Result<Self, rustls::Error> {
        let tls = TlsConnector::from(Arc::new(http::tls()?));
        Ok(Self { provider, reach, tls, places: Semaphore::new(PLACES) })
    }
}

/// How long a check may take.
#[derive(Clone, Copy)]
pub(super) struct Deadline {
    at: Instant,
    after: Duration,
}

impl Deadline {
    pub(super) fn after(timeout: Duration) -> Self {
        let after = timeout.min(LONGEST_CHECK);
        Self { at: Instant::now() + after, after }
    }

    /// Runs `step` until then; an `Err` says for people what time passed.
    pub(super) async fn bound<T>(self, step: impl Future<Output = T>) -> Result<T, String> {
        timeout_at(self.at, step).await.map_err(|_| format!("no answer within {:?}", self.after))
    }

    /// A connection until then, or what came of the check without one.
    pub(super) async fn dial(
        self,
        dial: impl Future<Output = Result<tokio::net::TcpStream, Unreachable>>,
    ) -> Result<tokio::net::TcpStream, Outcome> {
        match self.bound(dial).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(error.outcome()),
            Err(late) => Err(Outcome::failure(late)),
        }
    }
}

#[async_trait]
impl Runner for NodeRunner {
    async fn check(
        &self,
        key: &PodKey,
        container: &str,
        check: &Check,
        pod_ip: Option<IpAddr>,
        timeout: Duration,
    ) -> Outcome {
        let Ok(_place) = self.places.acquire().await else {
            return Outcome::Unknown { error: "the node is stopping".to_owned() };
        };
        let deadline = Deadline::after(timeout);
        match check {
            Check::Impossible(why) => Outcome::Unknown { error: why.clone() },
            Check::Command(command) => command::run(self.provider.as_ref(), key, container, command, deadline).await,
            Check::Http(get) => match host(get.host.as_deref(), pod_ip) {
                Ok(host) => http::get(&self.reach, &self.tls, &host, get, deadline).await,
                Err(outcome) => outcome,
            },
            Check::Tcp { host: named, port } => match host(named.as_deref(), pod_ip) {
                Ok(host) => tcp::connect(&self.reach, &host, *port, deadline).await,
                Err(outcome) => outcome,
            },
            Check::Grpc { port, service } => match host(None, pod_ip) {
                Ok(host) => grpc::health(&self.reach, &host, *port, service, deadline).await,
                Err(outcome) => outcome,
            },
        }
    }
}

/// The host that a check is made at. Without one it has not failed: the container cannot help it, and a restart gives it no address either.
fn host(named: Option<&str>, pod_ip: Option<IpAddr>) -> Result<String, Outcome> {
    let host = named.map(str::to_owned).or_else(|| pod_ip.map(|ip| ip.to_string()));
    host.ok_or_else(|| Outcome::Unknown { error: "the provider reports no address for the pod".to_owned() })
}

#[cfg(test)]
mod tests;
