//! The node's HTTPS server: what the API server calls for logs, sessions and the rest.
//!
//! In: connections on the kubelet port. Out: log streams, reasons. Invariant: every request is authenticated and authorised before its path
//! is looked at, and a call that is not served answers 501 with the reason, never an empty success.

pub(crate) mod auth;
pub(crate) mod log_filter;
pub(crate) mod logs;
pub(crate) mod metrics;
pub(crate) mod pods;
pub(crate) mod routes;
pub(crate) mod server;
pub(crate) mod streaming;
pub(crate) mod tls;
pub(crate) mod usage;
