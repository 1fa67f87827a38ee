//! Write a pluglet provider.
//!
//! In: an implementation of [`Provider`]. Out: a WebAssembly component, or natively a [`testing::Harness`] around it. Invariant: an
//! author sees neither WIT nor generated code, and the same provider runs unchanged in both.

pub mod kubernetes;

mod error;
mod events;
mod host;
mod info;
mod manifest;
mod pod;
mod provider;
mod sessions;
mod stats;
mod tasks;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
#[cfg(target_arch = "wasm32")]
mod wasm;

pub use error::{Error, Result, Retry};
pub use events::{Event, PodEvent};
pub use host::{Endpoint, Host, HttpError, Kv, KvError, Level, Request, RequestBuilder, Response};
pub use info::{Condition, Feature, Info, NodeFacts, Taint};
pub use pod::{PodRef, RegistryCredential, ResolvedPod, Status, Volume, VolumeFile};
pub use provider::{Init, Provider};
pub use sessions::{
    ByteStream, ExecRequest, LogItem, LogLine, LogOptions, LogSource, LogStream, LogWriter, Session, SessionInput,
    TerminalSize, Tunnel,
};
pub use stats::{ContainerStats, PodStats};

/// The version of this SDK, as it stands in a component's manifest.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What the code that [`export!`] makes needs. Not for people: it changes without notice.
#[doc(hidden)]
pub mod __private {
    pub use crate::manifest::{Piece, length, render};
    #[cfg(target_arch = "wasm32")]
    pub use crate::wasm::{Exported, bindings, bindings::export_component};
}
