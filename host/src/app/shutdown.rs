//! The end of the process.
//!
//! In: SIGTERM or SIGINT. Out: a drained process, a removed node if that was asked for. Invariant: pods keep running; every wait is
//! bounded, and what is given up is named.

use std::time::Duration;

use pluglet_model::provider::Provider;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::api::node::ClusterNode;
use crate::node::port::NodeStore;
use crate::tasks::Tasks;

/// Time for the provider's own `stop`.
const PROVIDER_GRACE: Duration = Duration::from_secs(5);

/// Resolves with the name of the first signal that asks for an end. Handlers are in place when this returns.
pub(super) fn signals() -> std::io::Result<impl Future<Output = &'static str>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            // Cancel-safe: signals are counted by the runtime.
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    })
}

/// Ends what is under way, lets the provider go, removes the node if asked to.
pub(super) async fn drain(
    reason: &str,
    tasks: &Tasks,
    provider: &dyn Provider,
    grace: Duration,
    removal: Option<(ClusterNode, watch::Receiver<Option<String>>)>,
) {
    info!(reason, ?grace, "draining: calls under way are finished, nothing new is begun; pods keep running");
    let unfinished = tasks.drain(grace).await;
    if !unfinished.is_empty() {
        warn!(unfinished = unfinished.join(", "), "gave up waiting; a restart takes up what was not finished");
    }
    provider.stop(PROVIDER_GRACE).await;
    // Now, not when the signal came: a registration that was under way has ended meanwhile.
    match removal.map(|(node, uid)| (node, uid.borrow().clone())) {
        None => info!("stopped; a registered node stays registered, and pods keep running"),
        Some((_, None)) => info!("stopped; there was no node to remove"),
        Some((node, Some(uid))) => match node.delete(&uid).await {
            Ok(()) => info!("stopped; the node was removed"),
            Err(error) => warn!(%error, "stopped; the node could not be removed: kubectl delete node does it"),
        },
    }
}
