//! The node's heartbeat: a Lease in `kube-node-lease`.
//!
//! In: the Node's UID. Out: renewals. Invariant: one attempt at a time, each with a deadline, on a connection that carries nothing else.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::port::NodeStore;

/// A quarter of the lease's duration, as a kubelet has it.
const RENEW_EVERY: Duration = Duration::from_secs(10);
/// `leaseDurationSeconds`.
pub(crate) const DURATION_SECONDS: i32 = 40;
/// An attempt that takes longer is given up: the next one dials anew.
const ATTEMPT: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_secs(1);

/// Renews until `cancel`.
pub(crate) async fn run(
    store: Arc<dyn NodeStore>,
    mut node_uid: watch::Receiver<Option<String>>,
    cancel: CancellationToken,
) {
    // Cancel-safe throughout: a renewal that is dropped is repeated, or the process ends.
    let renewals = async {
        let mut tick = interval(RENEW_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let Ok(uid) = node_uid.wait_for(Option::is_some).await.map(|uid| uid.clone().unwrap_or_default()) else {
                return;
            };
            tick.tick().await;
            renew(&*store, &uid).await;
        }
    };
    cancel.run_until_cancelled(renewals).await;
}

/// Tries until it works.
async fn renew(store: &dyn NodeStore, uid: &str) {
    let mut failing = false;
    loop {
        let failure = match timeout(ATTEMPT, store.renew_lease(uid)).await {
            Ok(Ok(())) if failing => {
                info!("the node's lease is renewed again");
                return;
            }
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {ATTEMPT:?}"),
        };
        if !std::mem::replace(&mut failing, true) {
            warn!(failure, "the node's lease was not renewed, trying again every second");
        }
        sleep(RETRY).await;
    }
}
