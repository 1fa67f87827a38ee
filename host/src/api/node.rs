//! The Node object and its lease in a cluster.
//!
//! In: the heartbeat client. Out: [`NodeStore`] and a stream of the object as it changes. Invariant: only this node's own objects are named.

use async_trait::async_trait;
use futures::{StreamExt, future, stream};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use serde_json::Value;
use tracing::warn;

use super::client::within;
use super::pods::describe;
use super::watch::Pauses;
use crate::node::lease::DURATION_SECONDS;
use crate::node::port::{NodeError, NodeStore};
use crate::node::reconcile::NodeStream;

const FIELD_MANAGER: &str = "pluglet";

/// This node in the cluster.
pub(crate) struct ClusterNode {
    nodes: Api<Node>,
    leases: Api<Lease>,
    name: String,
}

impl ClusterNode {
    /// The node in the cluster of these clients, one for the object and one for its lease.
    pub(crate) fn new(node: Client, lease: Client, name: &str) -> Self {
        Self { nodes: Api::all(node), leases: Api::namespaced(lease, "kube-node-lease"), name: name.to_owned() }
    }

    /// The object, now and after each change; None while it does not exist.
    pub(crate) fn watch(&self) -> NodeStream {
        let config = watcher::Config::default().fields(&format!("metadata.name={}", self.name));
        let events = watcher(self.nodes.clone(), config).backoff(Pauses::default());
        events
            .scan((None, false), |(listed, failing): &mut (Option<Node>, bool), event| {
                let seen = match event {
                    Ok(event) => {
                        // Init only announces that a list will be tried.
                        *failing &= matches!(event, Event::Init);
                        observe(listed, event)
                    }
                    Err(error) => {
                        if !std::mem::replace(failing, true) {
                            warn!(error = %describe(&error), "cannot watch this node, trying again");
                        }
                        None
                    }
                };
                future::ready(Some(seen))
            })
            .flat_map(stream::iter)
            .boxed()
    }
}

/// What an event says about the one object: None where it says nothing yet.
fn observe(listed: &mut Option<Node>, event: Event<Node>) -> Option<Option<Node>> {
    match event {
        Event::Init => {
            *listed = None;
            None
        }
        Event::InitApply(node) => {
            *listed = Some(node);
            None
        }
        Event::InitDone => Some(listed.take()),
        Event::Apply(node) => Some(Some(node)),
        Event::Delete(_) => Some(None),
    }
}

#[async_trait]
impl NodeStore for ClusterNode {
    async fn create(&self, node: &Node) -> Result<Option<String>, NodeError> {
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        within(self.nodes.create(&params, node)).await.map(|node| node.metadata.uid).map_err(node_error)
    }

    async fn patch(&self, patch: Value) -> Result<(), NodeError> {
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        within(self.nodes.patch(&self.name, &params, &Patch::Merge(patch))).await.map(|_| ()).map_err(node_error)
    }

    async fn patch_status(&self, patch: Value) -> Result<(), NodeError> {
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let patch = Patch::Strategic(patch);
        within(self.nodes.patch_status(&self.name, &params, &patch)).await.map(|_| ()).map_err(node_error)
    }

    async fn renew_lease(&self, owner_uid: &str) -> Result<(), NodeError> {
        let lease = Lease {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                namespace: Some("kube-node-lease".to_owned()),
                owner_references: Some(vec![OwnerReference {
                    api_version: "v1".to_owned(),
                    kind: "Node".to_owned(),
                    name: self.name.clone(),
                    uid: owner_uid.to_owned(),
                    ..OwnerReference::default()
                }]),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.name.clone()),
                lease_duration_seconds: Some(DURATION_SECONDS),
                renew_time: Some(MicroTime(Timestamp::now())),
                ..LeaseSpec::default()
            }),
        };
        // Apply creates and renews alike, in one call.
        let params = PatchParams::apply(FIELD_MANAGER).force();
        self.leases.patch(&self.name, &params, &Patch::Apply(lease)).await.map(|_| ()).map_err(node_error)
    }

    async fn delete(&self, uid: &str) -> Result<(), NodeError> {
        let params =
            DeleteParams::default().preconditions(Preconditions { uid: Some(uid.to_owned()), resource_version: None });
        within(self.nodes.delete(&self.name, &params)).await.map(|_| ()).map_err(node_error)
    }
}

fn node_error(error: kube::Error) -> NodeError {
    match &error {
        kube::Error::Api(status) if status.code == 403 => NodeError::Forbidden(status.message.clone()),
        kube::Error::Api(status) => NodeError::Failed(status.message.clone()),
        _ => NodeError::Failed(describe(&error)),
    }
}
