//! Files and directories of a container.
//!
//! In: mounts as the host describes them. Out: the engines' mounts. Invariant: pure; nothing is bound that a pod could have made into a link, and where a container's
//! own files are read-only, no engine adds writable ones.

use std::collections::BTreeMap;

use pluglet_sdk::{Error, Mount, MountSource, PodRef, Propagation, Result};
use serde_json::{Value, json};

use crate::client::Dialect;
use crate::names;

/// Where Podman puts writable tmpfs into a container whose own files are read-only.
const PODMANS_TMPFS: [&str; 3] = ["/run", "/tmp", "/var/tmp"];

/// The engine's mounts.
pub(crate) fn body(dialect: Dialect, pod: &PodRef, mounts: &[Mount]) -> Result<Vec<Value>> {
    let made = mounts.iter().map(|mount| {
        let made = one(pod, mount)?;
        if dialect == Dialect::Podman {
            check_for_podman(&made)?;
        }
        Ok(made)
    });
    made.collect()
}

/// Podman writes a mount as `type=bind,source=…,target=…` and reads that again: what stands behind a comma in a path would be another option, such as
/// `source=/`.
fn check_for_podman(mount: &Value) -> Result<()> {
    let splits =
        |name: &str| mount.get(name).and_then(Value::as_str).is_some_and(|path| path.contains([',', '"', '\n', '\r']));
    if ["Source", "Target"].into_iter().any(splits) {
        return Err(Error::Unsupported(
            "Podman's API takes no mount with a comma, a quote or a line break in its paths".to_owned(),
        ));
    }
    Ok(())
}

fn one(pod: &PodRef, mount: &Mount) -> Result<Value> {
    let (volume, directory) = match &mount.source {
        MountSource::Path(source) => return Ok(bind(source, mount)),
        MountSource::Memory { volume, directory } => (volume, directory),
    };
    // The engines' own way to a directory of a volume needs API 1.45 and is silently ignored below it. Binding where the volume is on the machine would have the engine follow
    // links that the pod has made, to anywhere.
    if !directory.is_empty() {
        let what =
            format!("a subPath ({directory}) of an emptyDir in memory: mount the volume itself, or use one on disk");
        return Err(Error::Unsupported(what));
    }
    Ok(json!({
        "Type": "volume",
        "Source": names::volume(pod, volume),
        "Target": mount.container_path,
        "ReadOnly": mount.read_only,
        // What the image has at that place does not belong into the volume.
        "VolumeOptions": {"NoCopy": true},
    }))
}

fn propagation(mount: &Mount) -> &'static str {
    match mount.propagation {
        Propagation::Private => "rprivate",
        Propagation::HostToContainer => "rslave",
        Propagation::Bidirectional => "rshared",
    }
}

fn bind(source: &str, mount: &Mount) -> Value {
    json!({
        "Type": "bind",
        "Source": source,
        "Target": mount.container_path,
        "ReadOnly": mount.read_only,
        "BindOptions": {"Propagation": propagation(mount)},
    })
}

/// A read-only tmpfs, with what the image has there, in place of each writable one that Podman would add. There is no switch for it in this API.
pub(crate) fn podman_read_only(mounts: &[Mount]) -> BTreeMap<&'static str, &'static str> {
    let taken = |place: &str| mounts.iter().any(|mount| mount.container_path.trim_end_matches('/') == place);
    PODMANS_TMPFS.into_iter().filter(|place| !taken(place)).map(|place| (place, "ro")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(container_path: &str, source: MountSource) -> Mount {
        Mount { container_path: container_path.into(), source, read_only: false, propagation: Propagation::Private }
    }

    fn memory(directory: &str) -> MountSource {
        MountSource::Memory { volume: "cache".into(), directory: directory.into() }
    }

    fn bodies(mounts: &[Mount]) -> Result<Vec<Value>> {
        body(Dialect::Docker, &PodRef { uid: "u".into(), ..PodRef::default() }, mounts)
    }

    #[test]
    fn a_path_is_bound_with_its_propagation() {
        let path = Mount {
            read_only: true,
            propagation: Propagation::HostToContainer,
            ..mount("/data", MountSource::Path("/srv/x".into()))
        };
        assert_eq!(
            bodies(&[path]).unwrap()[0],
            json!({"Type": "bind", "Source": "/srv/x", "Target": "/data", "ReadOnly": true, "BindOptions": {"Propagation": "rslave"}})
        );
    }

    #[test]
    fn a_memory_volume_is_mounted_whole_or_not_at_all() {
        let whole = bodies(&[mount("/a", memory(""))]).unwrap();
        assert_eq!((&whole[0]["Type"], &whole[0]["Source"]), (&json!("volume"), &json!("pluglet_u_cache")));
        // Whatever is there may be a link by now.
        for directory in ["x", "x/y", "..", "/etc"] {
            assert!(matches!(bodies(&[mount("/a", memory(directory))]), Err(Error::Unsupported(_))), "{directory}");
        }
    }

    #[test]
    fn no_path_becomes_an_option_of_podmans() {
        let evil = "/pods/u/a,source=/";
        let mounts = [
            mount("/x", MountSource::Path(evil.into())),
            mount("/x,readonly=false", MountSource::Path("/srv".into())),
            mount("/x\"", memory("")),
        ];
        for mount in mounts {
            let made = body(Dialect::Podman, &PodRef::default(), std::slice::from_ref(&mount));
            assert!(matches!(made, Err(Error::Unsupported(_))), "{mount:?}");
        }
        assert_eq!(
            bodies(&[mount("/x", MountSource::Path(evil.into()))]).unwrap()[0]["Source"],
            evil,
            "Docker reads JSON"
        );
    }

    #[test]
    fn podmans_writable_places_are_taken_unless_the_pod_has_something_there() {
        let mounts = [mount("/tmp/", memory("")), mount("/run/lock", memory(""))];
        assert_eq!(podman_read_only(&mounts), BTreeMap::from([("/run", "ro"), ("/var/tmp", "ro")]));
    }
}
