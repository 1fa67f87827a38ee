//! The SDK, used as an author uses it.
//!
//! In: small providers. Out: what the harness sees of them. Invariant: native, without time and without network.

#![expect(clippy::unwrap_used, reason = "a test whose helper cannot go on has failed")]

mod calls;
mod events;
mod exchange;
mod http;
mod kubernetes;
mod manifest;
mod measures;
mod sessions;
mod switch;
mod time;
