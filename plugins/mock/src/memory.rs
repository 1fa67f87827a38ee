//! What is remembered of a pod for as long as the provider runs.
//!
//! In: calls. Out: how often each was made, and what the next command or delete answers. Invariant: nothing of a pod's life depends on it,
//! since a restart of the provider forgets it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use pluglet_sdk::Result;
use serde::Serialize;

use crate::reveal::Held;
use crate::script::Script;
use crate::shell::Files;
use crate::stats::Used;

/// The memory of one pod.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) calls: Calls,
    /// What the calls brought, where the pod asks to have it revealed.
    pub(crate) held: Option<Held>,
    /// How many commands were run, by container.
    commands: BTreeMap<String, usize>,
    failed_deletes: u32,
    /// CPU time so far, by container.
    pub(crate) used: BTreeMap<String, Used>,
    /// What `tar` has unpacked, by container.
    files: BTreeMap<String, Rc<RefCell<Files>>>,
}

/// How often the pod was called about. A create that failed does not count.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Calls {
    pub(crate) create: u32,
    pub(crate) update: u32,
    pub(crate) volumes_changed: u32,
    pub(crate) restart: u32,
}

impl Memory {
    /// The exit code of the next command in a container.
    pub(crate) fn next_exit_code(&mut self, container: &str, script: &Script) -> i32 {
        let run = self.commands.entry(container.to_owned()).or_default();
        let codes = &script.exec_exit_codes;
        let code = codes.get(*run).or(codes.last()).copied().unwrap_or_default();
        *run = run.saturating_add(1);
        code
    }

    /// The files of a container.
    pub(crate) fn files(&mut self, container: &str) -> Rc<RefCell<Files>> {
        self.files.entry(container.to_owned()).or_default().clone()
    }

    /// The exit codes begin anew: they have changed.
    pub(crate) fn forget_commands(&mut self) {
        self.commands.clear();
    }

    /// Whether the next delete fails.
    pub(crate) fn next_delete(&mut self, script: &Script) -> Result<()> {
        let Some(failure) = &script.delete_error else { return Ok(()) };
        let next = failure.next(self.failed_deletes);
        self.failed_deletes = self.failed_deletes.saturating_add(u32::from(next.is_err()));
        next
    }
}
