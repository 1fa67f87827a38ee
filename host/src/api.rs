//! The API server: the only place, beside `app`, that holds a Kubernetes client.
//!
//! In: a kubeconfig or the in-cluster environment. Out: the ports that `pods`, `objects`, `node` and `kubelet` own, implemented for a cluster.
//! Invariant: every write and review has a deadline, and the lease has a connection of its own.

pub(crate) mod access;
pub(crate) mod bootstrap;
pub(crate) mod client;
pub(crate) mod cluster;
pub(crate) mod events;
pub(crate) mod node;
pub(crate) mod objects;
pub(crate) mod pods;
pub(crate) mod signing;
pub(crate) mod streams;
pub(crate) mod watch;
