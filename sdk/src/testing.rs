//! Run a provider natively, without WebAssembly, host or cluster.
//!
//! In: a provider type, a configuration, pods. Out: what the provider answers and reports. Invariant: nothing waits for real time and
//! nothing leaves the process; the same script gives the same result each time.
//!
//! [`Harness`] calls the provider as the host does. [`World`] is what the provider sees of the host: a clock that stands still until it
//! is moved, a memory, endpoints that a test scripts. A world can outlive its harness, which is how a restart is tested.

mod clock;
mod collect;
mod executor;
mod harness;
mod pod;
mod schema;
mod world;

pub use collect::{Finished, Followed};
pub use executor::Pending;
pub use harness::Harness;
pub use pod::{TestPod, pod};
pub use schema::check_config;
pub use serde_json::json;
pub use world::{Peer, Responder, World};
