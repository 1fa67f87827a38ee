//! Keeping what explains a failure on a control plane, before it is taken down.

use std::path::{Path, PathBuf};

use controlplane::ControlPlane;

use crate::cargo::Workspace;

/// A directory for the dumps of one run, `target/dumps/NAME-TIME`. Not made yet.
pub(crate) fn directory(workspace: &Workspace, name: &str) -> PathBuf {
    let time = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    workspace.target.join("dumps").join(format!("{name}-{time}"))
}

/// Dumps the cluster into `dir`, with copies of `logs`, and says where. Never fails itself: there is a more important
/// error to report.
pub(crate) fn dump(plane: &ControlPlane, dir: &Path, logs: &[PathBuf]) {
    match plane.dump(dir) {
        Ok(()) => eprintln!("what may explain it is in {}", dir.display()),
        Err(error) => eprintln!("cannot write a dump to {}: {error:#}", dir.display()),
    }
    for log in logs {
        let copy = log.file_name().map(Path::new).map(|file| dir.join(file));
        if let Some(copy) = copy
            && let Err(error) = std::fs::copy(log, &copy)
        {
            eprintln!("cannot copy {}: {error}", log.display());
        }
    }
}
