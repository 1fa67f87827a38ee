//! The API server: the only place, beside `app`, that holds a Kubernetes client.
//!
//! In: a kubeconfig or the in-cluster environment. Out: the ports that `pods`, `node` and `kubelet` own, implemented for a cluster.
//! Invariant: every call but a watch has a deadline, and heartbeats have a connection of their own.

pub(crate) mod access;
pub(crate) mod client;
pub(crate) mod events;
pub(crate) mod node;
pub(crate) mod pods;
pub(crate) mod watch;
