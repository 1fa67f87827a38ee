//! What a container gets to see of files.
//!
//! In: its volume mounts, the pod's directory, the operator's grants. Out: [`Mount`]s for the engine, or why there are none. Invariant: every path that is handed out
//! lies in the pod's directory or below a granted `hostPath`, links resolved.

use std::fs::FileType;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use k8s_openapi::api::core::v1::{Container, HostPathVolumeSource, PodSpec, Volume, VolumeMount};
use pluglet_model::runtime::{Mount, MountSource, Propagation};
use pluglet_rules::grants::Grants;
use pluglet_rules::runtime::sandbox::is_in_memory;

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
    let sub_path = mount.sub_path.as_deref().filter(|sub_path| !sub_path.is_empty());
    let mut read_only = mount.read_only == Some(true);
    let source = if is_in_memory(volume) {
        MountSource::Memory { volume: volume.name.clone(), directory: sub_path.unwrap_or_default().to_owned() }
    } else if volume.empty_dir.is_some() {
        path(inside(files, volume, sub_path, !read_only)?)
    } else if made_by_host(volume) {
        read_only = true;
        path(inside(files, volume, sub_path, false)?)
    } else if let Some(host) = &volume.host_path {
        path(host_path(volume, host, sub_path, grants)?)
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

fn inside(files: &Files, volume: &Volume, sub_path: Option<&str>, may_make: bool) -> Result<PathBuf, MountError> {
    let Some(sub_path) = sub_path else { return Ok(files.volume(&volume.name)) };
    files.sub_path(&volume.name, sub_path, may_make).map_err(|source| MountError::Path {
        volume: volume.name.clone(),
        path: format!("subPath {sub_path}"),
        source,
    })
}

/// A path of the machine: checked against its type, resolved, and checked against the grants once more, since a link may lead anywhere.
fn host_path(
    volume: &Volume,
    host: &HostPathVolumeSource,
    sub_path: Option<&str>,
    grants: &Grants,
) -> Result<PathBuf, MountError> {
    let granted = Path::new(&host.path);
    let not_granted =
        |path: &Path| MountError::NotGranted { volume: volume.name.clone(), path: path.display().to_string() };
    let grant = grants.host_path(granted).ok_or_else(|| not_granted(granted))?;
    let failed = |source| MountError::Path { volume: volume.name.clone(), path: host.path.clone(), source };
    // A link on the way may lead anywhere: nothing is made behind one that leads out.
    let there = granted.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(granted);
    let beginning = std::fs::canonicalize(there).map_err(failed)?;
    if there.starts_with(&grant.path) {
        grants.host_path(&beginning).ok_or_else(|| not_granted(&beginning))?;
    }
    let expected = make_or_check(host).map_err(failed)?;
    if let Some(expected) = expected {
        return Err(MountError::Type { volume: volume.name.clone(), path: host.path.clone(), expected });
    }
    let whole = match sub_path {
        None => granted.to_owned(),
        Some(sub_path) => below(granted, sub_path, !grant.read_only).map_err(|source| MountError::Path {
            volume: volume.name.clone(),
            path: format!("{} in {}", sub_path, host.path),
            source,
        })?,
    };
    let real = std::fs::canonicalize(&whole).map_err(failed)?;
    grants.host_path(&real).map(|_| real.clone()).ok_or_else(|| not_granted(&real))
}

/// Something in a directory of the machine, made as a directory where it is missing and `may_make`. Links are followed inside of it only.
fn below(directory: &Path, sub_path: &str, may_make: bool) -> io::Result<PathBuf> {
    let inside = Dir::open_ambient_dir(directory, ambient_authority())?;
    if may_make && !inside.exists(sub_path) {
        inside.create_dir_all(sub_path)?;
    }
    Ok(directory.join(inside.canonicalize(sub_path)?))
}

/// `DirectoryOrCreate` and the others (`pkg/volume/hostpath`). Answers what should be there where something else is.
fn make_or_check(host: &HostPathVolumeSource) -> io::Result<Option<&'static str>> {
    let path = Path::new(&host.path);
    let kind = host.type_.as_deref().unwrap_or_default();
    if !path.exists() {
        match kind {
            // Without a type an engine makes a directory of it, as the kubelet's does.
            "" | "DirectoryOrCreate" => std::fs::create_dir_all(path)?,
            "FileOrCreate" => drop(std::fs::File::create(path)?),
            _ => {}
        }
    }
    let (expected, fits): (_, fn(&FileType) -> bool) = match kind {
        "Directory" | "DirectoryOrCreate" => ("a directory", FileType::is_dir),
        "File" | "FileOrCreate" => ("a file", FileType::is_file),
        "Socket" => ("a socket", |kind| kind.is_socket()),
        "CharDevice" => ("a character device", |kind| kind.is_char_device()),
        "BlockDevice" => ("a block device", |kind| kind.is_block_device()),
        _ => return Ok(None),
    };
    let found = std::fs::metadata(path)?.file_type();
    Ok((!fits(&found)).then_some(expected))
}
