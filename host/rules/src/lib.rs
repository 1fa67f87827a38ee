//! What a kubelet makes of a pod, as pure functions.
//!
//! In: objects as the API server holds them, facts about the node. Out: decisions and resolved pods. Invariant: no I/O, no clock, no
//! Kubernetes client; the same arguments always give the same answer.

pub mod admission;
pub mod expand;
pub mod quantity;
pub mod requests;
pub mod selector;
