//! Runs providers as WebAssembly components, with the capabilities that the operator granted.
//!
//! In: a component that exports `pluglet:provider`, and [`ProviderOptions`]. Out: [`WasmProvider`], which is the
//! [`Provider`](pluglet_model::provider::Provider) that the rest of the host knows. Invariant: wasmtime appears in this crate only, and
//! a component reaches nothing but what its options grant.
//!
//! The way of a call: [`WasmProvider`] turns the model's words into the contract's (`adapt`), waits for a place (`dispatch`) and hands
//! a job (`call`) through the door (`gate`) of the running incarnation (`instance`), whose store holds the sandbox (`state`,
//! `capabilities`). A `supervisor` starts incarnations, watches their `vitals` from outside, and puts down `strikes` when one crashes.
//!
//! One instance serves all calls of a provider at once, on threads of its own. That is as fast as native code over real backends, and
//! it lets a provider keep connections and caches; the price is that a trap loses every call in flight, which is what the
//! supervisor, the strikes and the retryable errors are for.

mod adapt;
mod artifact;
mod bindings;
mod call;
mod calls;
mod capabilities;
pub mod compile;
mod cpu;
mod dispatch;
mod engine;
mod events;
mod exports;
mod gate;
mod handoff;
mod inspect;
mod instance;
mod limits;
mod logs;
mod metrics;
mod options;
mod provider;
mod pump;
mod quarantine;
mod run;
mod runtime;
mod sessions;
mod start;
mod state;
mod strikes;
mod supervisor;
mod turns;
mod vitals;

pub use artifact::ArtifactError;
pub use capabilities::kv::OpenError;
pub use engine::EngineError;
pub use inspect::{InspectError, Inspection, Manifest, inspect};
pub use limits::Limits;
pub use metrics::Metrics;
pub use options::ProviderOptions;
pub use provider::WasmProvider;
pub use start::StartError;
