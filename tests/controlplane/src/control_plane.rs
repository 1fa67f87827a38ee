//! The control plane itself: start one or attach to one, and everything a user of it needs.
//!
//! In: [`Options`], or a directory named by the environment. Out: [`ControlPlane`].
//!
//! One that was started here is owned here: dropping it kills the components and removes the directory. One that was
//! attached to belongs to another process, and dropping it does nothing.

mod access;
mod start;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::sync::OnceCell;

use crate::audit::AuditLog;
use crate::components::Component;
use crate::control;
use crate::layout::{Description, Layout, OwnedDir};
use crate::supervisor::Supervisor;

/// The environment variable that names the directory of a control plane to attach to.
pub const ENVIRONMENT: &str = "PLUGLET_CONTROL_PLANE";

/// How to start a control plane. The default is what tests want.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Further command line arguments for components; where a flag is given twice, the later one, this one, counts.
    pub extra_args: Vec<(Component, String)>,
    /// Leave the directory with all logs in place at the end, and print where it is.
    pub keep: bool,
}

/// A running control plane, see the [crate's](crate) documentation.
#[derive(Debug)]
pub struct ControlPlane {
    layout: Layout,
    description: Description,
    admin: PathBuf,
    audit: AuditLog,
    owned: Option<Owned>,
}

/// What the owner holds. Dropped in this order: no more requests, no more components, no more directory.
#[derive(Debug)]
struct Owned {
    _control: control::Server,
    supervisor: Arc<Supervisor>,
    _dir: OwnedDir,
}

impl ControlPlane {
    /// Attaches to the control plane that [`ENVIRONMENT`] names, if it is set. `None` if it is not.
    pub fn attach_from_env() -> Result<Option<Self>> {
        match std::env::var_os(ENVIRONMENT) {
            Some(dir) if !dir.is_empty() => Self::attach(Path::new(&dir)).map(Some),
            _ => Ok(None),
        }
    }

    /// Attaches to the control plane whose directory is `dir`.
    pub fn attach(dir: &Path) -> Result<Self> {
        let layout = Layout::of(dir.to_owned());
        let description = layout.read_description().with_context(|| {
            format!("{ENVIRONMENT} should name the directory of a running control plane, or not be set")
        })?;
        Ok(Self::of(layout, description, None))
    }

    /// Attaches if the environment says so, starts one otherwise.
    pub async fn attach_or_start() -> Result<Self> {
        match Self::attach_from_env()? {
            Some(attached) => Ok(attached),
            None => Self::start(Options::default()).await,
        }
    }

    /// The one control plane of this process, attached to or started by the first caller.
    ///
    /// It lives until the process ends, and its children with it. Its directory is then swept by the next run.
    pub async fn shared() -> Result<&'static Self> {
        static SHARED: OnceCell<ControlPlane> = OnceCell::const_new();
        SHARED.get_or_try_init(Self::attach_or_start).await
    }

    /// The directory with everything in it: what [`ENVIRONMENT`] takes.
    pub fn dir(&self) -> &Path {
        self.layout.root()
    }

    fn of(layout: Layout, description: Description, owned: Option<Owned>) -> Self {
        let admin = layout.kubeconfig(crate::supervisor::ADMIN);
        let audit = AuditLog::of(layout.audit_log());
        Self { layout, description, admin, audit, owned }
    }
}
