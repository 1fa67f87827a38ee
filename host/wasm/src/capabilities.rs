//! What a component can do to the world outside its memory: one file per import of the contract.
//!
//! In: calls of the guest. Out: answers in the contract's own error types. Invariant: a guest's mistake is an answer, never a trap;
//! everything that may wait lets the store go meanwhile; nothing here trusts a length, a name or a text of the guest.

pub(crate) mod host;
pub(crate) mod http;
pub(crate) mod kv;
pub(crate) mod log;
mod websocket;
