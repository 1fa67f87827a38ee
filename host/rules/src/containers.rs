//! Regular, init and ephemeral containers under one view.
//!
//! In: a pod's spec. Out: views of its containers. Invariant: [`all`] and [`all_mut`] give the same containers in the
//! same order.

use k8s_openapi::api::core::v1::{
    Container, EnvFromSource, EnvVar, EphemeralContainer, PodSpec, ResourceRequirements, VolumeMount,
};

/// What the rules read of a container.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ContainerView<'a> {
    pub name: &'a str,
    pub env: &'a [EnvVar],
    pub env_from: &'a [EnvFromSource],
    pub command: &'a [String],
    pub args: &'a [String],
    pub resources: Option<&'a ResourceRequirements>,
    pub volume_mounts: &'a [VolumeMount],
    /// `securityContext.runAsUser` of the container itself.
    pub run_as_user: Option<i64>,
}

/// What resolution writes of a container.
#[derive(Debug)]
pub(crate) struct ContainerFields<'a> {
    pub env: &'a mut Option<Vec<EnvVar>>,
    pub env_from: &'a mut Option<Vec<EnvFromSource>>,
    pub command: &'a mut Option<Vec<String>>,
    pub args: &'a mut Option<Vec<String>>,
    pub volume_mounts: &'a mut Option<Vec<VolumeMount>>,
}

/// [`Container`] and [`EphemeralContainer`] have the same fields, but no type in common.
macro_rules! view {
    ($container:expr) => {
        ContainerView {
            name: &$container.name,
            env: $container.env.as_deref().unwrap_or_default(),
            env_from: $container.env_from.as_deref().unwrap_or_default(),
            command: $container.command.as_deref().unwrap_or_default(),
            args: $container.args.as_deref().unwrap_or_default(),
            resources: $container.resources.as_ref(),
            volume_mounts: $container.volume_mounts.as_deref().unwrap_or_default(),
            run_as_user: $container.security_context.as_ref().and_then(|context| context.run_as_user),
        }
    };
}

macro_rules! fields {
    ($container:expr) => {
        ContainerFields {
            env: &mut $container.env,
            env_from: &mut $container.env_from,
            command: &mut $container.command,
            args: &mut $container.args,
            volume_mounts: &mut $container.volume_mounts,
        }
    };
}

fn view(container: &Container) -> ContainerView<'_> {
    view!(container)
}

fn view_ephemeral(container: &EphemeralContainer) -> ContainerView<'_> {
    view!(container)
}

/// All containers: init, regular, ephemeral.
pub(crate) fn all(spec: &PodSpec) -> impl Iterator<Item = ContainerView<'_>> {
    let init = spec.init_containers.iter().flatten().map(view);
    let ephemeral = spec.ephemeral_containers.iter().flatten().map(view_ephemeral);
    init.chain(spec.containers.iter().map(view)).chain(ephemeral)
}

/// The same as [`all`], to be written.
pub(crate) fn all_mut(spec: &mut PodSpec) -> impl Iterator<Item = ContainerFields<'_>> {
    let init = spec.init_containers.iter_mut().flatten().map(|container| fields!(container));
    let regular = spec.containers.iter_mut().map(|container| fields!(container));
    let ephemeral = spec.ephemeral_containers.iter_mut().flatten().map(|container| fields!(container));
    init.chain(regular).chain(ephemeral)
}

/// The regular or init container of that name (`findContainerInPod`).
pub(crate) fn find<'a>(spec: &'a PodSpec, name: &str) -> Option<ContainerView<'a>> {
    let mut containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    containers.find(|container| container.name == name).map(view)
}
