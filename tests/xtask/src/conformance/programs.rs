//! The suite and what its images are made of, built once for each version of Kubernetes.
//!
//! In: the Go module in `tests/conformance/kubernetes`, a C compiler, the sources of busybox. Out: [`Programs`], a
//! directory of the cache.
//!
//! Invariant: a directory in the cache is complete: it is filled under another name and renamed, under a lock.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use controlplane::binaries::{cache_directory, required_version};

use super::{home, native, step};

/// Raised when what is built changes without the version of Kubernetes.
const REVISION: u32 = 1;

/// What the image agnhost serves with, from the sources of Kubernetes.
pub(super) const CERTIFICATE: [&str; 2] = ["localhost.crt", "localhost.key"];

/// All that has to be there. The first three are Go's `tool` lines, the fourth is the suite.
const ALL: [&str; 8] =
    ["ginkgo", "agnhost", "nonewprivs", "e2e.test", native::BUSYBOX, native::PAUSE, CERTIFICATE[0], CERTIFICATE[1]];

/// Where they are.
#[derive(Debug)]
pub(super) struct Programs {
    /// The version of Kubernetes, with its `v`.
    pub(super) version: String,
    dir: PathBuf,
}

impl Programs {
    /// Finds them in the cache, or builds them: a quarter of an hour on two cores, with progress on stderr.
    pub(super) fn install() -> Result<Self> {
        let version = required_version(&module(), "k8s.io/kubernetes")?;
        let cache = cache_directory()?;
        let name = format!("conformance-{version}-{REVISION}");
        let found = Self { version, dir: cache.join(&name) };
        if found.is_complete() {
            return Ok(found);
        }
        fs::create_dir_all(&cache).with_context(|| format!("cannot make {}", cache.display()))?;
        let lock = File::create(cache.join(format!("{name}.lock"))).context("cannot make a lock in the cache")?;
        if lock.try_lock().is_err() {
            eprintln!("waiting for another run that builds the conformance suite …");
            lock.lock().context("cannot lock the cache")?;
        }
        if !found.is_complete() {
            found.build(&cache, &name)?;
        }
        Ok(found)
    }

    /// One of them.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn is_complete(&self) -> bool {
        ALL.iter().all(|name| self.path(name).is_file())
    }

    fn build(&self, cache: &Path, name: &str) -> Result<()> {
        let prefix = format!(".{name}-");
        sweep(cache, &prefix);
        let staging = tempfile::Builder::new().prefix(&prefix).tempdir_in(cache)?;
        let (programs, log) = (staging.path().join("programs"), staging.path().join("log"));
        fs::create_dir(&programs)?;
        eprintln!("conformance suite of Kubernetes {}: building it (cached afterwards)", self.version);
        let sources = sources()?;
        native::build(&sources, staging.path(), &programs, &log)?;
        for file in CERTIFICATE {
            fs::copy(sources.join("test/images/agnhost/porter").join(file), programs.join(file))
                .with_context(|| format!("the sources of Kubernetes have no {file}"))?;
        }
        let ldflags = self.ldflags();
        let mut tools = go(&["install", "-v", "-trimpath", "-ldflags", &ldflags, "tool"]);
        tools.env("GOBIN", &programs);
        step::run("ginkgo and the programs of the images", &tools, &log)?;
        let mut suite = go(&["test", "-c", "-v", "-trimpath", "-ldflags", &ldflags, "-o"]);
        suite.arg(programs.join("e2e.test")).arg("k8s.io/kubernetes/test/e2e");
        step::run("e2e.test", &suite, &log)?;
        if self.dir.exists() {
            fs::remove_dir_all(&self.dir).with_context(|| format!("cannot replace {}", self.dir.display()))?;
        }
        fs::rename(&programs, &self.dir).with_context(|| format!("cannot make {}", self.dir.display()))?;
        if !self.is_complete() {
            bail!("{} lacks one of {}", self.dir.display(), ALL.join(", "));
        }
        Ok(())
    }

    /// The suite compares its version with the API server's.
    fn ldflags(&self) -> String {
        let mut parts = self.version.trim_start_matches('v').split('.');
        let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let set = "-X k8s.io/component-base/version";
        format!("-s -w {set}.gitVersion={} {set}.gitMajor={major} {set}.gitMinor={minor}", self.version)
    }
}

/// Where the sources of Kubernetes are, in Go's cache of modules.
fn sources() -> Result<PathBuf> {
    let output = go(&["mod", "download", "-json", "k8s.io/kubernetes"]).output().context(HELP)?;
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    match answer.get("Dir").and_then(serde_json::Value::as_str) {
        Some(dir) => Ok(PathBuf::from(dir)),
        None => bail!("go cannot get k8s.io/kubernetes: {answer} {}", String::from_utf8_lossy(&output.stderr).trim()),
    }
}

const HELP: &str = "cannot run go: install Go 1.26 or later (https://go.dev/dl); the suite is built from source";

fn module() -> PathBuf {
    home().join("kubernetes")
}

fn go(arguments: &[&str]) -> Command {
    let mut go = Command::new("go");
    go.args(arguments).current_dir(module()).env("CGO_ENABLED", "0").stdin(std::process::Stdio::null());
    go
}

/// What killed runs left. Under the lock there is no other.
fn sweep(cache: &Path, prefix: &str) {
    for entry in fs::read_dir(cache).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
