//! Starts and stops the components, and knows which of them run.
//!
//! In: the binaries, the layout, the ports. Out: running processes. It makes the files that the components' flags name.
//! Nothing here waits for readiness; that is [`crate::control_plane`]'s.
//!
//! Invariant: dropping it kills every component.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Result;

use crate::certificates::{self, Subject};
use crate::components::{self, AUDIT_POLICY, Component};
use crate::kubeconfig;
use crate::layout::{Layout, Ports};
use crate::process::Process;

/// Name of the kubeconfig of the all-powerful user.
pub(crate) const ADMIN: &str = "admin";

#[derive(Debug)]
pub(crate) struct Supervisor {
    binaries: PathBuf,
    layout: Layout,
    ports: Ports,
    extra_args: Vec<(Component, String)>,
    running: Mutex<BTreeMap<Component, Process>>,
}

impl Supervisor {
    /// Makes the files; starts nothing.
    pub(crate) fn prepare(
        binaries: PathBuf,
        layout: Layout,
        ports: Ports,
        extra_args: Vec<(Component, String)>,
    ) -> Result<Self> {
        certificates::create_all(&layout)?;
        fs::write(layout.audit_policy(), AUDIT_POLICY)?;
        // Empty rather than absent, so that a mark can be taken before the first request.
        fs::write(layout.audit_log(), "")?;
        let admin = Subject { user: ADMIN, group: Some("system:masters") };
        kubeconfig::create(&layout, ports.apiserver, ADMIN, &admin)?;
        for component in [Component::ControllerManager, Component::Scheduler] {
            let user = format!("system:{component}");
            let subject = Subject { user: &user, group: None };
            kubeconfig::create(&layout, ports.apiserver, component.program(), &subject)?;
        }
        Ok(Self { binaries, layout, ports, extra_args, running: Mutex::default() })
    }

    /// Starts `component`; one that runs already is left alone.
    pub(crate) fn start(&self, component: Component) -> Result<()> {
        let mut running = self.running();
        if let Some(process) = running.get_mut(&component)
            && process.ended()?.is_none()
        {
            return Ok(());
        }
        let extra = self.extra_args.iter().filter(|(of, _)| *of == component).map(|(_, arg)| arg.clone());
        let command = components::command(component, &self.binaries, &self.layout, &self.ports, extra);
        let process = Process::spawn(component.program(), &command, &self.layout.log(component))?;
        running.insert(component, process);
        Ok(())
    }

    /// Kills `component`; one that does not run is left alone. As a crash would, with no farewell to its clients.
    pub(crate) fn stop(&self, component: Component) -> Result<()> {
        if let Some(mut process) = self.running().remove(&component) {
            process.kill()?;
        }
        Ok(())
    }

    /// An error with the end of its log if a component that was started has ended.
    pub(crate) fn check_running(&self) -> Result<()> {
        self.running().values_mut().try_for_each(Process::check_running)
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<Component, Process>> {
        // The map is consistent after every single operation, so a panic elsewhere does not spoil it.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
