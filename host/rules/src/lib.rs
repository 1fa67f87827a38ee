//! What a kubelet makes of a pod, as pure functions.
//!
//! In: objects as the API server holds them, facts about the node. Out: decisions and resolved pods. Invariant: no I/O, no clock, no
//! Kubernetes client; the same arguments always give the same answer.

pub mod admission;
mod containers;
mod downward;
pub mod environment;
pub mod expand;
#[cfg(test)]
mod fixture;
pub mod grants;
pub mod lifecycle;
mod objects;
pub mod probe;
pub mod quantity;
pub mod references;
mod registry;
pub mod requests;
pub mod resolve;
pub mod runtime;
pub mod selector;
mod services;
mod volumes;
