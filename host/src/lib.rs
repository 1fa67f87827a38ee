//! pluglet: a node whose pods run wherever a provider component says.
//!
//! ```text
//!            kubectl · scheduler · controllers
//!                 │ REST/watch                     │ HTTPS :10250
//!        ┌────────▼─────────┐              ┌───────▼────────┐
//!        │ api              │              │ kubelet        │
//!        └────┬────────▲────┘              └───────┬────────┘
//!             │pods    │status, events             │
//!        ┌────▼────────┴────┐                      │
//!        │ pods   one actor │                      │
//!        │ per UID          │                      │
//!        └────┬────────▲────┘                      │
//!     resolve │        │ status (pure)             │
//!        ┌────▼────────┴───────────────────────────▼────────┐
//!        │ the Provider trait (crate pluglet-model)         │
//!        └────┬─────────────────────────────────────────────┘
//!        ┌────▼─────────────────────────────────────────────┐
//!        │ the engine and the capabilities (pluglet-wasm)   │
//!        └──────────────────────────────────────────────────┘
//! ```
//!
//! The life of a pod, file by file: `api/watch` sees it bound · `pods/dispatch` admits it and gives it an actor · `pods/actor` drives it ·
//! `pods/state` decides · `objects` knows what it names · `pods/actor/material` makes the plan by the rules of pluglet-rules · the provider
//! runs it · `probes` ask how it is · `status` translates its report · `api/pods` writes it.
//!
//! Modules, in walking order. Only `app` knows them all; a test holds the arrows (see `layering`).

mod args;
mod config;
mod containers;
mod providers;

mod app;
mod tasks;
mod telemetry;

mod api;
mod certificates;
mod node;
mod objects;
mod pods;
mod probes;
mod status;

mod kubelet;

#[cfg(any(test, fuzzing))]
pub mod fuzzing;
#[cfg(test)]
mod layering;

pub use app::main;
