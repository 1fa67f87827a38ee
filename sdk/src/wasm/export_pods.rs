//! The component's exports `pods` and `stats`.
//!
//! In: calls of the host. Out: calls of the author's provider. Invariant: one line each; no decision is made here.

use std::time::Duration;

use super::bindings::exports::pluglet::provider::{pods, stats};
use super::bindings::pluglet::provider::types::{Error, PodRef};
use super::exports::Exported;
use crate::{Provider, Status};

impl<P: Provider> pods::Guest for Exported<P> {
    async fn create(pod: PodRef, spec: pods::ResolvedPod) -> Result<String, Error> {
        let (provider, _) = Self::current()?;
        Ok(provider.create(pod.into(), spec.into()).await?.into_json())
    }

    async fn update(pod: PodRef, spec: pods::ResolvedPod) -> Result<String, Error> {
        let (provider, _) = Self::current()?;
        Ok(provider.update(pod.into(), spec.into()).await?.into_json())
    }

    async fn volumes_changed(pod: PodRef, volumes: Vec<pods::Volume>) -> Result<(), Error> {
        let (provider, _) = Self::current()?;
        let volumes = volumes.into_iter().map(crate::Volume::from).collect();
        Ok(provider.volumes_changed(pod.into(), volumes).await?)
    }

    async fn restart_container(pod: PodRef, container: String, grace_seconds: u32) -> Result<(), Error> {
        let (provider, _) = Self::current()?;
        let grace = Duration::from_secs(grace_seconds.into());
        Ok(provider.restart_container(pod.into(), container, grace).await?)
    }

    async fn delete(pod: PodRef, grace_seconds: u32) -> Result<(), Error> {
        let (provider, _) = Self::current()?;
        Ok(provider.delete(pod.into(), Duration::from_secs(grace_seconds.into())).await?)
    }

    async fn status(pod: PodRef) -> Result<String, Error> {
        let (provider, _) = Self::current()?;
        Ok(provider.status(pod.into()).await?.into_json())
    }

    async fn list() -> Result<Vec<(PodRef, String)>, Error> {
        let (provider, _) = Self::current()?;
        let pods = provider.list().await?;
        Ok(pods.into_iter().map(|(pod, status)| (pod.into(), Status::into_json(status))).collect())
    }
}

impl<P: Provider> stats::Guest for Exported<P> {
    async fn pods() -> Result<Vec<stats::PodStats>, Error> {
        let (provider, _) = Self::current()?;
        Ok(provider.stats().await?.into_iter().map(stats::PodStats::from).collect())
    }
}
