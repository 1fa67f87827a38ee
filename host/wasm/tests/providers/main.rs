//! Real components in the real engine.
//!
//! In: the components of `plugins/`, built by `cargo xtask build-plugins`. Out: whether the crate keeps what its documentation
//! promises. Invariant: tests wait for events, not for times; each has a node name and so a `kv` of its own; compiled code is shared.

#![cfg(test)]

mod artifacts;
mod changes;
mod commands;
mod crashes;
mod http;
mod lifecycle;
mod logs;
mod sessions;
mod support;
