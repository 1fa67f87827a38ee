//! The functions of `containers`, ready to be called.
//!
//! In: an instance; requests. Out: answers, through the requests' own senders. Invariant: as for all exports: an error of wasmtime means that the
//! store is gone.

use std::time::{Duration, Instant};

use wasmtime::Store;
use wasmtime::component::{Accessor, Instance};

use super::{Fallible, pass};
use crate::bindings::exports::pluglet::provider::containers as wit;
use crate::bindings::pluglet::provider::types::{PodRef, RegistryCredential};
use crate::call::{Kind, Lane, Reply, kind};
use crate::calls::export;
use crate::state::State;

pub(crate) const CREATE_SANDBOX: Kind = kind("create-sandbox", 120, Lane::Pods);
pub(crate) const STOP_SANDBOX: Kind = kind("stop-sandbox", 60, Lane::Pods);
pub(crate) const REMOVE_SANDBOX: Kind = kind("remove-sandbox", 120, Lane::Pods);
pub(crate) const CREATE_CONTAINER: Kind = kind("create-container", 60, Lane::Pods);
pub(crate) const START_CONTAINER: Kind = kind("start-container", 60, Lane::Pods);
pub(crate) const REMOVE_CONTAINER: Kind = kind("remove-container", 60, Lane::Pods);
pub(crate) const UPDATE_CONTAINER: Kind = kind("update-container", 60, Lane::Pods);
pub(crate) const CONTAINER: Kind = kind("container", 30, Lane::Pods);
pub(crate) const POD_CONTENTS: Kind = kind("list of one pod", 60, Lane::Pods);
pub(crate) const ALL_CONTENTS: Kind = kind("list", 60, Lane::Lists);
pub(crate) const IMAGE: Kind = kind("image", 30, Lane::Pods);
/// Waits for a registry, which must not take the places of those that do not.
pub(crate) const PULL: Kind = kind("pull", 3600, Lane::Free);
pub(crate) const IMAGES: Kind = kind("images", 60, Lane::Lists);
pub(crate) const REMOVE_IMAGE: Kind = kind("remove-image", 60, Lane::Lists);

/// Waits for the container, which has `grace` to end, and must not take the places of others meanwhile.
pub(crate) fn stop_container(grace: Duration) -> Kind {
    Kind { name: "stop-container", deadline: grace + Duration::from_secs(60), lane: Lane::Free }
}

/// A function of `containers` with its arguments.
pub(crate) enum ContainerRequest {
    CreateSandbox(wit::SandboxConfig, Reply<wit::SandboxStatus>),
    StopSandbox(String, Reply<()>),
    RemoveSandbox(String, Reply<()>),
    CreateContainer(String, wit::SandboxConfig, Box<wit::ContainerConfig>, Reply<String>),
    StartContainer(String, Reply<wit::ContainerStatus>),
    StopContainer(String, u32, Reply<()>),
    RemoveContainer(String, Reply<()>),
    UpdateContainer(String, wit::Resources, Reply<()>),
    Container(String, Reply<wit::ContainerStatus>),
    List(Option<PodRef>, Reply<Vec<wit::PodContents>>),
    Image(String, Reply<Option<wit::ImageStatus>>),
    Pull(PodRef, String, Vec<RegistryCredential>, Reply<wit::ImageStatus>),
    Images(Reply<Vec<wit::ImageStatus>>),
    RemoveImage(String, Reply<()>),
}

/// What the host calls of `containers`.
pub(crate) struct ContainerExports {
    create_sandbox: Fallible<(wit::SandboxConfig,), wit::SandboxStatus>,
    stop_sandbox: Fallible<(String,), ()>,
    remove_sandbox: Fallible<(String,), ()>,
    create_container: Fallible<(String, wit::SandboxConfig, wit::ContainerConfig), String>,
    start_container: Fallible<(String,), wit::ContainerStatus>,
    stop_container: Fallible<(String, u32), ()>,
    remove_container: Fallible<(String,), ()>,
    update_container: Fallible<(String, wit::Resources), ()>,
    container: Fallible<(String,), wit::ContainerStatus>,
    list: Fallible<(Option<PodRef>,), Vec<wit::PodContents>>,
    image: Fallible<(String,), Option<wit::ImageStatus>>,
    pull: Fallible<(PodRef, String, Vec<RegistryCredential>), wit::ImageStatus>,
    images: Fallible<(), Vec<wit::ImageStatus>>,
    remove_image: Fallible<(String,), ()>,
}

impl ContainerExports {
    /// Those of an instance.
    pub(super) fn of(store: &mut Store<State>, instance: &Instance, interface: &str) -> wasmtime::Result<Self> {
        Ok(Self {
            create_sandbox: export(store, instance, interface, "create-sandbox")?,
            stop_sandbox: export(store, instance, interface, "stop-sandbox")?,
            remove_sandbox: export(store, instance, interface, "remove-sandbox")?,
            create_container: export(store, instance, interface, "create-container")?,
            start_container: export(store, instance, interface, "start-container")?,
            stop_container: export(store, instance, interface, "stop-container")?,
            remove_container: export(store, instance, interface, "remove-container")?,
            update_container: export(store, instance, interface, "update-container")?,
            container: export(store, instance, interface, "container")?,
            list: export(store, instance, interface, "list")?,
            image: export(store, instance, interface, "image")?,
            pull: export(store, instance, interface, "pull")?,
            images: export(store, instance, interface, "images")?,
            remove_image: export(store, instance, interface, "remove-image")?,
        })
    }

    /// Call the function and send its answer; gives back how it went, in a word for metrics.
    pub(super) async fn answer(
        &self,
        accessor: &Accessor<State>,
        request: ContainerRequest,
        until: Instant,
    ) -> wasmtime::Result<&'static str> {
        use ContainerRequest as Ask;
        match request {
            Ask::CreateSandbox(config, reply) => pass(accessor, &self.create_sandbox, (config,), until, reply).await,
            Ask::StopSandbox(id, reply) => pass(accessor, &self.stop_sandbox, (id,), until, reply).await,
            Ask::RemoveSandbox(id, reply) => pass(accessor, &self.remove_sandbox, (id,), until, reply).await,
            Ask::CreateContainer(id, sandbox, config, reply) => {
                pass(accessor, &self.create_container, (id, sandbox, *config), until, reply).await
            }
            Ask::StartContainer(id, reply) => pass(accessor, &self.start_container, (id,), until, reply).await,
            Ask::StopContainer(id, grace, reply) => {
                pass(accessor, &self.stop_container, (id, grace), until, reply).await
            }
            Ask::RemoveContainer(id, reply) => pass(accessor, &self.remove_container, (id,), until, reply).await,
            Ask::UpdateContainer(id, resources, reply) => {
                pass(accessor, &self.update_container, (id, resources), until, reply).await
            }
            Ask::Container(id, reply) => pass(accessor, &self.container, (id,), until, reply).await,
            Ask::List(pod, reply) => pass(accessor, &self.list, (pod,), until, reply).await,
            Ask::Image(image, reply) => pass(accessor, &self.image, (image,), until, reply).await,
            Ask::Pull(pod, image, credentials, reply) => {
                pass(accessor, &self.pull, (pod, image, credentials), until, reply).await
            }
            Ask::Images(reply) => pass(accessor, &self.images, (), until, reply).await,
            Ask::RemoveImage(id, reply) => pass(accessor, &self.remove_image, (id,), until, reply).await,
        }
    }
}
