//! What the node needs of the API server, as a port.
//!
//! In: nothing. Out: a trait and its error. Invariant: no Kubernetes client appears here.

use async_trait::async_trait;
use k8s_openapi::api::core::v1::Node;
use serde_json::Value;

/// Writes about this node.
#[async_trait]
pub(crate) trait NodeStore: Send + Sync + 'static {
    /// Answers the UID.
    async fn create(&self, node: &Node) -> Result<Option<String>, NodeError>;
    /// A merge patch of metadata and spec.
    async fn patch(&self, patch: Value) -> Result<(), NodeError>;
    /// A strategic merge patch of the status subresource.
    async fn patch_status(&self, patch: Value) -> Result<(), NodeError>;
    /// Creates or renews the lease in `kube-node-lease`. The UID is the Node's, its owner.
    async fn renew_lease(&self, owner_uid: &str) -> Result<(), NodeError>;
    /// Deletes the Node if it still has this UID.
    async fn delete(&self, uid: &str) -> Result<(), NodeError>;
}

/// Why a write did not happen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NodeError {
    /// This identity may not do that, now or later.
    #[error("this identity may not: {0}")]
    Forbidden(String),
    /// Tried again at the next occasion.
    #[error("{0}")]
    Failed(String),
}
