//! Files of configMap, secret, downwardAPI and projected volumes.
//!
//! In: a pod, what is known of the objects that it names. Out: the volumes that the host makes, or the first one that
//! it cannot make yet. Invariant: files are sorted by path, each path once, none leaves its volume; a kind that the
//! provider does not take is never looked at. Volumes of other kinds are the provider's own work and stay in the spec.

pub(crate) mod kinds;
pub(crate) mod modes;
pub(crate) mod paths;
mod projected;
mod trust;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{DownwardAPIVolumeFile, KeyToPath, Pod, PodSpec, Volume as Declared};
use pluglet_model::pod::{Volume, VolumeFile};

use crate::downward::{self, resource};
use crate::objects::{Obstacle, require};
use crate::references::{ObjectRef, namespace};
use crate::resolve::{Context, Problem};
use modes::Modes;

/// The volumes that the host makes for a pod, each by itself: one that cannot be made says why, and is none of the others' business.
///
/// For a pod that runs this shows whether files changed.
#[must_use]
pub fn volumes(pod: &Pod, context: &Context<'_>) -> Vec<Result<Volume, Problem>> {
    let Some(spec) = &pod.spec else {
        return Vec::new();
    };
    let maker = Maker { pod, spec, context };
    let make = |declared: &Declared| match maker.volume(declared) {
        Ok(files) => files.map(|files| Ok(Volume { name: declared.name.clone(), files: files.into_vec() })),
        Err(obstacle) => Some(Err(Problem::of_volume(&declared.name, obstacle))),
    };
    spec.volumes.iter().flatten().filter_map(make).collect()
}

/// What all volumes of a pod are made from.
struct Maker<'a> {
    pod: &'a Pod,
    spec: &'a PodSpec,
    context: &'a Context<'a>,
}

impl Maker<'_> {
    fn namespace(&self) -> &str {
        namespace(self.pod)
    }

    fn modes(&self, default_mode: Option<i32>) -> Modes {
        Modes::of(self.spec, default_mode)
    }

    /// None for a volume that is not the host's to make.
    fn volume(&self, volume: &Declared) -> Result<Option<Files>, Obstacle> {
        let kind = kinds::kind(volume);
        if !kind.is_some_and(|kind| self.context.kinds.takes(kind)) {
            if kinds::is_injected(volume) {
                return Ok(None);
            }
            // Another version of the provider may: the pod waits.
            let kind = kind.map_or("that pluglet does not know".to_owned(), |kind| format!("of kind {kind}"));
            return Err(Obstacle::Message(format!("the provider does not take volumes {kind}")));
        }
        self.files(volume)
    }

    fn files(&self, volume: &Declared) -> Result<Option<Files>, Obstacle> {
        if let Some(map) = &volume.config_map {
            let mut files = Files::new(self.modes(map.default_mode));
            let reference = ObjectRef::config_map(self.namespace(), &map.name);
            self.object(&reference, map.items.as_deref(), map.optional, &mut files)?;
            return Ok(Some(files));
        }
        if let Some(secret) = &volume.secret {
            let mut files = Files::new(self.modes(secret.default_mode));
            let name = secret.secret_name.as_deref().unwrap_or_default();
            let reference = ObjectRef::secret(self.namespace(), name);
            self.object(&reference, secret.items.as_deref(), secret.optional, &mut files)?;
            return Ok(Some(files));
        }
        if let Some(downward) = &volume.downward_api {
            let mut files = Files::new(self.modes(downward.default_mode));
            self.downward(downward.items.as_deref().unwrap_or_default(), &mut files)?;
            return Ok(Some(files));
        }
        volume.projected.as_ref().map(|source| projected::files(self, source)).transpose()
    }

    /// Files of a ConfigMap or Secret (`MakePayload`): all keys, or the listed ones under the listed paths.
    fn object(
        &self,
        reference: &ObjectRef,
        items: Option<&[KeyToPath]>,
        optional: Option<bool>,
        files: &mut Files,
    ) -> Result<(), Obstacle> {
        let Some(object) = require(self.context.object, reference, optional)? else {
            return Ok(());
        };
        let items = items.unwrap_or_default();
        if items.is_empty() {
            let mode = files.modes.file(None);
            return object.files().into_iter().try_for_each(|(key, bytes)| files.add(key, mode, bytes.to_vec()));
        }
        for item in items {
            match object.file(&item.key) {
                Some(bytes) => files.add(&item.path, files.modes.file(item.mode), bytes.to_vec())?,
                None if optional == Some(true) => {}
                None => return Err(missing_key(reference, &item.key)),
            }
        }
        Ok(())
    }

    /// Files of the downward API (`CollectData`).
    fn downward(&self, items: &[DownwardAPIVolumeFile], files: &mut Files) -> Result<(), Obstacle> {
        for item in items {
            let text = if let Some(field) = &item.field_ref {
                downward::metadata_field(self.pod, &field.field_path)?
            } else if let Some(field) = &item.resource_field_ref {
                resource::in_volume(self.spec, field, self.context.allocatable)?
            } else {
                String::new()
            };
            files.add(&item.path, files.modes.file(item.mode), text.into_bytes())?;
        }
        Ok(())
    }
}

fn missing_key(reference: &ObjectRef, key: &str) -> Obstacle {
    Obstacle::Message(match reference {
        ObjectRef::Secret { .. } => format!("references non-existent secret key: {key}"),
        _ => format!("configmap references non-existent config key: {key}"),
    })
}

/// The files of one volume while it is made.
struct Files {
    modes: Modes,
    by_path: BTreeMap<String, (u32, Vec<u8>)>,
}

impl Files {
    fn new(modes: Modes) -> Self {
        Self { modes, by_path: BTreeMap::new() }
    }

    /// Adds a file, in place of one at the same path.
    fn add(&mut self, path: &str, mode: u32, bytes: Vec<u8>) -> Result<(), Obstacle> {
        let path = paths::clean(path)?;
        let above = path.match_indices('/').filter_map(|(at, _)| path.get(..at));
        if let Some(file) = above.into_iter().find(|above| self.by_path.contains_key(*above)) {
            return Err(both(file));
        }
        let inside = format!("{path}/");
        if self.by_path.range(inside.clone()..).next().is_some_and(|(next, _)| next.starts_with(&inside)) {
            return Err(both(&path));
        }
        self.by_path.insert(path, (mode, bytes));
        Ok(())
    }

    fn into_vec(self) -> Vec<VolumeFile> {
        self.by_path.into_iter().map(|(path, (mode, bytes))| VolumeFile { path, mode, bytes }).collect()
    }
}

fn both(path: &str) -> Obstacle {
    Obstacle::Message(format!("invalid path: is a file and a directory: {path}"))
}

#[cfg(test)]
mod tests;
