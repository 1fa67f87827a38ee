//! `checksums.txt`: which official release is downloaded, and what its files must hash to.
//!
//! ```text
//! # comment
//! version v1.36.0
//! <hex digest>  <platform>  <programs>  <url>
//! ```
//!
//! The digest's length tells its kind: 64 digits are SHA-256, 128 are SHA-512. `programs` is the program that the file
//! is, or, if the URL ends in `.tar.gz`, the comma-separated paths of programs inside the archive. A platform can be
//! downloaded when its lines together give all five programs.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::{Digest, PROGRAMS};

/// Architectures that releases are made for, as Kubernetes calls them.
pub const ARCHES: [&str; 2] = ["amd64", "arm64"];

/// The file's content.
#[derive(Debug, Clone)]
pub struct Checksums {
    /// The Kubernetes version, `v1.2.3`. Empty if nothing is pinned.
    pub version: String,
    /// One for each line.
    pub pins: Vec<Pin>,
}

/// One file to download.
#[derive(Debug, Clone)]
pub struct Pin {
    /// What it must hash to.
    pub digest: Digest,
    /// `linux-amd64`.
    pub platform: String,
    /// Programs, or their paths in the archive.
    pub programs: Vec<String>,
    /// Where it is.
    pub url: String,
}

impl Checksums {
    /// Where the file is.
    pub fn path() -> PathBuf {
        crate::repository().join("tests/controlplane/checksums.txt")
    }

    /// Reads the file.
    pub fn read() -> Result<Self> {
        let path = Self::path();
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("in {}", path.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let mut checksums = Self { version: String::new(), pins: Vec::new() };
        for (number, line) in text.lines().enumerate() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                [] => {}
                [first, ..] if first.starts_with('#') => {}
                ["version", version] => checksums.version = (*version).to_owned(),
                [digest, platform, programs, url] => checksums.pins.push(Pin {
                    digest: digest.parse().with_context(|| format!("line {}", number + 1))?,
                    platform: (*platform).to_owned(),
                    programs: programs.split(',').map(str::to_owned).collect(),
                    url: (*url).to_owned(),
                }),
                _ => bail!("line {} is not `digest platform programs url`", number + 1),
            }
        }
        if !checksums.pins.is_empty() && checksums.version.is_empty() {
            bail!("there is no line `version vX.Y.Z`");
        }
        Ok(checksums)
    }

    /// The files of `platform`, if they give all programs.
    pub fn for_platform(&self, platform: &str) -> Option<Vec<&Pin>> {
        let pins: Vec<&Pin> = self.pins.iter().filter(|pin| pin.platform == platform).collect();
        let complete = PROGRAMS.iter().all(|program| {
            let mut given = pins.iter().flat_map(|pin| &pin.programs);
            given.any(|path| path.rsplit('/').next() == Some(*program))
        });
        complete.then_some(pins)
    }
}

/// This machine, as Kubernetes names platforms.
pub(super) fn platform() -> String {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let os = match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    };
    format!("{os}-{arch}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_in_the_repository_is_well_formed() {
        let checksums = Checksums::read().unwrap();
        for pin in &checksums.pins {
            assert!(pin.url.starts_with("https://"), "{}", pin.url);
        }
    }

    #[test]
    fn a_platform_counts_only_when_all_programs_are_given() {
        let digest = "0".repeat(64);
        let text = format!(
            "version v1.0.0\n{digest} linux-amd64 a/etcd https://x/e.tar.gz\n\
             {digest} linux-amd64 kube-apiserver,kube-controller-manager,kube-scheduler,kubectl https://x/k.tar.gz\n\
             {digest} linux-arm64 a/etcd https://x/e.tar.gz\n"
        );
        let checksums = Checksums::parse(&text).unwrap();
        assert_eq!(checksums.for_platform("linux-amd64").unwrap().len(), 2);
        assert!(checksums.for_platform("linux-arm64").is_none());
    }

    #[test]
    fn a_shortened_digest_is_refused() {
        assert!(Checksums::parse("version v1\nabc linux-amd64 etcd https://x/e").is_err());
    }
}
