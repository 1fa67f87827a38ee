//! One step: what [`pluglet_rules::lifecycle`] says is next.
//!
//! In: the pod, how it is. Out: calls of the runtime. Invariant: after each thing that was done the decision is made anew, so a step that is broken off in the middle is as
//! good as none.

use std::sync::Arc;
use std::time::Duration;

use pluglet_model::PodPlan;
use pluglet_model::provider::Error;
use pluglet_model::runtime::ContainerState;
use pluglet_rules::lifecycle::{self, Next, Stop, Why};
use pluglet_rules::runtime::{sandbox, status};
use tokio::time::Instant;

use super::{Again, Files, Worker};
use crate::containers::files::Owner;
use crate::containers::mounts;

impl Worker {
    /// Looks, and does what follows.
    pub(super) async fn step(&mut self) -> Result<Again, Error> {
        self.look().await?;
        // Before the pod is known nothing can be decided about it.
        let Some(plan) = self.plan.clone() else { return Ok(Again::Never) };
        self.refresh_files(&plan).await;
        let next = lifecycle::next(&plan.pod, &status::seen(&self.contents), &self.verdicts);
        Box::pin(self.perform(&plan, next)).await
    }

    /// Files that the plan has changed, such as labels; before the pod has a sandbox they are made with it.
    async fn refresh_files(&mut self, plan: &Arc<PodPlan>) {
        if self.contents.sandboxes.is_empty() {
            return;
        }
        if let Err(problem) = self.files(plan).await {
            let message = format!("the pod's volumes cannot be refreshed: {problem}");
            self.record(None, true, "FailedMount", message).await;
        }
    }

    async fn perform(&mut self, plan: &Arc<PodPlan>, next: Next) -> Result<Again, Error> {
        if next.stop_pod && self.anything_runs() {
            self.stop_all(Instant::now() + self.grace()).await?;
            return Ok(Again::Now);
        }
        if let Some(attempt) = next.sandbox {
            return self.make_sandbox(plan, attempt).await;
        }
        for id in &next.reset {
            self.reset(id).await?;
        }
        if !next.reset.is_empty() {
            return Ok(Again::Now);
        }
        for stop in &next.stop {
            self.stop_one(stop).await?;
        }
        if !next.stop.is_empty() {
            return Ok(Again::Now);
        }
        let mut again = Again::Never;
        for start in &next.start {
            if self.handle.delete_by().is_some() {
                return Ok(Again::Now);
            }
            again = again.sooner(self.start(plan, &start.container).await?);
        }
        self.forget_old_runs(plan).await?;
        Ok(again)
    }

    fn anything_runs(&self) -> bool {
        let runs = |state| matches!(state, ContainerState::Running | ContainerState::Unknown);
        self.contents.containers.iter().any(|container| runs(container.state))
            || self.contents.sandboxes.iter().any(|sandbox| sandbox.ready)
    }

    /// How long the pod's containers have to stop.
    pub(super) fn grace(&self) -> Duration {
        let spec = self.pod().and_then(|pod| pod.spec.as_ref());
        let seconds = spec.and_then(|spec| spec.termination_grace_period_seconds).unwrap_or(30);
        Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
    }

    async fn make_sandbox(&mut self, plan: &Arc<PodPlan>, attempt: u32) -> Result<Again, Error> {
        if let Err(problem) = self.files(plan).await {
            let message = format!("the pod's volumes cannot be made: {problem}");
            self.record(None, true, "FailedMount", message.clone()).await;
            return Err(Error::Internal(message));
        }
        if attempt > 0 {
            let message = "Pod sandbox changed, it will be killed and re-created.";
            self.record(None, false, "SandboxChanged", message).await;
        }
        let config = sandbox::config(&self.handle.key, &plan.pod, attempt, &self.tools.names);
        match self.tools.runtime.create_sandbox(&config).await {
            Ok(made) => {
                self.contents.sandboxes.retain(|sandbox| sandbox.id != made.id);
                self.contents.sandboxes.push(made);
                Ok(Again::Now)
            }
            Err(error @ Error::Restarting(_)) => Err(error),
            Err(error) => {
                let message = format!("Failed to create pod sandbox: {error}");
                self.record(None, true, "FailedCreatePodSandBox", message).await;
                self.known = false;
                Err(error)
            }
        }
    }

    /// The pod's files, written as its plan says.
    pub(super) async fn files(&mut self, plan: &Arc<PodPlan>) -> Result<Option<Arc<Files>>, String> {
        if !self.tools.grants.directories {
            return Ok(None);
        }
        if let Some((_, files)) = self.files.as_ref().filter(|(written, _)| Arc::ptr_eq(written, plan)) {
            return Ok(Some(files.clone()));
        }
        let (state, uid, of) = (self.tools.state_dir.clone(), self.handle.key.uid.clone(), plan.clone());
        let write = move || write(&Files::open(&state, &uid)?, &of).and_then(|()| Files::open(&state, &uid));
        let written = tokio::task::spawn_blocking(write).await.map_err(|error| error.to_string())?;
        let files = Arc::new(written.map_err(|error| error.to_string())?);
        self.files = Some((plan.clone(), files.clone()));
        Ok(Some(files))
    }

    async fn reset(&mut self, id: &str) -> Result<(), Error> {
        // Killed if it runs, without grace: a rule has said that the pod begins anew (KEP-5532).
        done(self.tools.runtime.remove_container(&self.handle.key, id).await)?;
        if let Some(removed) = self.contents.containers.iter().find(|container| container.id == id) {
            let next = self.counts.entry(removed.name.clone()).or_default();
            *next = (*next).max(removed.attempt.saturating_add(1));
        }
        self.contents.containers.retain(|container| container.id != id);
        Ok(())
    }

    async fn stop_one(&mut self, stop: &Stop) -> Result<(), Error> {
        if stop.why == Why::Changed {
            let message = format!("Container {} definition changed, will be restarted", stop.container);
            self.record(Some(&stop.container), false, "Killing", message).await;
        }
        let grace = self.graces.get(&stop.attempt).copied().unwrap_or_else(|| self.grace());
        self.stop_container(&stop.container, &stop.attempt, Instant::now() + grace).await?;
        self.changed.insert(stop.attempt.clone());
        Ok(())
    }

    /// Of each container its present run and the one before it are kept, for their logs.
    async fn forget_old_runs(&mut self, plan: &Arc<PodPlan>) -> Result<(), Error> {
        let mut seen: std::collections::BTreeMap<&str, u32> = std::collections::BTreeMap::new();
        let mut old = vec![];
        for attempt in status::newest_first(&self.contents) {
            let count = seen.entry(&attempt.name).or_default();
            *count += 1;
            if *count > 2 && attempt.state != ContainerState::Running {
                old.push(attempt.id.clone());
            }
        }
        for id in old {
            done(self.tools.runtime.remove_container(&plan.key, &id).await)?;
            self.contents.containers.retain(|container| container.id != id);
        }
        self.forget_old_sandboxes(plan).await
    }

    /// Those that a newer one has replaced, once no container of theirs is kept.
    async fn forget_old_sandboxes(&mut self, plan: &Arc<PodPlan>) -> Result<(), Error> {
        let newest = self.contents.sandboxes.iter().map(|sandbox| sandbox.attempt).max();
        let in_use = |id: &str| self.contents.containers.iter().any(|container| container.sandbox_id == id);
        let old =
            self.contents.sandboxes.iter().filter(|sandbox| Some(sandbox.attempt) != newest && !in_use(&sandbox.id));
        let old: Vec<String> = old.map(|sandbox| sandbox.id.clone()).collect();
        for id in old {
            done(self.tools.runtime.remove_sandbox(&plan.key, &id).await)?;
            self.contents.sandboxes.retain(|sandbox| sandbox.id != id);
        }
        Ok(())
    }
}

/// What is gone already is done.
pub(super) fn done(outcome: Result<(), Error>) -> Result<(), Error> {
    match outcome {
        Err(Error::NotFound) => Ok(()),
        outcome => outcome,
    }
}

/// Writes all volumes of a plan.
fn write(files: &Files, plan: &PodPlan) -> std::io::Result<()> {
    let Some(spec) = &plan.pod.spec else { return Ok(()) };
    let owner = owner(spec);
    for volume in spec.volumes.iter().flatten() {
        let in_memory = sandbox::is_in_memory(volume);
        if volume.empty_dir.is_some() && !in_memory {
            files.empty_dir(&volume.name, owner.group)?;
        }
        if mounts::made_by_host(volume) {
            let made = plan.volumes.iter().find(|made| made.name == volume.name);
            let empty = pluglet_model::pod::Volume { name: volume.name.clone(), files: vec![] };
            files.write(made.unwrap_or(&empty), owner)?;
        }
    }
    Ok(())
}

/// Whose a pod's files are.
fn owner(spec: &k8s_openapi::api::core::v1::PodSpec) -> Owner {
    let context = spec.security_context.as_ref();
    let of_pod = context.and_then(|context| context.run_as_user);
    let users = spec
        .containers
        .iter()
        .chain(spec.init_containers.iter().flatten())
        .map(|container| container.security_context.as_ref().and_then(|own| own.run_as_user).or(of_pod));
    let users: std::collections::BTreeSet<Option<i64>> = users.collect();
    let one = (users.len() == 1).then(|| users.first().copied().flatten()).flatten();
    Owner {
        user: one.and_then(|user| u32::try_from(user).ok()),
        group: context.and_then(|context| context.fs_group).and_then(|group| u32::try_from(group).ok()),
    }
}
