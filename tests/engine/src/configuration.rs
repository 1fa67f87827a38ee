//! The files that make podman an engine of its own, and the command line with the environment that names them.
//!
//! In: a directory, and the registry's port if there is one. Out: files in it, and commands that obey them.
//!
//! Invariant: no file of the machine's own configuration decides anything but which images may be trusted
//! (`policy.json`), which cannot be said elsewhere.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use rustix::process::Resource;

use crate::directory::Layout;
use crate::programs;

/// What a container gets at most of files and processes, unless this machine allows less.
const LIMIT: u64 = 4096;

/// Makes all files. The registry's port has to be known: podman reads once which registries speak plain HTTP.
pub(crate) fn write(layout: &Layout, registry: Option<u16>) -> Result<()> {
    let file =
        |path: &Path, text: &str| fs::write(path, text).with_context(|| format!("cannot write {}", path.display()));
    file(&layout.containers_conf(), &containers_conf(layout))?;
    file(&layout.storage_conf(), &storage_conf(layout))?;
    file(&layout.registries_conf(), &registries_conf(registry))?;
    file(&layout.credentials(), "{}")?;
    file(&layout.conmon(), &conmon()?)?;
    fs::set_permissions(layout.conmon(), Permissions::from_mode(0o755))?;
    fs::create_dir(layout.temporary())?;
    Ok(())
}

/// `podman`, as a client or as the service of the engine in `layout`.
pub(crate) fn podman(layout: &Layout) -> Command {
    let mut command = Command::new("podman");
    command
        .env("PATH", programs::search_path())
        .env("CONTAINERS_CONF", layout.containers_conf())
        .env("CONTAINERS_STORAGE_CONF", layout.storage_conf())
        .env("CONTAINERS_REGISTRIES_CONF", layout.registries_conf())
        // Else the passwords of whoever runs this are tried, and a pull without one may work.
        .env("REGISTRY_AUTH_FILE", layout.credentials())
        .env("TMPDIR", layout.temporary())
        // Each names another service to talk to.
        .env_remove("CONTAINER_HOST")
        .env_remove("CONTAINER_CONNECTION");
    command
}

/// Why these lines:
/// - `base_hosts_file`: else the machine's own `/etc/hosts` is in every container.
/// - `http_proxy`: else the proxy settings of whoever runs this are.
/// - `default_ulimits`: podman's default asks for more than a root without CAP_SYS_RESOURCE may give. The soft limit is
///   the hard one because podman 4.3 swaps the two for containers that are made over the Docker API.
/// - `exit_command_delay`: else each command in a container leaves two processes for five minutes.
/// - `lock_type`: else all engines of this machine share one segment of memory for their locks.
fn containers_conf(layout: &Layout) -> String {
    let (files, processes) = (allowed(Resource::Nofile), allowed(Resource::Nproc));
    format!(
        r#"[containers]
base_hosts_file = "none"
http_proxy = false
default_ulimits = ["nofile={files}:{files}", "nproc={processes}:{processes}"]
[network]
network_backend = "netavark"
network_config_dir = "{networks}"
[engine]
runtime = "runc"
conmon_path = ["{conmon}"]
cgroup_manager = "cgroupfs"
events_logger = "file"
exit_command_delay = 10
lock_type = "file"
tmp_dir = "{temporary}"
"#,
        networks = layout.networks().display(),
        conmon = layout.conmon().display(),
        temporary = layout.run().join("libpod").display(),
    )
}

/// conmon 2.1.6 writes its "oom" marker into its working directory, podman 4.3 looks for it in the bundle (`-b`).
fn conmon() -> Result<String> {
    let conmon = programs::find("conmon").context("there is no conmon")?;
    Ok(format!(
        r#"#!/bin/sh
p=; for a; do [ "$p" = -b ] && cd "$a"; p=$a; done
exec "{}" "$@"
"#,
        conmon.display()
    ))
}

fn storage_conf(layout: &Layout) -> String {
    let (root, run) = (layout.storage(), layout.run());
    format!("[storage]\ndriver = \"overlay\"\ngraphroot = \"{}\"\nrunroot = \"{}\"\n", root.display(), run.display())
}

fn registries_conf(registry: Option<u16>) -> String {
    let mut text = "unqualified-search-registries = []\n".to_owned();
    if let Some(port) = registry {
        text.push_str(&format!("[[registry]]\nlocation = \"127.0.0.1:{port}\"\ninsecure = true\n"));
    }
    text
}

fn allowed(resource: Resource) -> u64 {
    rustix::process::getrlimit(resource).maximum.map_or(LIMIT, |maximum| maximum.min(LIMIT))
}
