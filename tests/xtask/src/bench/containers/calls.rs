//! Which calls the engine got, how many, and how long their answers took.
//!
//! In: methods and paths. Out: [`Calls`] by kind. Invariant: a kind says what a call is for, never of what, so that thirty pods make one line of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Calls of one kind.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) count: u32,
    /// Until the first byte of each answer, together.
    pub(super) time: Duration,
}

/// Calls so far.
pub(super) type Calls = BTreeMap<String, Tally>;

/// Where calls are written down. A clone is the same one.
#[derive(Debug, Clone, Default)]
pub(super) struct Book(Arc<Mutex<Calls>>);

impl Book {
    pub(super) fn add(&self, kind: &str, time: Duration) {
        let mut calls = self.lock();
        let tally = calls.entry(kind.to_owned()).or_default();
        tally.count += 1;
        tally.time += time;
    }

    /// What was written since the last time, which is forgotten.
    pub(super) fn take(&self) -> Calls {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Calls> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a call is for.
pub(super) fn kind(method: &str, target: &str) -> String {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && !is_version(part)).collect();
    let word = match (method, parts.as_slice()) {
        ("GET", ["containers", "json"]) if query.contains("dev.pluglet.sandbox") => "list of a sandbox",
        ("GET", ["containers", "json"]) if query.contains("dev.pluglet.uid") => "list of a pod",
        ("GET", ["containers", "json"]) => "list of all",
        ("GET", ["containers", _, "json"]) => "inspect",
        ("POST", ["containers", "create"]) => "create",
        ("POST", ["containers", _, action]) => action,
        ("DELETE", ["containers", _]) => "remove",
        ("GET", ["images", .., "json"]) if parts.len() > 2 => "inspect an image",
        _ => return format!("{method} /{}", parts.first().copied().unwrap_or_default()),
    };
    word.to_owned()
}

/// Such as `v1.41`, and the name of Podman's own API after it.
fn is_version(part: &str) -> bool {
    part == "libpod" || part.strip_prefix('v').is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit() || c == '.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_leaves_out_of_what() {
        for (method, target, expected) in [
            ("GET", "/v1.41/containers/json?all=1&filters=%7B%22label%22", "list of all"),
            ("GET", "/v1.41/containers/json?all=1&filters=dev.pluglet.uid%3Du", "list of a pod"),
            ("GET", "/v1.41/containers/json?all=1&filters=dev.pluglet.sandbox%3Ds", "list of a sandbox"),
            ("GET", "/v1.41/containers/4d9b/json", "inspect"),
            ("POST", "/v1.41/containers/create?name=x", "create"),
            ("POST", "/v1.41/containers/4d9b/stop?t=30", "stop"),
            ("DELETE", "/v1.41/containers/4d9b?force=1&v=1", "remove"),
            ("GET", "/v1.41/images/localhost/busybox:1/json", "inspect an image"),
            ("GET", "/v4.3.1/libpod/images/json", "GET /images"),
            ("GET", "/v1.41/volumes?filters=x", "GET /volumes"),
        ] {
            assert_eq!(kind(method, target), expected, "{method} {target}");
        }
    }
}
