//! An engine in memory: makes what it is told, tells what becomes of it, writes down what was asked.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use pluglet_model::PodKey;
use pluglet_model::pod::RegistryCredential;
use pluglet_model::provider::{CommandOutput, Error, Health, LogRequest, LogStream, Provider, ProviderEvent};
use pluglet_model::runtime::*;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

use crate::containers::Tools;
use crate::containers::handle::Handle;
use crate::probes::{Check, Outcome, Runner};

#[derive(Default)]
struct State {
    journal: Vec<(u64, String)>,
    sandboxes: Vec<SandboxStatus>,
    containers: Vec<ContainerStatus>,
    listeners: Vec<Arc<Handle>>,
    refused_pulls: u32,
    hanging_pulls: bool,
    stubborn: bool,
    broken: bool,
}

pub(super) struct Engine {
    state: Mutex<State>,
    killed: Notify,
}

thread_local! {
    static ORIGIN: Instant = Instant::now();
}

/// The paused clock, as the engine's own.
fn clock() -> u64 {
    1_800_000_000_000_000_000 + ORIGIN.with(|origin| u64::try_from(origin.elapsed().as_nanos()).unwrap())
}

impl Engine {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), killed: Notify::new() })
    }

    pub(super) fn tools(self: &Arc<Self>, events: mpsc::Sender<ProviderEvent>, state: &Path) -> Tools {
        Tools {
            runtime: self.clone(),
            sessions: self.clone(),
            runner: self.clone(),
            reach: crate::probes::Reach::new(false),
            events,
            grants: pluglet_rules::grants::Grants { directories: true, ..Default::default() },
            images: None,
            state_dir: state.to_owned(),
            names: Default::default(),
            address: [10, 0, 0, 1].into(),
            clock,
        }
    }

    pub(super) fn listen(&self, handle: Arc<Handle>) {
        self.state.lock().unwrap().listeners.push(handle);
    }

    pub(super) fn journal(&self) -> Vec<String> {
        let state = self.state.lock().unwrap();
        state
            .journal
            .iter()
            .map(|(_, what)| what.clone())
            .filter(|what| what != "pull" && !what.starts_with("remove ") || what == "remove sandbox")
            .collect()
    }

    /// In seconds, when something was asked.
    pub(super) fn times(&self, what: &str) -> Vec<u64> {
        let state = self.state.lock().unwrap();
        state.journal.iter().filter(|(_, did)| did == what).map(|(at, _)| *at / 1_000_000_000).collect()
    }

    pub(super) fn attempts(&self, name: &str) -> Vec<u32> {
        let state = self.state.lock().unwrap();
        state.containers.iter().filter(|it| it.name == name).map(|it| it.attempt).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        let state = self.state.lock().unwrap();
        state.containers.is_empty() && state.sandboxes.is_empty()
    }

    pub(super) fn exit(&self, name: &str, code: i32) {
        let mut state = self.state.lock().unwrap();
        let running = state.containers.iter_mut().filter(|it| it.name == name && it.state == ContainerState::Running);
        let ids: Vec<String> = running.map(|it| ended(it, code)).collect();
        tell(&state, &ids);
    }

    pub(super) fn lose_sandbox(&self) {
        let mut state = self.state.lock().unwrap();
        let ids: Vec<String> = state
            .sandboxes
            .iter_mut()
            .map(|it| {
                it.ready = false;
                it.id.clone()
            })
            .collect();
        tell(&state, &ids);
    }

    pub(super) fn refuse_pulls(&self, count: u32) {
        self.state.lock().unwrap().refused_pulls = count;
    }

    pub(super) fn hang_pulls(&self) {
        self.state.lock().unwrap().hanging_pulls = true;
    }

    pub(super) fn fail_starts(&self) {
        self.state.lock().unwrap().broken = true;
    }

    pub(super) fn ignore_termination(&self) {
        self.state.lock().unwrap().stubborn = true;
    }

    fn note(&self, what: impl Into<String>) {
        self.state.lock().unwrap().journal.push((clock(), what.into()));
    }

    fn name(&self, id: &str) -> Option<String> {
        let state = self.state.lock().unwrap();
        state.containers.iter().find(|it| it.id == id).map(|it| it.name.clone())
    }
}

fn ended(container: &mut ContainerStatus, code: i32) -> String {
    container.state = ContainerState::Exited;
    container.exit_code = Some(code);
    container.finished_unix_ns = Some(clock());
    container.id.clone()
}

fn tell(state: &State, ids: &[String]) {
    for handle in &state.listeners {
        handle.order(|orders| orders.changed.extend(ids.iter().cloned()));
    }
}

#[async_trait]
impl Runtime for Engine {
    async fn create_sandbox(&self, config: &SandboxConfig) -> Result<SandboxStatus, Error> {
        self.note(format!("sandbox {}", config.attempt));
        let made = SandboxStatus {
            id: format!("sandbox-{}", config.attempt),
            attempt: config.attempt,
            ready: true,
            created_unix_ns: clock(),
            addresses: vec!["10.0.0.7".to_owned()],
        };
        self.state.lock().unwrap().sandboxes.push(made.clone());
        Ok(made)
    }

    async fn stop_sandbox(&self, _: &PodKey, id: &str) -> Result<(), Error> {
        self.note("stop sandbox");
        let mut state = self.state.lock().unwrap();
        state.sandboxes.iter_mut().filter(|it| it.id == id).for_each(|it| it.ready = false);
        Ok(())
    }

    async fn remove_sandbox(&self, _: &PodKey, id: &str) -> Result<(), Error> {
        self.note("remove sandbox");
        let mut state = self.state.lock().unwrap();
        state.sandboxes.retain(|it| it.id != id);
        state.containers.retain(|it| it.sandbox_id != id);
        Ok(())
    }

    async fn create_container(
        &self,
        sandbox: &str,
        _: &SandboxConfig,
        config: &ContainerConfig,
    ) -> Result<String, Error> {
        self.note(format!("create {} {}", config.name, config.attempt));
        let id = format!("{}-{}", config.name, config.attempt);
        let made = ContainerStatus {
            id: id.clone(),
            sandbox_id: sandbox.to_owned(),
            name: config.name.clone(),
            attempt: config.attempt,
            state: ContainerState::Created,
            image: config.image.clone(),
            image_id: config.image_id.clone(),
            created_unix_ns: clock(),
            started_unix_ns: None,
            finished_unix_ns: None,
            exit_code: None,
            reason: String::new(),
            message: String::new(),
            labels: config.labels.clone(),
        };
        self.state.lock().unwrap().containers.push(made);
        Ok(id)
    }

    async fn start_container(&self, _: &PodKey, id: &str) -> Result<ContainerStatus, Error> {
        let mut state = self.state.lock().unwrap();
        if state.broken {
            return Err(Error::Invalid("no such command".to_owned()));
        }
        let container = state.containers.iter_mut().find(|it| it.id == id).ok_or(Error::NotFound)?;
        container.state = ContainerState::Running;
        container.started_unix_ns = Some(clock());
        let status = container.clone();
        state.journal.push((clock(), format!("start {} {}", status.name, status.attempt)));
        Ok(status)
    }

    async fn stop_container(&self, _: &PodKey, id: &str, grace: Duration) -> Result<(), Error> {
        let name = self.name(id).ok_or(Error::NotFound)?;
        self.note(format!("stop {name} {}", grace.as_secs()));
        if self.state.lock().unwrap().stubborn {
            // The second call that is over sooner ends the first one too.
            tokio::select! {
                () = tokio::time::sleep(grace) => self.killed.notify_waiters(),
                () = self.killed.notified() => {}
            }
        }
        let mut state = self.state.lock().unwrap();
        let ids: Vec<String> = state
            .containers
            .iter_mut()
            .filter(|it| it.id == id && it.state == ContainerState::Running)
            .map(|it| ended(it, 143))
            .collect();
        tell(&state, &ids);
        Ok(())
    }

    async fn remove_container(&self, _: &PodKey, id: &str) -> Result<(), Error> {
        self.note(format!("remove {id}"));
        self.state.lock().unwrap().containers.retain(|it| it.id != id);
        Ok(())
    }

    async fn update_container(&self, _: &PodKey, _: &str, _: &Resources) -> Result<(), Error> {
        Ok(())
    }

    async fn container(&self, _: &PodKey, id: &str) -> Result<ContainerStatus, Error> {
        let state = self.state.lock().unwrap();
        state.containers.iter().find(|it| it.id == id).cloned().ok_or(Error::NotFound)
    }

    async fn pod(&self, key: &PodKey) -> Result<PodContents, Error> {
        let state = self.state.lock().unwrap();
        Ok(PodContents { key: key.clone(), sandboxes: state.sandboxes.clone(), containers: state.containers.clone() })
    }

    async fn pods(&self) -> Result<Vec<PodContents>, Error> {
        Ok(vec![])
    }

    async fn image(&self, _: &PodKey, image: &str) -> Result<Option<ImageStatus>, Error> {
        Ok(Some(found(image)))
    }

    async fn pull(&self, _: &PodKey, image: &str, _: &[RegistryCredential]) -> Result<ImageStatus, Error> {
        self.note("pull");
        if self.state.lock().unwrap().hanging_pulls {
            std::future::pending::<()>().await;
        }
        let mut state = self.state.lock().unwrap();
        if state.refused_pulls > 0 {
            state.refused_pulls -= 1;
            return Err(Error::Denied("no".to_owned()));
        }
        Ok(found(image))
    }

    async fn images(&self) -> Result<Vec<ImageStatus>, Error> {
        Ok(vec![])
    }

    async fn remove_image(&self, _: &str) -> Result<(), Error> {
        Ok(())
    }
}

fn found(image: &str) -> ImageStatus {
    ImageStatus {
        id: "sha256:1".to_owned(),
        tags: vec![image.to_owned()],
        digests: vec![],
        size: 1,
        user: String::new(),
    }
}

#[async_trait]
impl Provider for Engine {
    fn health(&self) -> watch::Receiver<Health> {
        watch::channel(Health::default()).1
    }
    async fn create(&self, _: &pluglet_model::PodPlan) -> Result<k8s_openapi::api::core::v1::PodStatus, Error> {
        Err(Error::NotFound)
    }
    async fn update(&self, _: &pluglet_model::PodPlan) -> Result<k8s_openapi::api::core::v1::PodStatus, Error> {
        Err(Error::NotFound)
    }
    async fn delete(&self, _: &PodKey, _: Duration) -> Result<(), Error> {
        Err(Error::NotFound)
    }
    async fn status(&self, _: &PodKey) -> Result<k8s_openapi::api::core::v1::PodStatus, Error> {
        Err(Error::NotFound)
    }
    async fn list(&self) -> Result<Vec<(PodKey, k8s_openapi::api::core::v1::PodStatus)>, Error> {
        Ok(vec![])
    }
    async fn run(&self, _: &PodKey, _: &str, command: &[String]) -> Result<CommandOutput, Error> {
        let exit_code = i32::from(command.first().is_some_and(|word| word == "false"));
        Ok(CommandOutput { exit_code, output: bytes::Bytes::new() })
    }
    async fn logs(&self, _: &PodKey, _: LogRequest) -> Result<LogStream, Error> {
        Err(Error::NotFound)
    }
    async fn stop(&self, _: Duration) {}
}

#[async_trait]
impl Runner for Engine {
    async fn check(&self, _: &PodKey, _: &str, _: &Check, _: Option<std::net::IpAddr>, _: Duration) -> Outcome {
        Outcome::Success
    }
}
