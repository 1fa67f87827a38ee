//! The first look after a start: what the provider already runs.
//!
//! In: the provider. Out: its whole list. Invariant: nothing is decided about any pod before this list is there; a pod that seems
//! missing only because nobody asked would be started twice.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::PodStatus;
use pluglet_model::PodKey;
use pluglet_model::provider::Provider;
use tokio::time::sleep;
use tracing::warn;

/// Pause between attempts; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// A provider's list, by UID.
pub(crate) type Listing = HashMap<Arc<str>, (PodKey, PodStatus)>;

/// Lists until it works. Dropping the future gives up.
pub(crate) async fn first_list(provider: &dyn Provider) -> Listing {
    let mut pause = FIRST_PAUSE;
    loop {
        match provider.list().await {
            Ok(pods) => return by_uid(pods),
            Err(error) => {
                warn!(%error, ?pause, "the provider cannot list its pods; no pod is touched until it can");
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Indexes a list. A UID that is listed twice counts once, the last entry wins.
pub(crate) fn by_uid(pods: Vec<(PodKey, PodStatus)>) -> Listing {
    pods.into_iter().map(|(key, status)| (key.uid.clone(), (key, status))).collect()
}
