//! From a pod as the API server holds it to a pod with nothing left to look up.
//!
//! In: a pod, facts about the node, what is known of the objects that the pod names. Out: the pod that a provider gets,
//! the files of its volumes, its registry credentials; or the first [`Problem`], in the kubelet's order: volumes, then
//! containers. Invariant: pure. A resolved container has literal `env`, no `envFrom` and no `subPathExpr`, and its
//! texts are expanded: nobody expands them again. There is one exception.
//!
//! `status.podIP` and `status.podIPs` are known to the provider only. Such a variable keeps its `valueFrom.fieldRef`,
//! the only one that reaches a provider, for the provider to fill in; a value, command or argument that refers to it
//! keeps `$(NAME)`. What was written as `$$(NAME)` looks the same then.

mod problem;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{EnvVar, Pod, PodSpec, VolumeMount};
use pluglet_model::pod::{RegistryCredential, Volume};

use crate::containers::{self, ContainerFields, ContainerView};
use crate::environment::{self, ContainerEnvironment, Environment, Scope};
pub use crate::objects::{Known, Object, TrustBundle};
use crate::references::{ObjectRef, TokenSpec, VolumeKinds};
pub use crate::services::{ServiceFacts, ServicePortFacts};
use crate::volumes::paths;
pub use crate::volumes::volumes;
use crate::{registry, services};
pub use problem::Problem;

/// Everything besides the pod that decides how it resolves.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// `spec.nodeName` of the pods of this node.
    pub node_name: &'a str,
    /// The node's addresses, the preferred one first.
    pub host_ips: &'a [IpAddr],
    /// The node's `status.allocatable`.
    pub allocatable: &'a BTreeMap<String, String>,
    /// Host and port of the API server for pods outside the cluster network, in place of the Service
    /// `default/kubernetes`.
    pub kubernetes_service: Option<(&'a str, u16)>,
    /// Volume kinds that the provider takes.
    pub kinds: &'a VolumeKinds,
    /// What is known of an object.
    pub object: &'a dyn Fn(&ObjectRef) -> Known,
    /// The token of the pod's ServiceAccount, once it is there.
    pub token: &'a dyn Fn(&TokenSpec) -> Option<Arc<str>>,
    /// [`Resolved::environment`] of the time when the pod was created.
    pub frozen: Option<&'a Environment>,
    /// The provider runs the pod: a volume that cannot be made any more stays there as it is, and keeps nothing else from changing.
    pub running: bool,
}

/// A pod with nothing left to look up.
#[derive(Clone)]
pub struct Resolved {
    /// The pod as a provider gets it.
    pub pod: Pod,
    /// Its volumes that the host makes.
    pub volumes: Vec<Volume>,
    /// From its `imagePullSecrets`.
    pub registry_credentials: Vec<RegistryCredential>,
    /// To be given back as [`Context::frozen`]; None where no container names a ConfigMap or Secret.
    pub environment: Option<Environment>,
    /// For events.
    pub notes: Vec<Note>,
}

/// Something that people should know although the pod resolves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// An event's reason.
    pub reason: &'static str,
    /// An event's message.
    pub message: String,
}

impl fmt::Debug for Resolved {
    // The pod's environment may hold Secrets: never printed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolved")
            .field("name", &self.pod.metadata.name)
            .field("volumes", &self.volumes)
            .field("registry_credentials", &self.registry_credentials)
            .field("environment", &self.environment)
            .field("notes", &self.notes)
            .finish_non_exhaustive()
    }
}

/// Resolves a pod.
///
/// # Errors
/// The first thing that stands in the way. All but [`Problem::Unsupported`] may be cured by other answers of the
/// context.
pub fn resolve(pod: &Pod, context: &Context<'_>) -> Result<Resolved, Problem> {
    let volumes = volumes(pod, context).into_iter();
    let volumes: Vec<Volume> =
        if context.running { volumes.filter_map(Result::ok).collect() } else { volumes.collect::<Result<_, _>>()? };
    let (registry_credentials, note) = registry::credentials(pod, context.object).map_err(Problem::Loading)?;
    let notes = Vec::from_iter(note);
    let mut resolved = Resolved { pod: pod.clone(), volumes, registry_credentials, environment: None, notes };
    if let (Some(from), Some(to)) = (&pod.spec, &mut resolved.pod.spec) {
        resolved.environment = resolve_containers(pod, from, to, context)?;
    }
    Ok(resolved)
}

fn resolve_containers(
    pod: &Pod,
    from: &PodSpec,
    to: &mut PodSpec,
    context: &Context<'_>,
) -> Result<Option<Environment>, Problem> {
    let first = containers::all(from).next().map(|container| container.name).unwrap_or_default();
    let services = services::variables(pod, context.object, context.kubernetes_service)
        .map_err(|obstacle| Problem::of_container(first, obstacle))?;
    let scope = Scope { pod, spec: from, context, services: &services };
    let mut frozen = Environment::default();
    for (container, fields) in containers::all(from).zip(containers::all_mut(to)) {
        let environment = environment::of_container(scope, &container)
            .map_err(|obstacle| Problem::of_container(container.name, obstacle))?;
        if environment::names_objects(&container) {
            frozen.freeze(container.name, environment.own());
        }
        ContainerPlan::of(&container, environment)
            .map_err(|message| Problem::Container { container: container.name.to_owned(), message })?
            .write(fields);
    }
    Ok(frozen.into_option())
}

/// What changes in one container.
struct ContainerPlan {
    env: Vec<EnvVar>,
    command: Vec<String>,
    args: Vec<String>,
    volume_mounts: Vec<VolumeMount>,
}

impl ContainerPlan {
    fn of(container: &ContainerView<'_>, environment: ContainerEnvironment<'_>) -> Result<Self, String> {
        let expand = |texts: &[String]| texts.iter().map(|text| environment.expand(text)).collect();
        let mounts = container.volume_mounts.iter().map(|mount| resolve_mount(mount, &environment));
        Ok(Self {
            command: expand(container.command),
            args: expand(container.args),
            volume_mounts: mounts.collect::<Result<_, _>>()?,
            env: environment.into_env(),
        })
    }

    /// A list that is empty stays as it was: none and empty are not the same to everybody.
    fn write(self, fields: ContainerFields<'_>) {
        *fields.env_from = None;
        *fields.env = Some(self.env).filter(|env| !env.is_empty());
        let lists = [(fields.command, self.command), (fields.args, self.args)];
        for (field, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
            *field = Some(list);
        }
        if !self.volume_mounts.is_empty() {
            *fields.volume_mounts = Some(self.volume_mounts);
        }
    }
}

/// `subPathExpr` becomes `subPath` (`makeMounts`).
fn resolve_mount(mount: &VolumeMount, environment: &ContainerEnvironment<'_>) -> Result<VolumeMount, String> {
    let mut mount = mount.clone();
    if let Some(text) = mount.sub_path_expr.take().filter(|text| !text.is_empty()) {
        mount.sub_path = Some(environment.expand_sub_path(&text)?);
    }
    paths::check_sub_path(mount.sub_path.as_deref().unwrap_or_default())?;
    Ok(mount)
}

#[cfg(test)]
mod tests;
