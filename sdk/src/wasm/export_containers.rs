//! The component's export `containers`.
//!
//! In: calls of the host. Out: calls of the author's runtime. Invariant: one line each; no decision is made here. A provider of pods answers
//! `unsupported`.

use std::time::Duration;

use super::bindings::exports::pluglet::provider::containers;
use super::bindings::pluglet::provider::types::{Error, PodRef, RegistryCredential};
use super::exports::Exported;
use crate::containers::Runtime;
use crate::{Provider, Result as SdkResult};

/// The runtime that a provider has.
fn runtime<P: Provider>(provider: &P) -> SdkResult<&impl Runtime> {
    let unsupported = || crate::Error::Unsupported("this provider knows pods, not containers".to_owned());
    provider.runtime().ok_or_else(unsupported)
}

impl<P: Provider> containers::Guest for Exported<P> {
    async fn create_sandbox(config: containers::SandboxConfig) -> Result<containers::SandboxStatus, Error> {
        let (provider, _) = Self::current()?;
        Ok(runtime(&*provider)?.create_sandbox(config.into()).await?.into())
    }

    async fn stop_sandbox(id: String) -> Result<(), Error> {
        let (provider, _) = Self::current()?;
        Ok(runtime(&*provider)?.stop_sandbox(id).await?)
    }

    async fn remove_sandbox(id: String) -> Result<(), Error> {
        let (provider, _) = Self::current()?;
        Ok(runtime(&*provider)?.remove_sandbox(id).await?)
    }

    async fn create_container(
        sandbox_id: String,
        sandbox: containers::SandboxConfig,
        config: containers::ContainerConfig,
    ) -> Result<String, Error> {
        let (provider, _) = Self::current()?;
        Ok(runtime(&*provider)?.create_container(sandbox_id, sandbox.into(), config.into()).await?)
    }

    async fn start_container(id: String) -> Result<containers::ContainerStatus, Error> {
        let (provider, _) = Self::current()?;
        Ok(runtime(&*provider)?.start_container(id).await?.into())
    }

    async fn stop_container(id: String, grace_seconds: u32) -> Result<(), Error> {
        let (provider, _) = Self::current()?;
        Ok(runtime(&*provider)?.stop_container(id, Duration::from_secs(grace_seconds.into())).await?)
    }

    async fn remove_container(id: String) -> Result<(), Error> {
        let (provider, _) = Self::current()?;
        Ok(runtime(&*provider)?.remove_container(id).await?)
    }

    async fn update_container(id: String, resources: containers::Resources) -> Result<(), Error> {
        let (provider, _) = Self::current()?;
        Ok(runtime(&*provider)?.update_container(id, resources.into()).await?)
    }

    async fn container(id: String) -> Result<containers::ContainerStatus, Error> {
        let (provider, _) = Self::current()?;
        Ok(runtime(&*provider)?.container(id).await?.into())
    }

    async fn list(pod: Option<PodRef>) -> Result<Vec<containers::PodContents>, Error> {
        let (provider, _) = Self::current()?;
        let pods = runtime(&*provider)?.list(pod.map(Into::into)).await?;
        Ok(pods.into_iter().map(Into::into).collect())
    }

    async fn image(image: String) -> Result<Option<containers::ImageStatus>, Error> {
        let (provider, _) = Self::current()?;
        Ok(runtime(&*provider)?.image(image).await?.map(Into::into))
    }

    async fn pull(
        pod: PodRef,
        image: String,
        credentials: Vec<RegistryCredential>,
    ) -> Result<containers::ImageStatus, Error> {
        let (provider, _) = Self::current()?;
        let credentials = credentials.into_iter().map(Into::into).collect();
        Ok(runtime(&*provider)?.pull(pod.into(), image, credentials).await?.into())
    }

    async fn images() -> Result<Vec<containers::ImageStatus>, Error> {
        let (provider, _) = Self::current()?;
        Ok(runtime(&*provider)?.images().await?.into_iter().map(Into::into).collect())
    }

    async fn remove_image(id: String) -> Result<(), Error> {
        let (provider, _) = Self::current()?;
        Ok(runtime(&*provider)?.remove_image(id).await?)
    }
}
