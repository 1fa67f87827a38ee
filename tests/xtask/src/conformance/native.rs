//! What the images have that is written in C: busybox and pause.
//!
//! In: a C compiler; the sources of busybox, held against their checksum, and those of Kubernetes. Out: two programs
//! that need no library.
//!
//! Invariant: busybox is upstream's. Debian's drops variables whose names a shell cannot write, and prefers its own
//! commands to those of the image; the suite notices both.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use controlplane::binaries::{Digest, fetch};

use super::step;

/// The name of busybox.
pub(super) const BUSYBOX: &str = "busybox";
/// The name of pause.
pub(super) const PAUSE: &str = "pause";

/// The same archive in two places.
const SOURCES: [&str; 2] = [
    "https://busybox.net/downloads/busybox-1.37.0.tar.bz2",
    "https://deb.debian.org/debian/pool/main/b/busybox/busybox_1.37.0.orig.tar.bz2",
];
const SHA256: &str = "3311dff32e746499f4df0d5df04d7eb396382d7e108bb9250e7b519b837043a4";

/// The kernel's headers no longer have what `tc` needs, and only x86 has the assembly for hashes.
const CONFIGURE: &str = "make defconfig && sed -i -e 's/# CONFIG_STATIC is not set/CONFIG_STATIC=y/' \
    -e 's/^CONFIG_TC=y/# CONFIG_TC is not set/' -e 's/^\\(CONFIG_SHA[0-9]*_HWACCEL\\)=y/# \\1 is not set/' .config \
    && (yes '' || true) | make oldconfig";

/// Builds both into `programs`. `staging` is a directory for the sources.
pub(super) fn build(kubernetes: &Path, staging: &Path, programs: &Path, log: &Path) -> Result<()> {
    pause(kubernetes, programs, log).context("a C compiler (cc) and make are needed for the suite's images")?;
    let sources = sources(staging)?;
    let shell = |script: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).current_dir(&sources);
        shell
    };
    step::run("the configuration of busybox", &shell(CONFIGURE), log)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    step::run("busybox", &shell(&format!("make -j{cores} busybox")), log)?;
    std::fs::copy(sources.join(BUSYBOX), programs.join(BUSYBOX))?;
    Ok(())
}

fn pause(kubernetes: &Path, programs: &Path, log: &Path) -> Result<()> {
    let mut compiler = Command::new("cc");
    compiler.args(["-Os", "-static", "-s", "-DVERSION=v3.10.2", "-o"]).arg(programs.join(PAUSE));
    compiler.arg(kubernetes.join("build/pause/linux/pause.c"));
    step::run(PAUSE, &compiler, log)
}

/// Downloads, verifies and unpacks; answers the directory.
fn sources(staging: &Path) -> Result<std::path::PathBuf> {
    let archive = staging.join("busybox.tar.bz2");
    let mut errors = vec![];
    for url in SOURCES {
        match fetch(url, &archive) {
            Ok(()) => {
                SHA256.parse::<Digest>()?.verify(&archive, url)?;
                return unpack(&archive, staging);
            }
            Err(error) => errors.push(format!("{error:#}")),
        }
    }
    bail!("cannot download the sources of busybox: {}", errors.join("; "))
}

fn unpack(archive: &Path, staging: &Path) -> Result<std::path::PathBuf> {
    let directory = staging.join("sources");
    std::fs::create_dir(&directory)?;
    let mut tar = Command::new("tar");
    tar.arg("-xjf").arg(archive).arg("-C").arg(&directory).arg("--strip-components=1");
    crate::cargo::run(&mut tar)?;
    Ok(directory)
}
