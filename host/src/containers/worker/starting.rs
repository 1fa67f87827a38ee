//! Starts a container: image, files, create, start, `postStart`.
//!
//! In: its name. Out: a new run of it, or why it waits. Invariant: the reasons and events are a kubelet's (`startContainer`), each told once for each try.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Container;
use pluglet_model::PodPlan;
use pluglet_model::provider::{Error, Retry};
use pluglet_model::runtime::{ContainerState, ContainerStatus, ImageStatus};
use pluglet_rules::lifecycle::{Kind, back_off};
use pluglet_rules::runtime::container::{self, Input, Kept as _};
use pluglet_rules::runtime::{find, hosts, sandbox, status};
use tokio::time::Instant;

use super::images::{NoImage, waiting};
use super::{Again, Files, Worker};
use crate::containers::mounts;

/// How soon a container that could not be made is tried again: the kubelet's own pace of looking at a pod that has a problem.
const RETRY: Duration = Duration::from_secs(10);

impl Worker {
    pub(super) async fn start(&mut self, plan: &Arc<PodPlan>, name: &str) -> Result<Again, Error> {
        let Some((kind, container)) = plan.pod.spec.as_ref().and_then(|spec| find(spec, name)) else {
            return Ok(Again::Never);
        };
        let before = status::newest_first(&self.contents).into_iter().find(|attempt| attempt.name == name).cloned();
        if let Some(made) = before.as_ref().filter(|before| self.is_to_begin(before)) {
            return self.begin(&container, made.id.clone()).await;
        }
        let pause = before.as_ref().map(pause_after);
        if let (Some(before), Some(pause)) = (&before, pause)
            && let Some(until) = not_before(before, pause, (self.tools.clock)())
        {
            self.wait_for_back_off(&container, before, pause).await;
            return Ok(Again::At(until));
        }
        let image = match self.image(&container).await {
            Ok(image) => image,
            Err(NoImage::Waits(why, again)) => {
                self.notes.waiting.insert(name.to_owned(), why);
                return Ok(again);
            }
            Err(NoImage::Engine(error)) => return Err(error),
            Err(NoImage::Deleted) => return Ok(Again::Now),
        };
        let counted = self.counts.get(name).copied().unwrap_or(0);
        let attempt = before.as_ref().map_or(0, |before| before.attempt.saturating_add(1)).max(counted);
        let run = Run { plan, kind, container: &container, image: &image, attempt, pause };
        self.make(run).await
    }

    async fn wait_for_back_off(&mut self, container: &Container, before: &ContainerStatus, pause: Duration) {
        let (name, key) = (&container.name, &self.handle.key);
        let message = format!(
            "back-off {} restarting failed container={name} pod={}_{}({})",
            go_duration(pause),
            key.name,
            key.namespace,
            key.uid
        );
        if self.told_back_off.insert((name.clone(), before.attempt)) {
            let (name, text) = (
                name.clone(),
                format!(
                    "Back-off restarting failed container {name} in pod {}_{}({})",
                    key.name, key.namespace, key.uid
                ),
            );
            self.record(Some(&name), true, "BackOff", text).await;
        }
        self.notes.waiting.insert(container.name.clone(), waiting("CrashLoopBackOff", message));
    }

    async fn make(&mut self, run: Run<'_>) -> Result<Again, Error> {
        let name = &run.container.name;
        let Some(sandbox) = self.contents.sandboxes.iter().max_by_key(|sandbox| sandbox.attempt).cloned() else {
            return Ok(Again::Now);
        };
        let addresses = self.addresses();
        let files = self.files(run.plan).await;
        let target = self.target(&run);
        let config = files.and_then(|files| self.config(&run, files.as_deref(), &addresses, target.as_deref()));
        let config = match config {
            Ok(config) => config,
            Err(why) => return Ok(self.could_not(name, "CreateContainerConfigError", why).await),
        };
        let shared = sandbox::config(&self.handle.key, &run.plan.pod, sandbox.attempt, &self.tools.names);
        let id = match self.tools.runtime.create_container(&sandbox.id, &shared, &config).await {
            Ok(id) => id,
            Err(error) if is_engines(&error) => return Err(error),
            Err(error) => return Ok(self.could_not(name, "CreateContainerError", error.to_string()).await),
        };
        self.record(Some(name), false, "Created", "Container created").await;
        self.begin(run.container, id).await
    }

    /// Whether it was made and nobody has tried to start it yet: an earlier process has ended in between. It is not another run.
    fn is_to_begin(&self, made: &ContainerStatus) -> bool {
        let present = self.contents.sandboxes.iter().max_by_key(|sandbox| sandbox.attempt);
        let here = present.is_some_and(|sandbox| sandbox.id == made.sandbox_id);
        made.state == ContainerState::Created && here && !self.tried.contains_key(&made.id)
    }

    async fn begin(&mut self, container: &Container, id: String) -> Result<Again, Error> {
        let name = &container.name;
        match self.tools.runtime.start_container(&self.handle.key, &id).await {
            Ok(status) => self.saw_container(status),
            Err(error) if is_engines(&error) => return Err(error),
            Err(error) => {
                self.tried.insert(id.clone(), error.to_string());
                // How it is, the engine knows: made, or ended.
                self.changed.insert(id);
                self.could_not(name, "RunContainerError", error.to_string()).await;
                return Ok(Again::Now);
            }
        }
        self.notes.waiting.remove(name);
        self.record(Some(name), false, "Started", "Container started").await;
        self.post_start(container, &id).await
    }

    async fn post_start(&mut self, container: &Container, id: &str) -> Result<Again, Error> {
        let handler = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.post_start.as_ref());
        let Some(handler) = handler else { return Ok(Again::Now) };
        let hook = self.hook(handler, container, id);
        // It runs, which others may see while the hook does its work.
        self.tell().await;
        let (handle, tools) = (self.handle.clone(), self.tools.clone());
        let outcome = tokio::select! {
            // The hook's command goes on for as long as its container does.
            () = handle.deleted() => return Ok(Again::Now),
            // Not given up for anything else.
            outcome = hook.run(&tools, &handle.key) => outcome,
        };
        if let Err(why) = outcome {
            // Not the message: it may hold secrets, and events have more readers.
            self.record(Some(&container.name), true, "FailedPostStartHook", "PostStartHook failed").await;
            let by = Instant::now() + self.grace();
            self.stop_container(&container.name, id, by).await?;
            self.changed.insert(id.to_owned());
            self.notes.waiting.insert(container.name.clone(), waiting("PostStartHookError", why));
        }
        Ok(Again::Now)
    }

    /// The container waits with a reason, and is tried again.
    async fn could_not(&mut self, name: &str, reason: &'static str, why: String) -> Again {
        self.record(Some(name), true, "Failed", format!("Error: {why}")).await;
        self.notes.waiting.insert(name.to_owned(), waiting(reason, why));
        Again::At(Instant::now() + RETRY)
    }

    fn config(
        &self,
        run: &Run<'_>,
        files: Option<&Files>,
        addresses: &[String],
        target: Option<&str>,
    ) -> Result<pluglet_model::runtime::ContainerConfig, String> {
        let pod = &run.plan.pod;
        let spec = pod.spec.as_ref().ok_or("the pod has no spec")?;
        let refused = self.tools.grants.refusals_of(spec, run.container);
        if !refused.is_empty() {
            return Err(refused.join("; "));
        }
        let mounts = match files {
            Some(files) => {
                let hosts = self.write_hosts(run.plan, files, addresses).map_err(|error| error.to_string())?;
                mounts::of(spec, run.container, run.attempt, files, &self.tools.grants, Some(&hosts))
                    .map_err(|error| pluglet_model::chain(&error))?
            }
            None => without_files(run.container)?,
        };
        let input = Input {
            pod,
            kind: run.kind,
            container: run.container,
            attempt: run.attempt,
            image: run.image,
            addresses,
            mounts: &mounts,
            pause: run.pause,
            target,
            node_memory: self.tools.node_memory(),
        };
        container::config(&input).map_err(|refusal| refusal.to_string())
    }

    fn write_hosts(&self, plan: &PodPlan, files: &Files, addresses: &[String]) -> std::io::Result<std::path::PathBuf> {
        let nothing = k8s_openapi::api::core::v1::PodSpec::default();
        let spec = plan.pod.spec.as_ref().unwrap_or(&nothing);
        let aliases = spec.host_aliases.as_deref().unwrap_or_default();
        if spec.host_network == Some(true) {
            return files.hosts(&hosts::file_of_host(&std::fs::read_to_string("/etc/hosts")?, aliases));
        }
        let (host, domain) = sandbox::host_and_domain(&plan.key, spec, &self.tools.names);
        files.hosts(&hosts::file(addresses, &host, &domain, aliases))
    }

    /// Whose processes an ephemeral container sees.
    fn target(&self, run: &Run<'_>) -> Option<String> {
        let spec = run.plan.pod.spec.as_ref()?;
        let mut ephemeral = spec.ephemeral_containers.iter().flatten();
        let named = ephemeral.find(|it| it.name == run.container.name)?.target_container_name.as_deref()?;
        let attempts = status::newest_first(&self.contents);
        attempts.into_iter().find(|attempt| attempt.name == named).map(|attempt| attempt.id.clone())
    }
}

/// A run that is to begin.
#[derive(Clone, Copy)]
struct Run<'a> {
    plan: &'a Arc<PodPlan>,
    kind: Kind,
    container: &'a Container,
    image: &'a ImageStatus,
    attempt: u32,
    pause: Option<Duration>,
}

/// An engine that shares no directories gets no files yet.
fn without_files(container: &Container) -> Result<Vec<pluglet_model::runtime::Mount>, String> {
    let mounts = container.volume_mounts.iter().flatten();
    // The token that every pod has, and nearly none reads.
    let mut wanted = mounts.filter(|mount| !mount.name.starts_with("kube-api-access-"));
    match wanted.next() {
        None => Ok(vec![]),
        Some(mount) => Err(format!(
            "volume {} cannot be mounted: this node has no directories for volumes (containers.volumes: directory in pluglet.yaml)",
            mount.name
        )),
    }
}

/// Nobody's fault, or the engine's: not told as the container's.
fn is_engines(error: &Error) -> bool {
    error.retry() == Retry::Soon
}

/// How long to wait between an end and the next beginning.
fn pause_after(before: &ContainerStatus) -> Duration {
    let ran = match (before.started_unix_ns, before.finished_unix_ns) {
        (Some(started), Some(finished)) => Duration::from_nanos(finished.saturating_sub(started)),
        _ => Duration::ZERO,
    };
    back_off::pause(before.pause(), ran)
}

/// The moment before which it may not begin, if that is still to come.
fn not_before(before: &ContainerStatus, pause: Duration, now: u64) -> Option<Instant> {
    // One that could not be started has no end: then its making counts.
    let ended = match before.state {
        ContainerState::Exited => before.finished_unix_ns.unwrap_or(before.created_unix_ns),
        ContainerState::Created => before.created_unix_ns,
        ContainerState::Running | ContainerState::Unknown => return None,
    };
    // A clock that is ahead must not make it wait for ever.
    let passed = Duration::from_nanos(now.saturating_sub(ended));
    let left = pause.saturating_sub(passed);
    (!left.is_zero()).then(|| Instant::now() + left)
}

/// As Go writes them: `10s`, `1m20s`, `5m0s`.
fn go_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds < 60 { format!("{seconds}s") } else { format!("{}m{}s", seconds / 60, seconds % 60) }
}
