//! SPDY/3.1 as Kubernetes' clients speak it: the side that accepts streams.
//!
//! In: a connection that was upgraded (`Upgrade: SPDY/3.1`). Out: its streams. Invariant: nothing here knows what the streams are for.
//!
//! `kubectl exec`, `attach`, `cp` and `port-forward` reach a node over it through every API server up to 1.37. It is not the SPDY of browsers: there
//! are no windows and no pseudo headers, and only clients open streams. What peers really do is in `moby/spdystream`.
//!
//! Walk it in this order: [`frame`] reads and writes frames, [`headers`] their header blocks, [`connection`] drives a connection, [`stream`] is what
//! its user sees.

pub mod connection;
mod dictionary;
pub mod frame;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod headers;
pub mod stream;

pub use connection::{Connection, End, Incoming};
pub use frame::Reset;
pub use headers::Headers;
pub use stream::{Closed, Opened, Reader, Writer};
