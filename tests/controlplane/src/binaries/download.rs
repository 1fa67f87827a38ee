//! The official release, downloaded with `curl` and held against its pinned checksum.
//!
//! In: the pins for this platform. Out: a directory in the cache, or `None` and a line that says why not. A file that
//! arrived and does not match its checksum is an error: it is what the checksum is there to find.

use std::fmt;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use sha2::{Sha256, Sha512};

use super::checksums::{self, Checksums, Pin};
use super::{PROGRAMS, cache, missing, release_cache_name};
use crate::process;

/// Between two progress lines.
const PROGRESS: Duration = Duration::from_secs(15);
/// Between two looks at `curl`.
const POLL: Duration = Duration::from_millis(100);

/// What a file must hash to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Digest {
    /// 64 hexadecimal digits.
    Sha256(String),
    /// 128 hexadecimal digits.
    Sha512(String),
}

impl FromStr for Digest {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            bail!("{text:?} is not hexadecimal");
        }
        match text.len() {
            64 => Ok(Self::Sha256(text.to_ascii_lowercase())),
            128 => Ok(Self::Sha512(text.to_ascii_lowercase())),
            length => bail!("a digest of {length} digits is neither SHA-256 (64) nor SHA-512 (128)"),
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha256(hex) | Self::Sha512(hex) => f.write_str(hex),
        }
    }
}

impl Digest {
    /// The SHA-256 of a file.
    pub fn sha256(path: &Path) -> Result<Self> {
        Ok(Self::Sha256(hash::<Sha256>(path)?))
    }

    /// An error that says both digests if `path` does not hash to this one.
    pub fn verify(&self, path: &Path, origin: &str) -> Result<()> {
        let found = match self {
            Self::Sha256(_) => Self::sha256(path)?,
            Self::Sha512(_) => Self::Sha512(hash::<Sha512>(path)?),
        };
        if found != *self {
            bail!(
                "{origin} does not have its pinned checksum: it is {found}, not {self}. Something between here and there \
                 changed it, or the pin is wrong; nothing was installed. Compare with the publisher's checksum, and see \
                 {} for how pins are made",
                Checksums::path().display()
            );
        }
        Ok(())
    }
}

/// Downloads and unpacks the pinned release. `None`, and a line why, if nothing is pinned or nobody can be reached.
pub(super) fn release(pinned: &Checksums) -> Result<Option<PathBuf>> {
    let platform = checksums::platform();
    let Some(pins) = pinned.for_platform(&platform) else {
        eprintln!("Kubernetes binaries: checksums.txt pins no release for {platform}, so there is nothing to download");
        return Ok(None);
    };
    let name = release_cache_name(&pinned.version);
    eprintln!("Kubernetes binaries: downloading the official {} for {platform}", pinned.version);
    let staging = cache::staging(&name)?;
    let programs = staging.path().join("bin");
    fs::create_dir(&programs)?;
    for pin in pins {
        let file = staging.path().join("download");
        if let Err(error) = fetch(&pin.url, &file) {
            eprintln!("Kubernetes binaries: cannot download: {error:#}");
            return Ok(None);
        }
        pin.digest.verify(&file, &pin.url)?;
        unpack(pin, &file, &programs)?;
    }
    let missing = missing(&programs, &PROGRAMS);
    if !missing.is_empty() {
        bail!("the downloaded release lacks {}: correct {}", missing.join(", "), Checksums::path().display());
    }
    let dir = cache::publish(&programs, &name)?;
    eprintln!("Kubernetes binaries: {} (downloaded, checksums match)", dir.display());
    Ok(Some(dir))
}

/// Downloads `url` to `file`, with progress lines.
pub fn fetch(url: &str, file: &Path) -> Result<()> {
    let errors = file.with_extension("errors");
    let mut command = Command::new("curl");
    command
        .args(["--fail", "--location", "--silent", "--show-error", "--proto", "=https", "--retry", "2"])
        // A connection that stands still is given up, however long a slow one may take.
        .args(["--connect-timeout", "15", "--speed-limit", "1024", "--speed-time", "60"])
        .arg("--output")
        .arg(file)
        .arg(url);
    let output = File::create(&errors)?;
    let mut curl = process::spawn_bound(&command, |curl| {
        curl.stdin(Stdio::null()).stderr(output);
    })?;
    let begun = Instant::now();
    let mut told = begun;
    let status = loop {
        if let Some(status) = curl.try_wait()? {
            break status;
        }
        if told.elapsed() >= PROGRESS {
            told = Instant::now();
            let bytes = fs::metadata(file).map_or(0, |file| file.len());
            eprintln!("  {url}: {} MB after {} s", bytes / 1_000_000, begun.elapsed().as_secs());
        }
        std::thread::sleep(POLL);
    };
    if !status.success() {
        let said = fs::read_to_string(&errors).unwrap_or_default();
        // One line for each attempt, usually the same.
        bail!("{url}: {}", said.lines().last().unwrap_or("curl said nothing"));
    }
    Ok(())
}

fn unpack(pin: &Pin, file: &Path, programs: &Path) -> Result<()> {
    if !pin.url.ends_with(".tar.gz") {
        let name = pin.programs.first().context("a pin without a program")?;
        let target = programs.join(name);
        fs::rename(file, &target)?;
        return make_executable(&target);
    }
    let unpacked = tempfile::tempdir_in(programs)?;
    let status = Command::new("tar")
        .arg("-xzf")
        .arg(file)
        .arg("-C")
        .arg(unpacked.path())
        .args(&pin.programs)
        .stdin(Stdio::null())
        .status()
        .context("cannot run tar")?;
    if !status.success() {
        bail!("tar could not take {} out of {}", pin.programs.join(", "), pin.url);
    }
    for path in &pin.programs {
        let name = Path::new(path).file_name().context("a program's path ends in a name")?;
        let target = programs.join(name);
        fs::rename(unpacked.path().join(path), &target)?;
        make_executable(&target)?;
    }
    Ok(())
}

fn make_executable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot make {} executable", path.display()))
}

fn hash<H: sha2::Digest>(path: &Path) -> Result<String> {
    let mut file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut hasher = H::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = file.read(&mut buffer)?;
        let Some(chunk) = buffer.get(..count).filter(|chunk| !chunk.is_empty()) else { break };
        hasher.update(chunk);
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the three letters `abc`, from FIPS 180-4.
    const ABC_SHA256: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn a_wrong_checksum_is_an_error_that_names_both() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "abc").unwrap();
        ABC_SHA256.parse::<Digest>().unwrap().verify(&file, "here").unwrap();
        fs::write(&file, "abd").unwrap();
        let message = ABC_SHA256.parse::<Digest>().unwrap().verify(&file, "here").unwrap_err().to_string();
        assert!(message.contains(ABC_SHA256), "{message}");
    }

    #[test]
    fn programs_are_taken_out_of_an_archive_and_made_executable() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("release/bin")).unwrap();
        fs::write(dir.path().join("release/bin/etcd"), "x").unwrap();
        let archive = dir.path().join("a.tar.gz");
        let tar = Command::new("tar").arg("-czf").arg(&archive).arg("-C").arg(dir.path()).arg("release").status();
        assert!(tar.unwrap().success());
        let pin = Pin {
            digest: ABC_SHA256.parse().unwrap(),
            platform: String::new(),
            programs: vec!["release/bin/etcd".to_owned()],
            url: "https://x/a.tar.gz".to_owned(),
        };
        let programs = dir.path().join("programs");
        fs::create_dir(&programs).unwrap();
        unpack(&pin, &archive, &programs).unwrap();
        let mode = fs::metadata(programs.join("etcd")).unwrap().permissions().mode();
        assert_eq!(mode & 0o111, 0o111);
    }
}
