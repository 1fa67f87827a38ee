//! Write a pluglet provider.
//!
//! In: an implementation of [`Provider`]. Out: a WebAssembly component, or natively a [`testing::Harness`] around it. Invariant: an
//! author sees neither WIT nor generated code, and the same provider runs unchanged in both.
//!
//! A provider that runs one pod, and its test:
//!
//! ```
//! use std::cell::RefCell;
//! use std::time::Duration;
//!
//! use pluglet_sdk::kubernetes::{Phase, Pod, PodStatus, Time};
//! use pluglet_sdk::testing::{Harness, json, pod};
//! use pluglet_sdk::{Error, Event, Feature, Host, Info, Init, PodRef, Provider, ResolvedPod, Result, Status};
//!
//! struct One {
//!     host: Host,
//!     pod: RefCell<Option<(PodRef, Pod)>>,
//! }
//!
//! impl One {
//!     fn now(&self) -> Time {
//!         Time::from_unix_ns(self.host.now_unix_ns())
//!     }
//! }
//!
//! impl Provider for One {
//!     async fn start(host: Host, _init: Init) -> Result<Self> {
//!         Ok(Self { host, pod: RefCell::default() })
//!     }
//!
//!     fn info(&self) -> Info {
//!         Info::new([Feature::Watch])
//!     }
//!
//!     async fn create(&self, pod: PodRef, spec: ResolvedPod) -> Result<Status> {
//!         let view = spec.pod()?;
//!         let status = PodStatus::running(&view, self.now());
//!         self.pod.replace(Some((pod, view)));
//!         Ok(status.into())
//!     }
//!
//!     async fn delete(&self, _pod: PodRef, _grace: Duration) -> Result<()> {
//!         let (pod, view) = self.pod.take().ok_or(Error::NotFound)?;
//!         self.host.report(pod.clone(), PodStatus::terminated(&view, 0, "Completed", self.now(), self.now()));
//!         self.host.gone(pod);
//!         Ok(())
//!     }
//!
//!     async fn list(&self) -> Result<Vec<(PodRef, Status)>> {
//!         let pods = self.pod.borrow();
//!         Ok(pods.iter().map(|(pod, view)| (pod.clone(), PodStatus::running(view, self.now()).into())).collect())
//!     }
//! }
//!
//! pluglet_sdk::export!(One, { name: "one", description: "Runs one pod.", features: [Watch] });
//!
//! # fn main() -> Result<()> {
//! let harness = Harness::<One>::start("{}")?;
//! let web = pod(json!({"metadata": {"name": "web"}}));
//! assert_eq!(harness.create(&web)?.phase, Phase::Running);
//!
//! harness.delete(&web, 30)?;
//! assert!(matches!(harness.events()[..], [Event::Status(..), Event::Gone(..)]));
//! # Ok(())
//! # }
//! ```

pub mod kubernetes;

mod containers;
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

pub use containers::{
    ContainerConfig, ContainerState, ContainerStatus, Containers, DnsConfig, ImageStatus, MemoryVolume, Mount,
    MountSource, PodContents, PortMapping, Propagation, Resources, Runtime, SandboxConfig, SandboxStatus, Security,
    SecurityProfile,
};
pub use error::{Error, Result, Retry};
pub use events::{Event, PodEvent};
pub use host::{
    Body, BodyWriter, Endpoint, Handshake, Headers, Host, HttpError, Kv, KvError, Level, Message, Request,
    RequestBuilder, Response, StreamingResponse, Upgraded, WebSocket, WebSocketBuilder, WebSocketReader,
    WebSocketWriter,
};
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

/// The version of the contract that providers of this SDK speak.
pub const CONTRACT: &str = "0.1.0";

/// What the code that [`export!`] makes needs. Not for people: it changes without notice.
#[doc(hidden)]
pub mod __private {
    #[cfg(not(target_arch = "wasm32"))]
    pub use crate::manifest::check;
    pub use crate::manifest::{Piece, length, render};
    #[cfg(target_arch = "wasm32")]
    pub use crate::wasm::{Exported, bindings, bindings::export_component};
}

/// The code of the README is compiled and run with the other examples.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
