//! Which programs an engine is made of, where they are, and what is to be done about those that are missing.
//!
//! In: the machine. Out: packages to install, none if all is there, or a reason to do without an engine.
//!
//! Invariant: looking changes nothing, and the decision is a pure function of what was seen.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Where administrators' programs are; the path of a user does not always have them.
const ADMINISTRATION: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// Where podman looks for programs that only it runs.
const HELPERS: [&str; 4] =
    ["/usr/local/libexec/podman", "/usr/local/lib/podman", "/usr/libexec/podman", "/usr/lib/podman"];

/// How much of a program is read to see whether it needs a loader: that is named right behind the program headers.
const HEADERS: u64 = 4096;

/// What was seen of this machine.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub(crate) linux: bool,
    pub(crate) root: bool,
    pub(crate) apt: bool,
    /// Debian packages whose programs are not there.
    pub(crate) missing: Vec<&'static str>,
}

impl Machine {
    pub(crate) fn look(registry: bool) -> Self {
        Self {
            linux: cfg!(target_os = "linux"),
            root: rustix::process::geteuid().is_root(),
            apt: find("apt-get").is_some(),
            missing: missing(registry),
        }
    }

    /// The packages to install before an engine can be started, if any; or the reason why there can be none.
    pub(crate) fn plan(self) -> Result<Vec<&'static str>, String> {
        if !self.linux {
            return Err("a container engine needs Linux".to_owned());
        }
        if !self.root {
            return Err("a container engine needs root here: podman without root is another engine".to_owned());
        }
        if !self.missing.is_empty() && !self.apt {
            return Err(format!("there is no apt-get to install what is missing: {}", self.missing.join(", ")));
        }
        Ok(self.missing)
    }
}

/// The Debian packages whose programs are not there.
pub(crate) fn missing(registry: bool) -> Vec<&'static str> {
    let mut missing = Vec::new();
    for (package, found) in [
        ("podman", find("podman").is_some() && find("conmon").is_some()),
        ("runc", find("runc").is_some()),
        ("netavark", helper("netavark")),
        ("iptables", find("iptables").is_some()),
        ("busybox-static", busybox().is_some()),
        ("docker-registry", !registry || find("docker-registry").is_some()),
    ] {
        if !found {
            missing.push(package);
        }
    }
    missing
}

/// The path to look for programs in: the user's, then [`ADMINISTRATION`].
pub(crate) fn search_path() -> OsString {
    let users = env::var_os("PATH").unwrap_or_default();
    let directories = env::split_paths(&users).chain(ADMINISTRATION.map(PathBuf::from));
    // A directory that came out of a path can go into one.
    env::join_paths(directories).unwrap_or(users)
}

/// Where a program is.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    env::split_paths(&search_path()).map(|directory| directory.join(program)).find(|path| path.is_file())
}

/// A busybox that runs where there is nothing else: one that names no loader.
pub(crate) fn busybox() -> Option<PathBuf> {
    env::split_paths(&search_path()).map(|directory| directory.join("busybox")).find(|path| is_static(path))
}

fn helper(program: &str) -> bool {
    HELPERS.iter().any(|directory| Path::new(directory).join(program).is_file()) || find(program).is_some()
}

fn is_static(program: &Path) -> bool {
    let mut headers = Vec::new();
    let read = File::open(program).and_then(|file| file.take(HEADERS).read_to_end(&mut headers));
    read.is_ok() && headers.starts_with(b"\x7fELF") && !headers.windows(4).any(|name| name == b"/ld-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(missing: &[&'static str]) -> Machine {
        Machine { linux: true, root: true, apt: true, missing: missing.to_vec() }
    }

    #[test]
    fn what_is_missing_is_installed_and_nothing_else() {
        assert_eq!(machine(&[]).plan(), Ok(vec![]));
        assert_eq!(Machine { apt: false, ..machine(&[]) }.plan(), Ok(vec![]));
        assert_eq!(machine(&["runc", "netavark"]).plan(), Ok(vec!["runc", "netavark"]));
    }

    #[test]
    fn what_may_not_be_installed_is_a_reason_to_skip() {
        for (machine, expected) in [
            (Machine { apt: false, ..machine(&["runc"]) }, "missing: runc"),
            (Machine { root: false, ..machine(&["runc"]) }, "root"),
            (Machine { root: false, ..machine(&[]) }, "root"),
            (Machine { linux: false, ..machine(&[]) }, "Linux"),
        ] {
            let reason = machine.plan().unwrap_err();
            assert!(reason.contains(expected), "{reason}");
        }
    }

    #[test]
    fn a_program_with_a_loader_is_not_static_and_a_script_is_no_program() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("program");
        for (content, expected) in [
            (&b"\x7fELF\0\0\0\0"[..], true),
            (b"\x7fELF\0\0\0\0/lib64/ld-linux-x86-64.so.2\0", false),
            (b"\x7fELF\0\0\0\0/lib/ld-musl-x86_64.so.1\0", false),
            (b"#!/bin/sh\n", false),
        ] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(is_static(&path), expected, "{}", content.escape_ascii());
        }
        assert!(!is_static(directory.path()));
    }
}
