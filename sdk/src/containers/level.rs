//! A [`Runtime`] as the [`Provider`] that every component is.
//!
//! In: a runtime. Out: a provider of the level of containers. Invariant: nothing of `pods` is called at this level, and whoever does so all the same
//! hears why it cannot be.

use std::convert::Infallible;
use std::time::Duration;

use super::{
    ContainerConfig, ContainerStatus, ImageStatus, PodContents, Runtime, SandboxConfig, SandboxStatus, unsupported,
};
use crate::pod::{PodRef, RegistryCredential, ResolvedPod, Status};
use crate::sessions::{ByteStream, ExecRequest, LogOptions, LogStream, Session, SessionInput, Tunnel};
use crate::{Host, Info, Init, PodStats, Provider, Result};

/// What is exported: `export!(Containers<Engine>, { … })`.
pub struct Containers<R>(R);

const NO_PODS: &str = "this provider knows containers, not pods: the host must drive it by the interface `containers`";

impl<R: Runtime> Provider for Containers<R> {
    async fn start(host: Host, init: Init) -> Result<Self> {
        R::start(host, init).await.map(Self)
    }

    fn info(&self) -> Info {
        self.0.info()
    }

    async fn create(&self, _pod: PodRef, _spec: ResolvedPod) -> Result<Status> {
        Err(unsupported(NO_PODS))
    }

    async fn delete(&self, _pod: PodRef, _grace: Duration) -> Result<()> {
        Err(unsupported(NO_PODS))
    }

    async fn list(&self) -> Result<Vec<(PodRef, Status)>> {
        Err(unsupported(NO_PODS))
    }

    async fn logs(&self, pod: PodRef, options: LogOptions) -> Result<LogStream> {
        self.0.logs(pod, options).await
    }

    async fn exec(&self, pod: PodRef, request: ExecRequest, input: SessionInput) -> Result<Session> {
        self.0.exec(pod, request, input).await
    }

    async fn attach(&self, pod: PodRef, id: String, input: SessionInput) -> Result<Session> {
        self.0.attach(pod, id, input).await
    }

    async fn port_forward(&self, pod: PodRef, port: u16, input: ByteStream) -> Result<Tunnel> {
        self.0.port_forward(pod, port, input).await
    }

    async fn stats(&self) -> Result<Vec<PodStats>> {
        self.0.stats().await
    }

    async fn stop(&self, grace: Duration) -> Option<Vec<u8>> {
        self.0.stop(grace).await
    }

    fn runtime(&self) -> Option<&impl Runtime> {
        Some(&self.0)
    }
}

/// The runtime of a provider that knows pods: there is none.
pub(crate) struct NoRuntime(Infallible);

impl Runtime for NoRuntime {
    async fn start(_host: Host, _init: Init) -> Result<Self> {
        Err(unsupported("no runtime"))
    }

    fn info(&self) -> Info {
        match self.0 {}
    }

    async fn create_sandbox(&self, _config: SandboxConfig) -> Result<SandboxStatus> {
        match self.0 {}
    }

    async fn stop_sandbox(&self, _id: String) -> Result<()> {
        match self.0 {}
    }

    async fn remove_sandbox(&self, _id: String) -> Result<()> {
        match self.0 {}
    }

    async fn create_container(&self, _: String, _: SandboxConfig, _: ContainerConfig) -> Result<String> {
        match self.0 {}
    }

    async fn start_container(&self, _id: String) -> Result<ContainerStatus> {
        match self.0 {}
    }

    async fn stop_container(&self, _id: String, _grace: Duration) -> Result<()> {
        match self.0 {}
    }

    async fn remove_container(&self, _id: String) -> Result<()> {
        match self.0 {}
    }

    async fn container(&self, _id: String) -> Result<ContainerStatus> {
        match self.0 {}
    }

    async fn list(&self, _pod: Option<PodRef>) -> Result<Vec<PodContents>> {
        match self.0 {}
    }

    async fn image(&self, _image: String) -> Result<Option<ImageStatus>> {
        match self.0 {}
    }

    async fn pull(&self, _: PodRef, _: String, _: Vec<RegistryCredential>) -> Result<ImageStatus> {
        match self.0 {}
    }
}
