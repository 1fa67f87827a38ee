//! The provider lane of an actor: one call, made into a future that owns all it needs.
//!
//! In: a [`Call`], the pod, its [`Material`]. Out: an [`Answer`], which gives the material back. Invariant: the future borrows nothing from
//! the actor.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use pluglet_model::PodKey;
use pluglet_model::provider::Error;

use super::Shared;
use super::material::{Material, Unresolved, generation};

/// What to ask of the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// The present status.
    Poll,
    /// New files.
    Refresh,
    /// A container that failed a probe.
    Restart {
        container: String,
        grace: Duration,
    },
    Update,
    Create,
    /// Seconds of grace.
    Delete(u32),
}

impl Call {
    /// How urgent it is: where two wait for one that is under way, the more urgent one counts, and of two that are alike the later.
    pub(super) fn urgency(&self) -> u8 {
        match self {
            Self::Poll => 0,
            Self::Refresh => 1,
            Self::Restart { .. } => 2,
            Self::Update => 3,
            Self::Create => 4,
            Self::Delete(_) => 5,
        }
    }
}

/// How a create or update ended.
pub(super) enum Trouble {
    /// It was not made.
    Unresolved(Unresolved),
    Provider(Error),
}

/// How a provider call ended. The number is the report that was the newest when the call began.
pub(super) enum Answer {
    Created(Result<PodStatus, Trouble>, u64, Box<Material>),
    Updated(Result<PodStatus, Trouble>, u64, Box<Material>),
    /// How handing over went, and why a volume could not be made.
    Refreshed(Result<(), Error>, Option<Unresolved>, Box<Material>),
    Restarted(String, Result<(), Error>),
    Deleted(Result<(), Error>),
    Polled(Result<PodStatus, Error>),
}

/// A call about one pod.
pub(super) struct Lane {
    pub shared: Arc<Shared>,
    pub key: PodKey,
    pub pod: Arc<Pod>,
    /// The report that is the newest.
    pub newest_report: u64,
}

impl Lane {
    /// Makes the call. `material` is taken by those calls that need it.
    pub(super) fn call(self, call: Call, material: &mut Box<Material>) -> BoxFuture<'static, Answer> {
        match call {
            Call::Create => self.create(std::mem::take(material)).boxed(),
            Call::Update => self.update(std::mem::take(material)).boxed(),
            Call::Refresh => self.refresh(std::mem::take(material)).boxed(),
            Call::Restart { container, grace } => async move {
                let outcome = self.shared.provider.restart_container(&self.key, &container, grace).await;
                Answer::Restarted(container, outcome)
            }
            .boxed(),
            Call::Delete(grace) => async move {
                Answer::Deleted(self.shared.provider.delete(&self.key, Duration::from_secs(grace.into())).await)
            }
            .boxed(),
            Call::Poll => async move { Answer::Polled(self.shared.provider.status(&self.key).await) }.boxed(),
        }
    }

    /// Gives the provider the pod with nothing left to look up: as a new one, or as a change of one that is `running`.
    async fn hand_over(&self, material: &mut Material, running: bool) -> Result<PodStatus, Trouble> {
        let plan = material.plan(&self.shared, &self.key, &self.pod, running).await.map_err(Trouble::Unresolved)?;
        let provider = &self.shared.provider;
        let outcome = if running { provider.update(&plan).await } else { provider.create(&plan).await };
        let status = outcome.map_err(Trouble::Provider)?;
        material.gave(&plan.volumes);
        Ok(status)
    }

    async fn create(self, mut material: Box<Material>) -> Answer {
        let outcome = self.hand_over(&mut material, false).await;
        Answer::Created(outcome, self.newest_report, material)
    }

    async fn update(self, mut material: Box<Material>) -> Answer {
        let outcome = self.hand_over(&mut material, true).await;
        Answer::Updated(outcome, self.newest_report, material)
    }

    async fn refresh(self, mut material: Box<Material>) -> Answer {
        let (volumes, unresolved) = material.changed(&self.shared, &self.key, &self.pod).await;
        let mut outcome = Ok(());
        if !volumes.is_empty() {
            outcome = self.shared.provider.volumes_changed(&self.key, generation(&self.pod), &volumes).await;
            if outcome.is_ok() {
                material.gave(&volumes);
            }
        }
        Answer::Refreshed(outcome, unresolved, material)
    }
}
