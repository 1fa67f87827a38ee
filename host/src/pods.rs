//! The pods of this node: one actor per UID.
//!
//! In: what the API server holds ([`port::ObjectEvent`]), what the provider tells. Out: provider calls, status writes, deletions,
//! events. Invariant: level-triggered. {API server} × {actors} × {provider} are compared at every relist and every minute, and
//! nothing is deleted that a synchronised view of the API server has not proven dead.
//!
//! Walk it in this order: [`dispatch`] gives each object to its actor, [`admission`] says which new ones the node takes, [`actor`] drives one pod, [`state`] decides, [`port`] is what
//! the actors need of the outside, [`view`] is what others may read,
//! [`kept`] is how objects wait in few bytes.

pub(crate) mod actor;
mod admission;
pub(crate) mod dispatch;
mod kept;
pub(crate) mod port;
pub(crate) mod recover;
pub(crate) mod state;
pub(crate) mod view;
