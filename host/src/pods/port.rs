//! What the pod actors need of the outside, as a port: `api` implements it for a cluster, tests for a script.
//!
//! In: nothing. Out: traits and the words they use. Invariant: no Kubernetes client appears here.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::Pod;
use pluglet_model::PodKey;
use pluglet_rules::references::TokenSpec;
use serde_json::Value;

/// Writes about pods.
#[async_trait]
pub(crate) trait PodStore: Send + Sync + 'static {
    /// A strategic merge patch of the status subresource. Answers the object's new resource version.
    async fn patch_status(&self, key: &PodKey, patch: Value) -> Result<u64, WriteError>;
    /// Deletes the object with grace 0 and its UID as precondition.
    async fn delete(&self, key: &PodKey) -> Result<(), WriteError>;
    /// A token of the pod's ServiceAccount that is bound to the pod (TokenRequest API), and the seconds that it lives, which may be fewer than
    /// were asked for. `Err` is for people.
    async fn request_token(
        &self,
        key: &PodKey,
        service_account: &str,
        spec: &TokenSpec,
    ) -> Result<(Arc<str>, i64), String>;
}

/// Records events on pods. Never waits: what cannot be taken is counted and dropped.
pub(crate) trait EventSink: Send + Sync + 'static {
    /// `warning` chooses the type, `reason` is UpperCamelCase.
    fn record(&self, key: &PodKey, warning: bool, reason: &str, message: &str) {
        self.record_about(key, None, warning, reason, message);
    }
    /// The same about a part of the pod, such as `spec.containers{web}`.
    fn record_about(&self, key: &PodKey, field_path: Option<String>, warning: bool, reason: &str, message: &str);
}

/// Why a write did not happen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// The object does not exist any more, or another pod has its name.
    #[error("the object is gone")]
    Gone,
    /// The API server finds the content wrong: the same content will not be taken later either.
    #[error("the API server refused it: {0}")]
    Refused(String),
    /// Not now.
    #[error("the API server did not take it: {message}")]
    Later {
        /// For people.
        message: String,
        /// How long the API server asked to be left alone.
        after: Option<Duration>,
    },
}

/// What happened to the pods bound to this node.
#[derive(Debug)]
pub(crate) enum ObjectEvent {
    /// Added or changed.
    Applied(Pod),
    /// Deleted; the last known object.
    Deleted(Pod),
    /// A complete list, read after everything before it: what is not in it does not exist.
    Relisted(Vec<Pod>),
}
