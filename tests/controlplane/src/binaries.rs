//! Where etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kubectl come from.
//!
//! In: the environment, the user's cache, `checksums.txt`, the Go module in `kubernetes/`. Out: a directory that holds
//! all five. The first of these that works is taken, and a line on stderr says which:
//!
//! 1. `KUBEBUILDER_ASSETS`, the convention for "I have them already". Set but incomplete is an error, not a reason to
//!    look elsewhere: whoever sets it means it.
//! 2. The cache, `$XDG_CACHE_HOME/pluglet/kubernetes-VERSION` or `~/.cache/…`.
//! 3. The official release, if `checksums.txt` pins it for this platform. A wrong checksum ends it all; only a host
//!    that cannot be reached leads to the next step.
//! 4. `go install` from the Go module, about 6 minutes on two cores.
//!
//! Invariant: a directory in the cache is complete. It is filled under another name and renamed, under a lock.

mod cache;
mod checksums;
mod download;
mod go;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

pub use cache::directory as cache_directory;
pub use checksums::{ARCHES, Checksums, Pin};
pub use download::{Digest, fetch};

/// The five programs.
pub const PROGRAMS: [&str; 5] = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl"];

/// The environment variable that names a directory with all of [`PROGRAMS`].
pub const ENVIRONMENT: &str = "KUBEBUILDER_ASSETS";

/// A directory that holds all of [`PROGRAMS`].
#[derive(Debug, Clone)]
pub struct Binaries {
    dir: PathBuf,
}

/// A Go module whose `tool` lines name programs to build.
#[derive(Debug, Clone)]
pub struct GoModule {
    /// Where its `go.mod` is.
    pub dir: PathBuf,
    /// What progress lines call it.
    pub title: String,
    /// The directory in the cache; it should contain the version.
    pub cache_name: String,
    /// For the linker, e.g. to set a version.
    pub ldflags: String,
    /// Each program's name as Go makes it, and the name it shall have.
    pub programs: Vec<(String, String)>,
}

impl Binaries {
    /// Finds the binaries, or gets them. May take minutes, with progress on stderr.
    pub fn locate() -> Result<Self> {
        if let Some(dir) = std::env::var_os(ENVIRONMENT).filter(|dir| !dir.is_empty()) {
            return Self::from_environment(&dir);
        }
        let module = kubernetes_module()?;
        let pinned = Checksums::read()?;
        if let Some(found) = Self::cached(&module, &pinned)? {
            return Ok(found);
        }
        let _lock = cache::lock("kubernetes")?;
        // Another run may have filled the cache while this one waited for the lock.
        if let Some(found) = Self::cached(&module, &pinned)? {
            return Ok(found);
        }
        let dir = match download::release(&pinned)? {
            Some(dir) => dir,
            None => go::build(&module).context(HELP)?,
        };
        Ok(Self { dir })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn from_environment(dir: &OsStr) -> Result<Self> {
        let dir = PathBuf::from(dir);
        let missing = missing(&dir, &PROGRAMS);
        if !missing.is_empty() {
            bail!(
                "{ENVIRONMENT} is {}, which lacks {}: add them, or unset {ENVIRONMENT} to have all five fetched or built",
                dir.display(),
                missing.join(", ")
            );
        }
        eprintln!("Kubernetes binaries: {} ({ENVIRONMENT})", dir.display());
        Ok(Self { dir })
    }

    fn cached(module: &GoModule, pinned: &Checksums) -> Result<Option<Self>> {
        for name in [module.cache_name.clone(), release_cache_name(&pinned.version)] {
            let dir = cache::directory()?.join(name);
            if missing(&dir, &PROGRAMS).is_empty() {
                eprintln!("Kubernetes binaries: {} (cache)", dir.display());
                return Ok(Some(Self { dir }));
            }
        }
        Ok(None)
    }
}

impl GoModule {
    /// The directory with the built programs, from the cache or by building them now.
    pub fn install(&self) -> Result<PathBuf> {
        let dir = cache::directory()?.join(&self.cache_name);
        let names: Vec<&str> = self.programs.iter().map(|(_, name)| name.as_str()).collect();
        if missing(&dir, &names).is_empty() {
            return Ok(dir);
        }
        let _lock = cache::lock(&self.cache_name)?;
        if missing(&dir, &names).is_empty() {
            return Ok(dir);
        }
        go::build(self)
    }
}

const HELP: &str = "there are no Kubernetes binaries; one of these helps:
  - install Go 1.26 or later (https://go.dev/dl), and they are built from source
  - let this machine reach dl.k8s.io and github.com, and they are downloaded (where checksums.txt pins them)
  - set KUBEBUILDER_ASSETS to a directory with etcd kube-apiserver kube-controller-manager kube-scheduler kubectl";

/// The module that builds [`PROGRAMS`], at the version that its `go.mod` requires.
pub fn kubernetes_module() -> Result<GoModule> {
    let dir = crate::repository().join("tests/controlplane/kubernetes");
    let version = required_version(&dir, "k8s.io/kubernetes")?;
    let mut parts = version.trim_start_matches('v').split('.');
    let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let set = "-X k8s.io/component-base/version";
    Ok(GoModule {
        dir,
        title: format!("Kubernetes {version}"),
        cache_name: release_cache_name(&version),
        // Without these the server calls itself v0.0.0, and kubectl complains about the distance.
        ldflags: format!("-s -w {set}.gitVersion={version} {set}.gitMajor={major} {set}.gitMinor={minor}"),
        programs: PROGRAMS
            .map(|name| (if name == "etcd" { "server" } else { name }.to_owned(), name.to_owned()))
            .into(),
    })
}

/// The version of `package` in the `go.mod` of `dir`.
pub fn required_version(dir: &Path, package: &str) -> Result<String> {
    let path = dir.join("go.mod");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    text.lines()
        .filter_map(|line| line.trim().trim_start_matches("require ").split_once(' '))
        .find(|(name, version)| *name == package && version.starts_with('v'))
        .and_then(|(_, version)| version.split_whitespace().next())
        .map(str::to_owned)
        .with_context(|| format!("{} does not require {package}", path.display()))
}

fn release_cache_name(version: &str) -> String {
    format!("kubernetes-{version}")
}

/// Those of `programs` that `dir` lacks.
fn missing<'a>(dir: &Path, programs: &[&'a str]) -> Vec<&'a str> {
    programs.iter().copied().filter(|program| !dir.join(program).is_file()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_names_its_version() {
        let module = kubernetes_module().unwrap();
        assert!(module.cache_name.starts_with("kubernetes-v1."), "{}", module.cache_name);
        assert!(module.ldflags.contains("gitMajor=1 "), "{}", module.ldflags);
    }

    #[test]
    fn an_incomplete_explicit_directory_is_an_error_that_names_what_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("etcd"), "").unwrap();
        let message = Binaries::from_environment(dir.path().as_os_str()).unwrap_err().to_string();
        assert!(message.contains("kube-scheduler") && !message.contains("lacks etcd"), "{message}");
    }
}
