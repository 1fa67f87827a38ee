//! What the provider holds of a pod, as a line of JSON in its logs.
//!
//! In: resolved pods with the annotation `reveal`. Out: [`Held`], and a line for each container. Invariant: it is kept in memory only, and only
//! for pods that ask for it, since Secrets are in it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pluglet_sdk::kubernetes::{EnvVar, VolumeMount};
use pluglet_sdk::{PodRef, RegistryCredential, ResolvedPod, Result, Volume, VolumeFile};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::memory::Calls;

/// What came of a pod, with its own address filled in.
#[derive(Default)]
pub(crate) struct Held {
    generation: u64,
    containers: Vec<Container>,
    volumes: BTreeMap<String, Vec<VolumeFile>>,
    credentials: Vec<RegistryCredential>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Container {
    name: String,
    image: String,
    command: Vec<String>,
    args: Vec<String>,
    env: Vec<EnvVar>,
    volume_mounts: Vec<VolumeMount>,
    lifecycle: Lifecycle,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Lifecycle {
    pre_stop: Value,
}

#[derive(Deserialize)]
struct PodView {
    spec: SpecView,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SpecView {
    #[serde(default)]
    init_containers: Vec<Container>,
    containers: Vec<Container>,
}

impl Held {
    /// What a create or an update brings.
    pub(crate) fn of(pod: &PodRef, mut spec: ResolvedPod, ip: &str) -> Result<Self> {
        spec.fill_pod_ips(&[ip])?;
        let view: PodView = spec.pod_as()?;
        let mut containers = view.spec.init_containers;
        containers.extend(view.spec.containers);
        let mut held = Self { containers, credentials: spec.registry_credentials, ..Self::default() };
        held.refresh(pod, spec.volumes);
        Ok(held)
    }

    /// New files take the place of the volumes of these names.
    pub(crate) fn refresh(&mut self, pod: &PodRef, volumes: Vec<Volume>) {
        self.generation = pod.generation;
        self.volumes.extend(volumes.into_iter().map(|volume| (volume.name, volume.files)));
    }

    /// The literal variables of a container.
    pub(crate) fn env(&self, container: &str) -> Vec<(String, String)> {
        let held = self.containers.iter().filter(|held| held.name == container);
        held.flat_map(|held| &held.env).map(|variable| (variable.name.clone(), variable.value.clone())).collect()
    }

    /// The line of one container. Of one that no call has brought since the provider started, little is known.
    pub(crate) fn line(&self, container: &str, calls: Calls) -> String {
        let unknown = Container::default();
        let held = self.containers.iter().find(|held| held.name == container).unwrap_or(&unknown);
        let sub_paths: BTreeMap<_, _> = held
            .volume_mounts
            .iter()
            .filter_map(|mount| Some((mount.mount_path.as_str(), mount.sub_path.as_deref()?)))
            .collect();
        let volumes: BTreeMap<_, Vec<Value>> =
            self.volumes.iter().map(|(name, files)| (name, files.iter().map(file).collect())).collect();
        let credentials: Vec<Value> = self.credentials.iter().map(credential).collect();
        json!({
            "container": container,
            "image": held.image,
            "command": held.command,
            "args": held.args,
            "env": held.env,
            "subPaths": sub_paths,
            "volumes": volumes,
            "credentials": credentials,
            "preStop": held.lifecycle.pre_stop,
            "generation": self.generation,
            "calls": calls,
        })
        .to_string()
    }
}

fn file(file: &VolumeFile) -> Value {
    let mode = format!("{:04o}", file.mode);
    match std::str::from_utf8(&file.bytes) {
        Ok(text) => json!({"path": file.path, "mode": mode, "text": text}),
        Err(_) => json!({"path": file.path, "mode": mode, "base64": STANDARD.encode(&file.bytes)}),
    }
}

fn credential(credential: &RegistryCredential) -> Value {
    let RegistryCredential { registry, username, password } = credential;
    json!({"registry": registry, "username": username, "password": password})
}
