//! A volume's files, all replaced at once (the kubelet's `AtomicWriter`).
//!
//! In: a directory, the files that shall be in it. Out: `..data → ..TIME/`, and for each name at the top `NAME → ..data/NAME`. Invariant: whoever reads
//! sees the old files or the new ones, never some of each: the rename of one symbolic link is the only change that counts.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::os::unix::fs::fchown;
use std::path::{Component, Path};

use cap_std::fs::{Dir, OpenOptions, Permissions, PermissionsExt as _};
use pluglet_model::pod::{Volume, VolumeFile};

use super::Owner;

const DATA: &str = "..data";
const NEW_DATA: &str = "..data_tmp";

pub(super) fn write(directory: &Dir, volume: &Volume, owner: Owner) -> io::Result<()> {
    let before = directory.read_link(DATA).ok();
    if before.is_some() && is_same(directory, volume) {
        return Ok(());
    }
    let time = jiff::Timestamp::now().strftime("..%Y_%m_%d_%H_%M_%S.%9f").to_string();
    directory.create_dir(&time)?;
    let fresh = directory.open_dir(&time)?;
    give(&fresh, 0o755, None, owner.group)?;
    for file in &volume.files {
        write_file(&fresh, file, owner)?;
    }
    // One that an earlier process has left.
    directory.remove_file(NEW_DATA).or_else(ignore_missing)?;
    directory.symlink(&time, NEW_DATA)?;
    directory.rename(NEW_DATA, directory, DATA)?;
    let names = top_names(volume);
    for name in &names {
        if directory.symlink_metadata(name).is_err() {
            directory.symlink(Path::new(DATA).join(name), name)?;
        }
    }
    tidy(directory, &names, &time)
}

/// Removes names that are gone, and what is left of earlier times.
fn tidy(directory: &Dir, names: &BTreeSet<&str>, time: &str) -> io::Result<()> {
    for entry in directory.entries()? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if name == DATA || name == time || names.contains(name) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            directory.remove_dir_all(name)?;
        } else {
            directory.remove_file(name)?;
        }
    }
    Ok(())
}

fn write_file(root: &Dir, file: &VolumeFile, owner: Owner) -> io::Result<()> {
    let path = Path::new(&file.path);
    let mut inside = root.try_clone()?;
    for part in path.parent().into_iter().flat_map(Path::components) {
        let Component::Normal(part) = part else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{} leads out of its volume", file.path)));
        };
        if !inside.exists(part) {
            inside.create_dir(part)?;
            give(&inside.open_dir(part)?, 0o755, None, owner.group)?;
        }
        inside = inside.open_dir(part)?;
    }
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut written = inside.open_with(name, OpenOptions::new().write(true).create_new(true))?;
    written.write_all(&file.bytes)?;
    written.set_permissions(Permissions::from_mode(file.mode))?;
    // Who alone may read it must own it.
    let user = owner.user.filter(|_| file.mode & 0o077 == 0);
    change_owner(&written, user, owner.group)
}

fn give(directory: &Dir, mode: u32, user: Option<u32>, group: Option<u32>) -> io::Result<()> {
    directory.set_permissions(".", Permissions::from_mode(mode))?;
    // The handle of a directory is for finding things in it only.
    if user.is_none() && group.is_none() { Ok(()) } else { fchown(directory.open(".")?, user, group) }
}

fn change_owner(of: impl std::os::fd::AsFd, user: Option<u32>, group: Option<u32>) -> io::Result<()> {
    if user.is_none() && group.is_none() { Ok(()) } else { fchown(of, user, group) }
}

/// Whether these very files are there: nothing need be written.
fn is_same(directory: &Dir, volume: &Volume) -> bool {
    let Ok(data) = directory.open_dir(DATA) else { return false };
    let same = |file: &VolumeFile| {
        let mode = data.metadata(&file.path).map(|metadata| metadata.permissions().mode() & 0o777);
        mode.is_ok_and(|mode| mode == file.mode & 0o777) && data.read(&file.path).is_ok_and(|bytes| bytes == file.bytes)
    };
    count(&data) == Some(volume.files.len()) && volume.files.iter().all(same)
}

/// How many files there are.
fn count(directory: &Dir) -> Option<usize> {
    let mut files = 0;
    for entry in directory.entries().ok()? {
        let entry = entry.ok()?;
        files += if entry.file_type().ok()?.is_dir() { count(&entry.open_dir().ok()?)? } else { 1 };
    }
    Some(files)
}

fn top_names(volume: &Volume) -> BTreeSet<&str> {
    volume.files.iter().filter_map(|file| file.path.split('/').next()).collect()
}

fn ignore_missing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}
