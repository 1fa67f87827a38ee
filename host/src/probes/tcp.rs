//! `tcpSocket`: whether a connection can be made (`pkg/probe/tcp`).
//!
//! In: a host and port. Out: an [`Outcome`]. Invariant: nothing is sent; the connection is closed at once.

use super::address::Reach;
use super::runner::{Deadline, Outcome};

/// Connects, and no more.
pub(super) async fn connect(reach: &Reach, host: &str, port: u16, deadline: Deadline) -> Outcome {
    match deadline.dial(reach.dial(host, port)).await {
        Ok(_) => Outcome::Success,
        Err(outcome) => outcome,
    }
}

#[cfg(test)]
mod tests;
