//! Files and directories of a container.
//!
//! In: mounts as the host describes them. Out: the engines' mounts. Invariant: pure; no directory leads out of its volume, and where a container's
//! own files are read-only, no engine adds writable ones.

use std::collections::{BTreeMap, BTreeSet};

use pluglet_sdk::{Error, Mount, MountSource, PodRef, Propagation, Result};
use serde_json::{Value, json};

use crate::client::Dialect;
use crate::names;

/// Where Podman puts writable tmpfs into a container whose own files are read-only.
const PODMANS_TMPFS: [&str; 3] = ["/run", "/tmp", "/var/tmp"];

/// The memory volumes of which a directory is mounted: their place on the machine has to be known.
pub(crate) fn with_directories(mounts: &[Mount]) -> BTreeSet<&str> {
    let sources = mounts.iter().map(|mount| &mount.source);
    let volumes = sources.filter_map(|source| match source {
        MountSource::Memory { volume, directory } if !directory.is_empty() => Some(volume.as_str()),
        MountSource::Memory { .. } | MountSource::Path(_) => None,
    });
    volumes.collect()
}

/// The engine's mounts. `places` are those of [`with_directories`].
pub(crate) fn body(
    dialect: Dialect,
    pod: &PodRef,
    mounts: &[Mount],
    places: &BTreeMap<String, String>,
) -> Result<Vec<Value>> {
    let made = mounts.iter().map(|mount| {
        let made = one(pod, mount, places)?;
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

fn one(pod: &PodRef, mount: &Mount, places: &BTreeMap<String, String>) -> Result<Value> {
    let (volume, directory) = match &mount.source {
        MountSource::Path(source) => return Ok(bind(source, mount, Some(propagation(mount)))),
        MountSource::Memory { volume, directory } => (volume, directory),
    };
    if directory.is_empty() {
        return Ok(json!({
            "Type": "volume",
            "Source": names::volume(pod, volume),
            "Target": mount.container_path,
            "ReadOnly": mount.read_only,
            // What the image has at that place does not belong into the volume.
            "VolumeOptions": {"NoCopy": true},
        }));
    }
    if directory.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
        return Err(Error::invalid(format!("{directory:?} is no directory below a volume")));
    }
    let place =
        places.get(volume).ok_or_else(|| Error::internal(format!("the place of volume {volume} is not known")))?;
    // Docker has its own propagation for what lies among its own files, and takes no other.
    Ok(bind(&format!("{}/{directory}", place.trim_end_matches('/')), mount, None))
}

fn propagation(mount: &Mount) -> &'static str {
    match mount.propagation {
        Propagation::Private => "rprivate",
        Propagation::HostToContainer => "rslave",
        Propagation::Bidirectional => "rshared",
    }
}

fn bind(source: &str, mount: &Mount, propagation: Option<&str>) -> Value {
    let options = propagation.map(|propagation| ("BindOptions", json!({"Propagation": propagation})));
    let fields = [
        ("Type", json!("bind")),
        ("Source", json!(source)),
        ("Target", json!(mount.container_path)),
        ("ReadOnly", json!(mount.read_only)),
    ];
    Value::Object(fields.into_iter().chain(options).map(|(name, value)| (name.to_owned(), value)).collect())
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
        let places = BTreeMap::from([("cache".to_owned(), "/volumes/x/_data".to_owned())]);
        body(Dialect::Docker, &PodRef { uid: "u".into(), ..PodRef::default() }, mounts, &places)
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
    fn a_directory_of_a_memory_volume_is_bound_from_where_the_volume_is() {
        let mounts = [mount("/a", memory("")), mount("/b", memory("x/y"))];
        assert_eq!(with_directories(&mounts).into_iter().collect::<Vec<_>>(), ["cache"]);
        let bodies = bodies(&mounts).unwrap();
        assert_eq!((&bodies[0]["Type"], &bodies[0]["Source"]), (&json!("volume"), &json!("pluglet_u_cache")));
        assert_eq!((&bodies[1]["Type"], &bodies[1]["Source"]), (&json!("bind"), &json!("/volumes/x/_data/x/y")));
        assert_eq!(bodies[1].get("BindOptions"), None, "Docker refuses any that is not its own");
    }

    #[test]
    fn no_directory_leads_out_of_its_volume() {
        for directory in ["..", "a/../../b", "/etc", "a//b", "./a"] {
            assert!(matches!(bodies(&[mount("/a", memory(directory))]), Err(Error::Invalid(_))), "{directory}");
        }
    }

    #[test]
    fn no_path_becomes_an_option_of_podmans() {
        let evil = "/pods/u/a,source=/";
        let mounts = [
            mount("/x", MountSource::Path(evil.into())),
            mount("/x,readonly=false", MountSource::Path("/srv".into())),
            mount("/x\"", memory("")),
            mount("/x", memory("a,source=b")),
        ];
        let places = BTreeMap::from([("cache".to_owned(), "/volumes/x/_data".to_owned())]);
        for mount in mounts {
            let made = body(Dialect::Podman, &PodRef::default(), std::slice::from_ref(&mount), &places);
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
