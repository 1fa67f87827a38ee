//! `pin-kubernetes`: rewrites `tests/controlplane/checksums.txt` for another release.
//!
//! In: versions of Kubernetes and etcd. Out: the file, with the SHA-256 of every program of every architecture. Each is
//! computed from what was downloaded and compared with what the publisher lists beside it; still, whoever commits the
//! change compares with a source that does not come over the same line.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::Args;
use controlplane::binaries::{self, Checksums, Digest};

/// Arguments of `pin-kubernetes`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The Kubernetes release, such as v1.37.2; by default what the Go module builds
    #[arg(long)]
    version: Option<String>,
    /// The etcd release, such as v3.7.3; by default what the Go module builds
    #[arg(long)]
    etcd: Option<String>,
}

/// The command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let module = binaries::kubernetes_module()?;
    let version = match &arguments.version {
        Some(version) => version.clone(),
        None => binaries::required_version(&module.dir, "k8s.io/kubernetes")?,
    };
    let etcd = match &arguments.etcd {
        Some(version) => version.clone(),
        None => binaries::required_version(&module.dir, "go.etcd.io/etcd/server/v3")?,
    };
    let mut text = format!(
        "# The official release that is downloaded when neither KUBEBUILDER_ASSETS nor the cache has the binaries.
# Format: src/binaries/checksums.rs. Made by `cargo xtask pin-kubernetes --version {version} --etcd {etcd}`.
version {version}

"
    );
    let dir = tempfile::tempdir()?;
    for arch in binaries::ARCHES {
        for program in binaries::PROGRAMS.iter().filter(|program| **program != "etcd") {
            let url = format!("https://dl.k8s.io/release/{version}/bin/linux/{arch}/{program}");
            let digest = pin(dir.path(), &url, &format!("{url}.sha256"), program)?;
            writeln!(text, "{digest}  linux-{arch}  {program}  {url}")?;
        }
        let release = format!("https://github.com/etcd-io/etcd/releases/download/{etcd}");
        let archive = format!("etcd-{etcd}-linux-{arch}.tar.gz");
        let digest = pin(dir.path(), &format!("{release}/{archive}"), &format!("{release}/SHA256SUMS"), &archive)?;
        writeln!(text, "{digest}  linux-{arch}  etcd-{etcd}-linux-{arch}/etcd  {release}/{archive}")?;
    }
    let path = Checksums::path();
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    println!("{} is rewritten: compare it with the publishers' pages, then commit it", path.display());
    Ok(())
}

/// The digest of what is at `url`, which must be in the list at `listed`: alone, or in a line that ends in `name`.
fn pin(dir: &Path, url: &str, listed: &str, name: &str) -> Result<Digest> {
    println!("{url}");
    let (file, list) = (dir.join("file"), dir.join("list"));
    binaries::fetch(url, &file)?;
    binaries::fetch(listed, &list)?;
    let digest = Digest::sha256(&file)?;
    let text = fs::read_to_string(&list)?;
    let expected = listed_digest(&text, name).with_context(|| format!("{listed} does not list {name}"))?;
    if digest.to_string() != expected {
        bail!("{url} hashes to {digest}, and {listed} says {expected}: do not use it");
    }
    Ok(digest)
}

fn listed_digest<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let digest = words.next()?;
        words.next().is_none_or(|listed| listed.trim_start_matches('*') == name).then_some(digest)
    })
}

#[cfg(test)]
mod tests {
    use super::listed_digest;

    #[test]
    fn both_kinds_of_lists_are_read() {
        assert_eq!(listed_digest("abc\n", "kubectl"), Some("abc"));
        assert_eq!(listed_digest("111  other\n222  etcd.tar.gz\n", "etcd.tar.gz"), Some("222"));
        assert_eq!(listed_digest("111  other\n", "etcd.tar.gz"), None);
    }
}
