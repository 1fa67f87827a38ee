//! What the tests on a real control plane share: a namespace of their own and a pluglet node of their own.
//!
//! In: the control plane, the pluglet binary and the components that `cargo xtask test` names in the environment. Out: [`World`], [`Node`].
//! Invariant: a test owns its node and its namespace; nothing of it is left when it ends, and a failure leaves the logs.

mod backend;
mod calls;
mod history;
mod manifests;
mod node;
mod pods;
mod reveal;
mod table;
mod terminal;
mod world;

pub use backend::Workload;
pub use calls::{by, most_open_at_once, pod_writes};
pub use history::{Happened, History};
pub use manifests::{config_map, secret, service, typed_secret, with};
pub use node::{Identity, Node, NodeOptions};
pub use pods::{condition, container, is_running, name, phase, pod, revealing, template, uid};
pub use reveal::{claims, file_text, lifetime, revealed, variable};
pub use table::{Row, check_rows};
pub use terminal::Terminal;
pub use world::World;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

/// The longest wait for anything that should happen soon. Generous: machines are shared and slow, and a test that waits for an
/// event costs no more for it.
pub const SOON: Duration = Duration::from_secs(90);

/// The pluglet binary under test.
pub fn binary() -> Result<PathBuf> {
    from_environment("PLUGLET_BIN")
}

/// The directory with the provider components.
pub fn components() -> Result<PathBuf> {
    from_environment("PLUGLET_COMPONENTS")
}

fn from_environment(name: &str) -> Result<PathBuf> {
    let value =
        std::env::var_os(name).with_context(|| format!("{name} is not set: run `cargo xtask test --rung cluster`"))?;
    Ok(PathBuf::from(value))
}
