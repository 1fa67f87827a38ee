//! The runtime that the component exports.
//!
//! In: calls of the host. Out: what became of them. Invariant: it decides nothing and keeps nothing but the pulls that are under way.

use std::time::Duration;

use pluglet_sdk::{
    ByteStream, ContainerConfig, ContainerStatus, Error, ExecRequest, Feature, Host, ImageStatus, Info, Init,
    LogOptions, LogStream, PodContents, PodRef, PodStats, RegistryCredential, Resources, Result, Runtime,
    SandboxConfig, SandboxStatus, Session, SessionInput, Tunnel,
};

use crate::client::{Client, json};
use crate::config::{Config, Machine};
use crate::labels::{Kind, Owner};
use crate::pull::Pulls;
use crate::reference::Reference;
use crate::{containers, events, exec, forward, images, list, logs, sandboxes, stats, stop, volumes};

/// A container engine, as the host drives it.
pub struct Engine {
    client: Client,
    config: Config,
    machine: Machine,
    pulls: Pulls,
}

impl Runtime for Engine {
    async fn start(host: Host, init: Init) -> Result<Self> {
        let config: Config = init.config()?;
        let owner = Owner { cluster: init.cluster_id, node: init.node_name };
        let client = Client::connect(host, owner).await?;
        let machine = json(client.get("/info")).await?;
        // Nothing is being made yet, so what is not used will not be.
        if let Err(error) = volumes::sweep(&client).await {
            client.host.warn(format!("volumes of pods that are gone were not removed: {error}"));
        }
        client.host.spawn(events::watch(client.clone()));
        Ok(Self { client, config, machine, pulls: Pulls::default() })
    }

    fn info(&self) -> Info {
        let mut features =
            vec![Feature::Containers, Feature::Watch, Feature::Logs, Feature::Exec, Feature::Attach, Feature::Stats];
        if !self.config.sandbox_forward.is_empty() {
            features.push(Feature::PortForward);
        }
        Info::new(features).node(self.config.node(&self.machine))
    }

    async fn create_sandbox(&self, config: SandboxConfig) -> Result<SandboxStatus> {
        sandboxes::create(&self.client, &self.config, &self.pulls, &config).await
    }

    async fn stop_sandbox(&self, id: String) -> Result<()> {
        sandboxes::stop(&self.client, &id).await
    }

    async fn remove_sandbox(&self, id: String) -> Result<()> {
        sandboxes::remove(&self.client, &id).await
    }

    async fn create_container(
        &self,
        sandbox_id: String,
        sandbox: SandboxConfig,
        config: ContainerConfig,
    ) -> Result<String> {
        containers::create(&self.client, &self.config, &sandbox_id, &sandbox, &config).await
    }

    async fn start_container(&self, id: String) -> Result<ContainerStatus> {
        containers::start(&self.client, &id).await
    }

    async fn stop_container(&self, id: String, grace: Duration) -> Result<()> {
        self.client.inspect_kind(&id, Kind::Container).await?;
        stop::stop(&self.client, &id, grace).await
    }

    async fn remove_container(&self, id: String) -> Result<()> {
        self.client.inspect_kind(&id, Kind::Container).await?;
        sandboxes::force_remove(&self.client, &id).await
    }

    async fn update_container(&self, id: String, resources: Resources) -> Result<()> {
        containers::update(&self.client, &id, &resources).await
    }

    async fn container(&self, id: String) -> Result<ContainerStatus> {
        containers::inspect(&self.client, &id).await
    }

    async fn list(&self, pod: Option<PodRef>) -> Result<Vec<PodContents>> {
        list::contents(&self.client, pod.as_ref()).await
    }

    async fn image(&self, image: String) -> Result<Option<ImageStatus>> {
        images::image(&self.client, &image).await
    }

    async fn pull(&self, pod: PodRef, image: String, credentials: Vec<RegistryCredential>) -> Result<ImageStatus> {
        self.pulls.pull(&self.client, &pod, &image, &credentials).await
    }

    async fn images(&self) -> Result<Vec<ImageStatus>> {
        let mut images = images::all(&self.client).await?;
        // Without it no pod can begin: it is not for anybody to remove.
        let sandbox = Reference::parse(self.config.sandbox_image())?.full();
        let is_sandbox = |tag: &String| Reference::parse(tag).is_ok_and(|tag| tag.full() == sandbox);
        images.retain(|image| !image.tags.iter().any(is_sandbox));
        Ok(images)
    }

    async fn remove_image(&self, id: String) -> Result<()> {
        images::remove(&self.client, &id).await
    }

    async fn logs(&self, _pod: PodRef, options: LogOptions) -> Result<LogStream> {
        logs::logs(&self.client, &options).await
    }

    async fn exec(&self, _pod: PodRef, request: ExecRequest, input: SessionInput) -> Result<Session> {
        exec::exec(&self.client, request, input).await
    }

    async fn attach(&self, _pod: PodRef, id: String, input: SessionInput) -> Result<Session> {
        exec::attach(&self.client, &id, input).await
    }

    async fn port_forward(&self, pod: PodRef, port: u16, input: ByteStream) -> Result<Tunnel> {
        let unsupported = || Error::Unsupported("`sandboxForward` is not configured".to_owned());
        let command = self.config.forward(port).ok_or_else(unsupported)?;
        forward::connect(&self.client, &pod, command, input).await
    }

    async fn stats(&self) -> Result<Vec<PodStats>> {
        stats::all(&self.client).await
    }
}
