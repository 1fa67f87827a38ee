//! pluglet's own words: what a pod is called, what a resolved pod is, what a provider can do and how it fails.
//!
//! In: nothing. Out: types that every other part of the host uses. Invariant: no I/O, no Kubernetes client, no WebAssembly engine;
//! the [`provider::Provider`] trait is a port that the `wasm` crate implements and the rest of the host calls.

mod chain;
pub mod pod;
pub mod provider;
pub mod runtime;
pub mod session;

pub use chain::chain;
pub use pod::{PodKey, PodPlan};
