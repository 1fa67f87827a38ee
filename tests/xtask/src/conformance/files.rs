//! A root file system of an image, put together from files of this machine.
//!
//! In: programs, texts, links. Out: an archive (tar). Invariant: everything in it is root's and without times; who may
//! read and run what is said here, not by this process' umask.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

/// What is being put together.
#[derive(Debug)]
pub(super) struct Root {
    dir: TempDir,
}

impl Root {
    /// One with nothing in it.
    pub(super) fn new() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("conformance-image-").tempdir()?;
        chmod(dir.path(), 0o755)?;
        Ok(Self { dir })
    }

    /// A directory, with those above it.
    pub(super) fn directory(&self, path: &str, mode: u32) -> Result<()> {
        let mut at = self.dir.path().to_owned();
        for part in Path::new(path.trim_start_matches('/')) {
            at.push(part);
            if !at.exists() {
                fs::create_dir(&at).with_context(|| format!("cannot make {path} of an image"))?;
                chmod(&at, 0o755)?;
            }
        }
        chmod(&at, mode)
    }

    /// A file of this machine.
    pub(super) fn copy(&self, file: &Path, path: &str, mode: u32) -> Result<()> {
        let target = self.parent_of(path)?;
        fs::copy(file, &target).with_context(|| format!("cannot copy {} into an image", file.display()))?;
        chmod(&target, mode)
    }

    /// A file with this text.
    pub(super) fn text(&self, path: &str, text: &str) -> Result<()> {
        let target = self.parent_of(path)?;
        fs::write(&target, text)?;
        chmod(&target, 0o644)
    }

    /// A symbolic link.
    pub(super) fn link(&self, to: &str, path: &str) -> Result<()> {
        let target = self.parent_of(path)?;
        symlink(to, &target).with_context(|| format!("cannot link {path} of an image"))
    }

    /// A program of this machine's, with the libraries that it names, where it is here.
    pub(super) fn program(&self, name: &str, path: &str) -> Result<()> {
        let program = find(name).with_context(|| format!("there is no {name} on this machine; install it"))?;
        self.copy(&program, path, 0o755)?;
        let output = Command::new("ldd").arg(&program).output().context("cannot run ldd")?;
        for library in libraries(&String::from_utf8_lossy(&output.stdout)) {
            let inside = library.to_str().context("a library's path is not text")?;
            self.copy(&library, inside, 0o755)?;
        }
        Ok(())
    }

    /// busybox with a link for each of its commands.
    pub(super) fn busybox(&self, busybox: &Path) -> Result<()> {
        self.copy(busybox, "/bin/busybox", 0o755)?;
        let output = Command::new(busybox).arg("--list").output().context("cannot run busybox")?;
        for command in String::from_utf8_lossy(&output.stdout).lines().filter(|name| *name != "busybox") {
            self.link("busybox", &format!("/bin/{command}"))?;
        }
        Ok(())
    }

    /// All of it.
    pub(super) fn archive(self) -> Result<Vec<u8>> {
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(self.dir.path());
        tar.args(["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner", "-c", "."]);
        let output = tar.output().context("cannot run tar")?;
        if !output.status.success() {
            bail!("tar ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(output.stdout)
    }

    fn parent_of(&self, path: &str) -> Result<PathBuf> {
        if let Some((parent, _)) = path.rsplit_once('/').filter(|(parent, _)| !self.join(parent).exists()) {
            self.directory(parent, 0o755)?;
        }
        Ok(self.join(path))
    }

    fn join(&self, path: &str) -> PathBuf {
        self.dir.path().join(path.trim_start_matches('/'))
    }
}

fn chmod(path: &Path, mode: u32) -> Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode)).with_context(|| format!("cannot chmod {}", path.display()))
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(|path| path.is_file())
}

/// What `ldd` says: `name => /path (address)`, and the loader as `/path (address)`.
fn libraries(output: &str) -> Vec<PathBuf> {
    let path_in = |line: &str| line.split_whitespace().find(|word| word.starts_with('/')).map(PathBuf::from);
    output.lines().filter_map(path_in).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_what_has_a_path() {
        let output = "\tlinux-vdso.so.1 (0x00007ffc)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)\n\
                      \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        let expected = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"].map(PathBuf::from);
        assert_eq!(libraries(output), expected);
        assert_eq!(libraries("\tnot a dynamic executable\n"), Vec::<PathBuf>::new());
    }

    #[test]
    fn modes_are_what_was_said() {
        let root = Root::new().unwrap();
        root.directory("/a/b", 0o1777).unwrap();
        root.text("/c/d", "text").unwrap();
        let mode = |path: &str| fs::metadata(root.join(path)).unwrap().permissions().mode() & 0o7777;
        assert_eq!([mode("/a"), mode("/a/b"), mode("/c"), mode("/c/d")], [0o755, 0o1777, 0o755, 0o644]);
    }
}
