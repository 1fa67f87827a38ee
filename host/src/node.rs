//! The Node object: registering, keeping it true, its lease.
//!
//! In: the operator's settings, what the provider reports, the object as the API server holds it. Out: the object as it shall be.
//! Invariant: level-triggered and modest. What is ours comes back when somebody removes it; what is not ours is never touched.
//!
//! [`desired`] is pure and says what the node shall be; [`reconcile`] keeps it so; [`facts`] holds a
//! provider back that changes its mind too often; [`lease`] is the heartbeat.

pub(crate) mod desired;
mod facts;
pub(crate) mod lease;
pub(crate) mod port;
pub(crate) mod reconcile;
