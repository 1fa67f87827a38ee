//! What a container gets to see of files.
//!
//! In: its volume mounts, the pod's directory, the operator's grants. Out: [`Mount`]s for the engine, or why there are none. Invariant: every path that is handed out
//! lies in the pod's directory or below a granted `hostPath`, without links, see [`beneath`].

use std::io;
use std::path::{Path, PathBuf};

use cap_std::fs::{Dir, FileType, FileTypeExt as _, OpenOptions};
use k8s_openapi::api::core::v1::{Container, HostPathVolumeSource, PodSpec, Volume, VolumeMount};
use pluglet_model::runtime::{Mount, MountSource, Propagation};
use pluglet_rules::grants::Grants;
use pluglet_rules::runtime::sandbox::is_in_memory;

use super::beneath;
use super::files::Files;

const ETC_HOSTS: &str = "/etc/hosts";
const TERMINATION_LOG: &str = "/dev/termination-log";

/// Why a container cannot have what it mounts.
#[derive(Debug, thiserror::Error)]
pub(super) enum MountError {
    #[error("volume {0} is not in the pod")]
    Unknown(String),
    #[error("volume {volume}: {what} is not supported by this node")]
    Unsupported { volume: String, what: &'static str },
    #[error("volume {volume}: {path} is not granted (containers.hostPath in pluglet.yaml)")]
    NotGranted { volume: String, path: String },
    #[error("volume {volume}: hostPath type check failed: {path} is not {expected}")]
    Type { volume: String, path: String, expected: &'static str },
    #[error("volume {volume}: {path}")]
    Path {
        volume: String,
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("the pod's files cannot be made")]
    Files(#[source] io::Error),
}

/// All mounts of one run of a container.
pub(super) fn of(
    spec: &PodSpec,
    container: &Container,
    attempt: u32,
    files: &Files,
    grants: &Grants,
    hosts: Option<&Path>,
) -> Result<Vec<Mount>, MountError> {
    let mut mounts = vec![];
    for mount in container.volume_mounts.iter().flatten() {
        mounts.push(volume_mount(spec, mount, files, grants)?);
    }
    if let Some(device) = container.volume_devices.iter().flatten().next() {
        return Err(MountError::Unsupported { volume: device.name.clone(), what: "a block device" });
    }
    let taken = |path: &str| container.volume_mounts.iter().flatten().any(|mount| mount.mount_path == path);
    if let Some(hosts) = hosts.filter(|_| !taken(ETC_HOSTS)) {
        mounts.push(plain(ETC_HOSTS, hosts.to_owned()));
    }
    let log = container.termination_message_path.as_deref().filter(|path| !path.is_empty()).unwrap_or(TERMINATION_LOG);
    if !taken(log) {
        let path = files.termination_log(&container.name, attempt).map_err(MountError::Files)?;
        mounts.push(plain(log, path));
    }
    Ok(mounts)
}

fn plain(at: &str, path: PathBuf) -> Mount {
    let source = MountSource::Path(path.to_string_lossy().into_owned());
    Mount { container_path: at.to_owned(), source, read_only: false, propagation: Propagation::Private }
}

fn volume_mount(spec: &PodSpec, mount: &VolumeMount, files: &Files, grants: &Grants) -> Result<Mount, MountError> {
    let volume = spec.volumes.iter().flatten().find(|volume| volume.name == mount.name);
    let volume = volume.ok_or_else(|| MountError::Unknown(mount.name.clone()))?;
    if mount.recursive_read_only.as_deref() == Some("Enabled") {
        return Err(MountError::Unsupported { volume: mount.name.clone(), what: "recursiveReadOnly: Enabled" });
    }
    let sub_path = mount.sub_path.as_deref().filter(|sub_path| !sub_path.is_empty());
    let mut read_only = mount.read_only == Some(true);
    let source = if is_in_memory(volume) {
        MountSource::Memory { volume: volume.name.clone(), directory: sub_path.unwrap_or_default().to_owned() }
    } else if volume.empty_dir.is_some() {
        inside(files, volume, sub_path, !read_only)?
    } else if made_by_host(volume) {
        read_only = true;
        inside(files, volume, sub_path, false)?
    } else if let Some(host) = &volume.host_path {
        host_path(volume, host, sub_path, grants)?
    } else {
        return Err(MountError::Unsupported { volume: volume.name.clone(), what: "its kind" });
    };
    let propagation = match mount.mount_propagation.as_deref() {
        Some("HostToContainer") => Propagation::HostToContainer,
        Some("Bidirectional") => Propagation::Bidirectional,
        _ => Propagation::Private,
    };
    Ok(Mount { container_path: mount.mount_path.clone(), source, read_only, propagation })
}

fn inside(files: &Files, volume: &Volume, sub_path: Option<&str>, may_make: bool) -> Result<MountSource, MountError> {
    let Some(sub_path) = sub_path else { return Ok(path(files.volume(&volume.name))) };
    let found = files.sub_path(&volume.name, sub_path, may_make).map_err(|source| MountError::Path {
        volume: volume.name.clone(),
        path: format!("subPath {sub_path}"),
        source,
    })?;
    Ok(path(found.path))
}

/// A path of the machine, found in the granted directory and checked against its type.
fn host_path(
    volume: &Volume,
    host: &HostPathVolumeSource,
    sub_path: Option<&str>,
    grants: &Grants,
) -> Result<MountSource, MountError> {
    let name = &volume.name;
    let asked = Path::new(&host.path);
    let grant = grants.host_path(asked);
    let not_granted = || MountError::NotGranted { volume: name.clone(), path: host.path.clone() };
    let grant = grant.ok_or_else(not_granted)?;
    let failed = |source| MountError::Path { volume: name.clone(), path: host.path.clone(), source };
    let root = beneath::open(&grant.path).map_err(failed)?;
    let inside = asked.strip_prefix(&grant.path).unwrap_or(asked);
    let inside = if inside.as_os_str().is_empty() { Path::new(".") } else { inside };
    make(&root, inside, host.type_.as_deref(), grant.read_only).map_err(failed)?;
    let found = beneath::find(&root, &grant.path, inside).map_err(failed)?;
    if let Some(expected) = expected(host.type_.as_deref(), found.kind) {
        return Err(MountError::Type { volume: name.clone(), path: host.path.clone(), expected });
    }
    let Some(sub_path) = sub_path else { return Ok(path(found.path)) };
    let whole = inside.join(sub_path);
    let failed =
        |source| MountError::Path { volume: name.clone(), path: format!("{sub_path} in {}", host.path), source };
    make(&root, &whole, Some("DirectoryOrCreate"), grant.read_only).map_err(failed)?;
    // Beneath the volume, not the grant.
    let volume_root = root.open_dir(inside).map_err(failed)?;
    let found = beneath::find(&volume_root, &found.path, Path::new(sub_path)).map_err(failed)?;
    Ok(path(found.path))
}

/// Whether its files come with the plan.
pub(super) fn made_by_host(volume: &Volume) -> bool {
    volume.config_map.is_some()
        || volume.secret.is_some()
        || volume.downward_api.is_some()
        || volume.projected.is_some()
}

fn path(path: PathBuf) -> MountSource {
    MountSource::Path(path.to_string_lossy().into_owned())
}

/// Makes what is missing and may be made (`pkg/volume/hostpath`). Without a type an engine makes a directory of it, as the kubelet's does.
fn make(root: &Dir, path: &Path, kind: Option<&str>, read_only: bool) -> io::Result<()> {
    if read_only || root.exists(path) {
        return Ok(());
    }
    match kind.unwrap_or_default() {
        "" | "DirectoryOrCreate" => root.create_dir_all(path),
        "FileOrCreate" => root.open_with(path, OpenOptions::new().write(true).create_new(true)).map(drop),
        _ => Ok(()),
    }
}

/// What should be there by its type, where something else is.
fn expected(kind: Option<&str>, found: FileType) -> Option<&'static str> {
    let (expected, fits) = match kind.unwrap_or_default() {
        "Directory" | "DirectoryOrCreate" => ("a directory", found.is_dir()),
        "File" | "FileOrCreate" => ("a file", found.is_file()),
        "Socket" => ("a socket", found.is_socket()),
        "CharDevice" => ("a character device", found.is_char_device()),
        "BlockDevice" => ("a block device", found.is_block_device()),
        _ => return None,
    };
    (!fits).then_some(expected)
}
