//! What to keep when something failed: the ends of the components' logs and the state of the cluster.
//!
//! In: a directory. Out: text files in it. Best effort: whatever can't be had is replaced by the reason.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::components::Component;
use crate::control_plane::ControlPlane;
use crate::process;

/// The environment variable that names the directory for dumps of failing tests.
pub const ENVIRONMENT: &str = "PLUGLET_DUMPS";

/// Lines of each component's log: enough for the last minutes, short enough to read.
const LINES: usize = 400;

/// File name and `kubectl` arguments of each part of a dump.
const PARTS: [(&str, &[&str]); 5] = [
    ("nodes.yaml", &["get", "nodes", "-o", "yaml"]),
    ("nodes.txt", &["describe", "nodes"]),
    ("objects.txt", &["get", "all", "-A", "-o", "wide"]),
    ("pods.yaml", &["get", "pods", "-A", "-o", "yaml"]),
    ("events.txt", &["get", "events", "-A", "-o", "wide", "--sort-by=.metadata.creationTimestamp"]),
];

impl ControlPlane {
    /// Writes everything that may explain a failure into `dir`, which is made if need be.
    pub fn dump(&self, dir: &Path) -> Result<()> {
        fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        for component in Component::ALL {
            fs::write(dir.join(format!("{component}.log")), process::log_tail(&self.log(component), LINES))?;
        }
        for (file, arguments) in PARTS {
            fs::write(dir.join(file), output(self.kubectl().args(arguments).arg("--request-timeout=20s")))?;
        }
        Ok(())
    }
}

/// Where failing tests leave their dumps, each in a directory of its own.
pub fn directory() -> PathBuf {
    std::env::var_os(ENVIRONMENT).map_or_else(|| std::env::temp_dir().join("pluglet-dumps"), PathBuf::from)
}

/// What a command printed, both streams, or why there is nothing.
pub(crate) fn output(command: &mut Command) -> String {
    match command.output() {
        Ok(output) => {
            let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
            text.push_str(&String::from_utf8_lossy(&output.stderr));
            text
        }
        Err(error) => format!("cannot run {}: {error}", command.get_program().display()),
    }
}
