//! The life of a pod on this node, as one state machine.
//!
//! In: [`Event`]s (what the API server wants, what the provider answers and reports, timers). Out: the next [`State`] and the
//! [`Action`]s to run. Invariant: pure. No clock, no I/O; the same machine and event always give the same answer.
//!
//! ```text
//!            ┌─────────┐  ask   ┌──────────┐ accepted ┌─────────┐ all containers ended ┌───────┐
//!  bound ───►│ Pending ├───────►│ Creating ├─────────►│ Running ├─────────────────────►│ Ended │
//!            └─▲────┬──┘        └──┬────┬──┘          └─▲─┬──┬──┘                      └──┬─▲──┘
//!              │    │  try again   │    │ never          │ │  │ lost, may not restart     │ │
//!              │    │◄─────────────┘    └────────────────┼─┼──┼───────────────────────────┼─┘
//!              │    │                           Updating◄─┘ │  └───────────────────────────┤
//!              └────┼────────── lost, may restart ──────────┤                              │
//!                   │ deletion, deadline, object gone       │          had run past its    │
//!                   ▼                                       ▼          deadline ▲          ▼
//!            ┌──────────────────────────────────────────────────────────────────┴───────────┐
//!            │ Stopping: the provider was told to delete; wait until it has stopped         │
//!            └──────────────────────┬─────────────────────────────────┬─────────────────────┘
//!                     object there  ▼                  object is gone ▼
//!                     ┌───────────┐ status written ┌──────────┐   ┌──────┐
//!                     │ Finishing ├───────────────►│ Removing ├──►│ Gone │
//!                     └───────────┘                └──────────┘   └──────┘
//! ```
//!
//! A pod that cannot be resolved goes back from Creating to Pending and waits there: its create call was never made. One that was not
//! admitted is Ended from the start.
//!
//! The deletion handshake (Kubernetes' own order): stop everything, write the terminal status, then delete the object with grace 0
//! and the UID as precondition. Job controllers count on the status being there first.

mod machine;

use std::borrow::Cow;
use std::time::Duration;

use pluglet_model::provider::Error;

pub(in crate::pods) use machine::{FIRST_RETRY, LONGEST_RETRY, exponential};

/// Where a pod is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// The provider is to be asked to create it, now or when the retry timer fires.
    Pending,
    /// A create call is under way.
    Creating,
    /// The provider answers for it.
    Running,
    /// The provider answers for it and an update call is under way.
    Updating,
    /// It has come to its end, or can never start. The object stays until somebody deletes it.
    Ended,
    /// The provider was told to delete it and has not yet stopped it.
    Stopping,
    /// Stopped. The terminal status is being written.
    Finishing,
    /// The object is being deleted, or waits for finalizers of others.
    Removing,
    /// Over. The actor ends.
    Gone,
}

/// What the API server wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// The pod shall run.
    Run,
    /// It was deleted with this grace period, in seconds.
    Stop(u32),
    /// The object does not exist any more.
    Vanished,
}

/// What happened.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// The API server's wish changed.
    Wished(Wish),
    /// The spec, labels or annotations differ from what the provider was last given.
    Changed,
    /// The retry or poll timer fired.
    Due,
    /// The create call ended. `Ok(true)`: the containers have ended already.
    Created(Result<bool, Error>),
    /// The create or update call was not made, because something that the pod names is not known yet.
    Loading,
    /// Likewise, because something that it names is missing. The actor says when that changes.
    Unresolved(Failure),
    /// Likewise, and nobody will say when it has changed: try again.
    Unreachable(Failure),
    /// The pod was not admitted to this node.
    Rejected(Failure),
    /// It has run for as long as it may: stop it and make it Failed.
    Expired(Failure),
    /// The update call ended.
    Updated(Result<bool, Error>),
    /// The delete call ended.
    Deleted(Result<(), Error>),
    /// The provider told a status. True: all containers have ended.
    Reported(bool),
    /// The provider does not know the pod.
    Lost,
    /// The provider was started again after it was told to stop the pod, and the pod runs on: it may have forgotten. Seconds of grace that
    /// are left.
    Forgotten(u32),
    /// The status that the API server holds is the one we want it to hold.
    Written,
    /// The API server has taken our delete (or never had the object).
    Removed,
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    /// Call the provider.
    Create,
    /// Call the provider.
    Update,
    /// Call the provider; seconds of grace.
    Delete(u32),
    /// Ask the provider for the status of this pod.
    Poll,
    /// Send [`Event::Due`] after this time; replaces an earlier one.
    Wake(Duration),
    /// The pod can never run again: make its phase Failed.
    Fail(Failure),
    /// Remember why it does not run yet, for its status.
    Hold(Failure),
    /// It runs: forget what was held.
    Clear,
    /// Record an event on the pod.
    Record(Failure),
    /// Delete the object with grace 0 and the UID as precondition.
    Remove,
}

/// Why a pod does not run, in Kubernetes' words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// UpperCamelCase.
    pub reason: Cow<'static, str>,
    /// For people.
    pub message: String,
    /// Which containers wait for it.
    pub place: Place,
}

/// Where a failure shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Every container waits, with the failure's reason.
    Pod,
    /// Every container waits, with the kubelet's ContainerCreating: the failure's own reason is that of the event.
    Volumes,
    /// This container waits.
    Container(String),
}

impl Failure {
    /// One of the whole pod.
    pub(crate) fn of_pod(reason: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { reason: reason.into(), message: message.into(), place: Place::Pod }
    }
}

/// One pod's machine: the state and what it must remember to decide.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    /// Where it is.
    pub state: State,
    /// What the API server last wanted.
    pub wish: Wish,
    /// Failed attempts in a row at what it is doing.
    attempts: u32,
    /// A create call was ever made, so the provider may know the pod even if it said no.
    asked: bool,
    /// The grace period that the provider was last given.
    told_grace: Option<u32>,
    /// An update is owed.
    stale: bool,
    /// Why the host ends the pod, although nobody deleted it.
    verdict: Option<Failure>,
    policy: Policy,
}

/// What the machine must know of pod and provider; both do not change during a pod's life.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// `restartPolicy` is not Never: a pod that the provider lost may be created again.
    pub may_restart: bool,
    /// The provider reports by itself.
    pub watches: bool,
    /// The provider takes updates.
    pub updates: bool,
    /// `terminationGracePeriodSeconds`, for an end that is not a deletion.
    pub grace: u32,
}

#[cfg(test)]
mod tests;
