//! What pods may have of the machine, as the operator wrote it.
//!
//! In: the `containers` mapping. Out: [`Grants`], and how much of images there may be. Invariant: what is not written is not granted.

use std::ops::RangeInclusive;
use std::path::{Component, Path, PathBuf};

use pluglet_rules::grants::{Grants, HostPath};

use super::ImageLimits;
use super::fields::{Field, Fields};

/// Less than a small image would remove all the time.
const IMAGES: RangeInclusive<u64> = (10 << 20)..=(1 << 50);

/// Reads them; those that are not there are not given.
pub(super) fn read(field: Option<Field<'_>>) -> (Grants, Option<ImageLimits>) {
    let mut grants = Grants::default();
    let Some(mut fields) = field.and_then(|field| field.fields()) else { return (grants, None) };
    let f = &mut fields;
    if let Some(volumes) = f.take("volumes") {
        match volumes.text() {
            Some("directory") => grants.directories = true,
            Some(_) => volumes.wrong(
                "must be `directory`, which lets pods have directories of this machine that pluglet makes for them",
            ),
            None => {}
        }
    }
    grants.host_paths = list(f, "hostPath").iter().filter_map(host_path).collect();
    flag(f, "privileged", &mut grants.privileged);
    flag(f, "hostNetwork", &mut grants.host_network);
    flag(f, "hostPID", &mut grants.host_pid);
    flag(f, "hostIPC", &mut grants.host_ipc);
    flag(f, "hostPorts", &mut grants.host_ports);
    flag(f, "subPaths", &mut grants.sub_paths);
    flag(f, "unconfined", &mut grants.unconfined);
    grants.capabilities = list(f, "capabilities").iter().filter_map(capability).collect();
    grants.sysctls = list(f, "sysctls").iter().filter_map(|field| field.text().map(str::to_owned)).collect();
    let images = f.take("images").and_then(|field| images(&field));
    fields.finish();
    (grants, images)
}

/// How much of images there may be.
fn images(field: &Field<'_>) -> Option<ImageLimits> {
    let mut fields = field.fields()?;
    let high = fields.require("high").and_then(|field| field.size(IMAGES));
    let low = fields.require("low").and_then(|field| field.size(IMAGES));
    fields.finish();
    let (high, low) = (high?, low?);
    if low >= high {
        field.wrong("`low` must be less than `high`");
        return None;
    }
    Some(ImageLimits { high, low })
}

fn flag(fields: &mut Fields<'_>, key: &'static str, into: &mut bool) {
    if let Some(flag) = fields.take(key).and_then(|field| field.flag()) {
        *into = flag;
    }
}

fn list<'a>(fields: &mut Fields<'a>, key: &'static str) -> Vec<Field<'a>> {
    fields.take(key).and_then(|field| field.list()).unwrap_or_default()
}

fn host_path(field: &Field<'_>) -> Option<HostPath> {
    let mut fields = field.fields()?;
    let path = fields.require("path").and_then(|field| absolute(&field));
    let mut read_only = false;
    flag(&mut fields, "readOnly", &mut read_only);
    fields.finish();
    Some(HostPath { path: path?, read_only })
}

fn absolute(field: &Field<'_>) -> Option<PathBuf> {
    let path = Path::new(field.text()?);
    let plain = path.is_absolute() && path.components().all(|part| !matches!(part, Component::ParentDir));
    if !plain {
        field.wrong("must be an absolute path without `..`");
        return None;
    }
    Some(path.to_owned())
}

fn capability(field: &Field<'_>) -> Option<String> {
    let name = field.text()?;
    let name = name.strip_prefix("CAP_").unwrap_or(name);
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_') {
        field.wrong("is no capability such as NET_ADMIN, or ALL");
        return None;
    }
    Some(name.to_owned())
}
