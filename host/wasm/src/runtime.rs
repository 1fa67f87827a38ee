//! A component that is a container runtime, as the host sees it.
//!
//! In: calls of the [`Runtime`] trait. Out: calls of `containers`. Invariant: the same as for the provider that it also is: nothing of the component
//! runs on the caller's runtime, and what it answers is bounded.

use std::time::Duration;

use async_trait::async_trait;
use pluglet_model::PodKey;
use pluglet_model::pod::RegistryCredential;
use pluglet_model::provider::Error;
use pluglet_model::runtime::{
    ContainerConfig, ContainerStatus, ImageStatus, PodContents, Resources, Runtime, SandboxConfig, SandboxStatus,
};

use crate::adapt::{self, containers as words};
use crate::call::{Kind, Reply, Request};
use crate::exports::containers::{
    ALL_CONTENTS, CONTAINER, CREATE_CONTAINER, CREATE_SANDBOX, ContainerRequest as Ask, IMAGE, IMAGES, POD_CONTENTS,
    PULL, REMOVE_CONTAINER, REMOVE_IMAGE, REMOVE_SANDBOX, START_CONTAINER, STOP_SANDBOX, UPDATE_CONTAINER,
    stop_container,
};
use crate::provider::{MAX_LISTED, WasmProvider};

/// Images of one engine. Each is some hundred bytes; nobody has as many.
const MAX_IMAGES: usize = 20_000;

impl WasmProvider {
    async fn ask<T>(
        &self,
        kind: Kind,
        key: Option<&PodKey>,
        make: impl FnOnce(Reply<T>) -> Ask + Send,
    ) -> Result<T, Error> {
        let make = |reply| Request::Containers(make(reply));
        self.dispatch.call(kind, key.map(|key| &key.uid), make).await.map(|(answer, _)| answer)
    }
}

#[async_trait]
impl Runtime for WasmProvider {
    async fn create_sandbox(&self, config: &SandboxConfig) -> Result<SandboxStatus, Error> {
        let wanted = words::sandbox_config(config);
        let made = self.ask(CREATE_SANDBOX, Some(&config.key), |reply| Ask::CreateSandbox(wanted, reply)).await;
        made.map(words::sandbox_status)
    }

    async fn stop_sandbox(&self, key: &PodKey, id: &str) -> Result<(), Error> {
        let id = id.to_owned();
        self.ask(STOP_SANDBOX, Some(key), |reply| Ask::StopSandbox(id, reply)).await
    }

    async fn remove_sandbox(&self, key: &PodKey, id: &str) -> Result<(), Error> {
        let id = id.to_owned();
        self.ask(REMOVE_SANDBOX, Some(key), |reply| Ask::RemoveSandbox(id, reply)).await
    }

    async fn create_container(
        &self,
        sandbox_id: &str,
        sandbox: &SandboxConfig,
        config: &ContainerConfig,
    ) -> Result<String, Error> {
        let (id, wanted) = (sandbox_id.to_owned(), Box::new(words::container_config(config)));
        let shared = words::sandbox_config(sandbox);
        let make = |reply| Ask::CreateContainer(id, shared, wanted, reply);
        self.ask(CREATE_CONTAINER, Some(&sandbox.key), make).await.map(|id| words::id(&id))
    }

    async fn start_container(&self, key: &PodKey, id: &str) -> Result<ContainerStatus, Error> {
        let id = id.to_owned();
        let started = self.ask(START_CONTAINER, Some(key), |reply| Ask::StartContainer(id, reply)).await;
        started.map(words::container_status)
    }

    async fn stop_container(&self, key: &PodKey, id: &str, grace: Duration) -> Result<(), Error> {
        let (id, seconds) = (id.to_owned(), adapt::grace_seconds(grace));
        self.ask(stop_container(grace), Some(key), |reply| Ask::StopContainer(id, seconds, reply)).await
    }

    async fn remove_container(&self, key: &PodKey, id: &str) -> Result<(), Error> {
        let id = id.to_owned();
        self.ask(REMOVE_CONTAINER, Some(key), |reply| Ask::RemoveContainer(id, reply)).await
    }

    async fn update_container(&self, key: &PodKey, id: &str, resources: &Resources) -> Result<(), Error> {
        let (id, resources) = (id.to_owned(), words::resources(resources));
        self.ask(UPDATE_CONTAINER, Some(key), |reply| Ask::UpdateContainer(id, resources, reply)).await
    }

    async fn container(&self, key: &PodKey, id: &str) -> Result<ContainerStatus, Error> {
        let id = id.to_owned();
        self.ask(CONTAINER, Some(key), |reply| Ask::Container(id, reply)).await.map(words::container_status)
    }

    async fn pod(&self, key: &PodKey) -> Result<PodContents, Error> {
        let pod = adapt::pod_ref(key, 0);
        let listed = self.ask(POD_CONTENTS, Some(key), |reply| Ask::List(Some(pod), reply)).await?;
        let mut all = PodContents::none(key.clone());
        for contents in listed {
            let contents = words::contents(contents)?;
            if contents.key != *key {
                return Err(Error::Internal(format!("it was asked for {key} and lists {}", contents.key)));
            }
            all.sandboxes.extend(contents.sandboxes);
            all.containers.extend(contents.containers);
        }
        Ok(all)
    }

    async fn pods(&self) -> Result<Vec<PodContents>, Error> {
        let listed = async {
            let listed = self.ask(ALL_CONTENTS, None, |reply| Ask::List(None, reply)).await?;
            if listed.len() > MAX_LISTED {
                return Err(Error::Internal(format!("it lists {} pods, {MAX_LISTED} are allowed", listed.len())));
            }
            listed.into_iter().map(words::contents).collect()
        };
        let listed = listed.await;
        self.publish_listed(listed.as_ref().err());
        listed
    }

    async fn image(&self, key: &PodKey, image: &str) -> Result<Option<ImageStatus>, Error> {
        let image = image.to_owned();
        let found = self.ask(IMAGE, Some(key), |reply| Ask::Image(image, reply)).await;
        found.map(|image| image.map(words::image_status))
    }

    async fn pull(&self, key: &PodKey, image: &str, credentials: &[RegistryCredential]) -> Result<ImageStatus, Error> {
        let (pod, image, credentials) = (adapt::pod_ref(key, 0), image.to_owned(), words::credentials(credentials));
        let pulled = self.ask(PULL, Some(key), |reply| Ask::Pull(pod, image, credentials, reply)).await;
        pulled.map(words::image_status)
    }

    async fn images(&self) -> Result<Vec<ImageStatus>, Error> {
        let images = self.ask(IMAGES, None, Ask::Images).await?;
        if images.len() > MAX_IMAGES {
            return Err(Error::Internal(format!("it lists {} images, {MAX_IMAGES} are allowed", images.len())));
        }
        Ok(images.into_iter().map(words::image_status).collect())
    }

    async fn remove_image(&self, id: &str) -> Result<(), Error> {
        let id = id.to_owned();
        self.ask(REMOVE_IMAGE, None, |reply| Ask::RemoveImage(id, reply)).await
    }
}
