//! The guest's side of the contract.
//!
//! In: calls and imports of the component. Out: calls of the author's [`Provider`](crate::Provider). Invariant: generated types do
//! not leave this module; one incarnation has one provider and one host.

pub mod bindings;
mod convert;
mod convert_containers;
mod export_containers;
mod export_pods;
mod export_sessions;
mod exports;
mod imports;
mod imports_http;
mod streams;

pub use exports::Exported;
pub(crate) use imports::Backend;
