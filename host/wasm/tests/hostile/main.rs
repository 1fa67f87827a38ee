//! The hostile provider against the real sandbox: each attack is a test that fails when its guard is removed.
//!
//! In: `hostile.wasm` (see `tests/hostile/README.md`), loopback servers that record what reaches them. Out: what the attacker got to see.
//! Invariant: a test looks at both ends, at what the guest was told and at what arrived outside; an attacker is believed nowhere.

#![cfg(test)]

#[path = "../providers/support.rs"]
#[allow(dead_code, reason = "shared with another test program, which uses the rest")]
mod support;

mod attacker;
mod backend;
mod credentials;
mod exhaustion;
mod requests;
mod sandbox;
mod streams;
