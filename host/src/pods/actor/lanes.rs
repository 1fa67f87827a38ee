//! The provider lane of an actor: one call, made into a future that owns all it needs.
//!
//! In: an [`Action`] and the pod. Out: an [`Answer`]. Invariant: the future borrows nothing from the actor.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use pluglet_model::PodKey;
use pluglet_model::provider::{Error, Provider};

use crate::pods::state::Action;
use crate::resolve;

/// How a provider call ended. The number is the report that was the newest when the call began.
pub(super) enum Answer {
    Created(Result<PodStatus, Error>, u64),
    Updated(Result<PodStatus, Error>, u64),
    Deleted(Result<(), Error>),
    Polled(Result<PodStatus, Error>),
}

/// The call for an action. Actions that are no provider call ask for the status.
pub(super) fn call(
    provider: &Arc<dyn Provider>,
    key: &PodKey,
    pod: &Arc<Pod>,
    action: &Action,
    newest_report: u64,
) -> BoxFuture<'static, Answer> {
    let (provider, key, pod) = (provider.clone(), key.clone(), pod.clone());
    match *action {
        Action::Create => {
            async move { Answer::Created(provider.create(&resolve::plan(key, pod)).await, newest_report) }.boxed()
        }
        Action::Update => {
            async move { Answer::Updated(provider.update(&resolve::plan(key, pod)).await, newest_report) }.boxed()
        }
        Action::Delete(grace) => {
            async move { Answer::Deleted(provider.delete(&key, Duration::from_secs(grace.into())).await) }.boxed()
        }
        _ => async move { Answer::Polled(provider.status(&key).await) }.boxed(),
    }
}
