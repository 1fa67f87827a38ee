//! The door of one incarnation.
//!
//! In: jobs. Out: answers, or how the incarnation ended. Invariant: every caller learns of the end, whether its job was inside, in
//! the queue or still outside, and never before the end has been put down with its strikes.

use std::collections::HashMap;
use std::sync::Arc;

use pluglet_model::provider::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::adapt;
use crate::bindings::pluglet::provider::types;
use crate::call::{Job, Kind, Permit, Reply, Request};
use crate::strikes::CULPRIT_STRIKES;

/// How an incarnation ended.
#[derive(Debug)]
pub(crate) struct End {
    /// For people.
    pub(crate) message: String,
    /// Strikes of those pods that were in flight at a crash; empty after an orderly stop.
    pub(crate) strikes: HashMap<Arc<str>, u32>,
}

impl End {
    /// What that means for a call that was lost with it.
    pub(crate) fn verdict(&self, uid: Option<&Arc<str>>) -> Error {
        let message = self.message.clone();
        match uid.and_then(|uid| self.strikes.get(uid)) {
            Some(&strikes) if strikes >= CULPRIT_STRIKES => Error::Crashed { strikes, message },
            _ => Error::Restarting(message),
        }
    }
}

/// Why a call has no answer.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The provider answered with an error.
    Guest(types::Error),
    /// It did not answer in time.
    Timeout,
    /// The incarnation ended.
    Ended(Arc<End>),
}

impl Fault {
    /// In the model's words.
    pub(crate) fn into_error(self, kind: Kind, uid: Option<&Arc<str>>) -> Error {
        match self {
            Self::Guest(error) => adapt::error(error),
            Self::Timeout => Error::Timeout { call: kind.name, after: kind.deadline },
            Self::Ended(end) => end.verdict(uid),
        }
    }
}

/// The door. Clones lead to the same incarnation.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    jobs: mpsc::Sender<Job>,
    end: watch::Receiver<Option<Arc<End>>>,
}

impl Gate {
    /// A door to an incarnation that takes from the other end of `jobs` and whose end will be told through `end`.
    pub(crate) fn new(jobs: mpsc::Sender<Job>, end: watch::Receiver<Option<Arc<End>>>) -> Self {
        Self { jobs, end }
    }

    /// Hand a job in. Gives it back when the incarnation is over: then it was not begun.
    pub(crate) async fn submit(&self, job: Job) -> Result<(), Job> {
        self.jobs.send(job).await.map_err(|refused| refused.0)
    }

    /// Wait for the answer of a submitted job.
    pub(crate) async fn answer<T>(
        &self,
        kind: Kind,
        answer: oneshot::Receiver<Result<T, types::Error>>,
    ) -> Result<T, Fault> {
        match timeout(kind.deadline, answer).await {
            Ok(Ok(Ok(value))) => Ok(value),
            Ok(Ok(Err(error))) => Err(Fault::Guest(error)),
            Ok(Err(_)) => Err(Fault::Ended(self.end().await)),
            Err(_) => Err(Fault::Timeout),
        }
    }

    /// Submit and wait, for calls of the incarnation's own household.
    pub(crate) async fn call<T>(&self, kind: Kind, make: impl FnOnce(Reply<T>) -> Request) -> Result<T, Fault> {
        let (reply, answer) = oneshot::channel();
        let job = Job { request: make(reply), kind, uid: None, permit: Permit::default() };
        match self.submit(job).await {
            Ok(()) => self.answer(kind, answer).await,
            Err(_) => Err(Fault::Ended(self.end().await)),
        }
    }

    /// How the incarnation ended; waits until it has.
    pub(crate) async fn end(&self) -> Arc<End> {
        let mut end = self.end.clone();
        let told = match end.wait_for(Option::is_some).await {
            Ok(end) => end.clone(),
            Err(_) => None,
        };
        // Without a word the supervisor is gone, which only a bug or the end of the process does.
        told.unwrap_or_else(|| {
            Arc::new(End { message: "the provider's supervisor is gone".to_owned(), strikes: HashMap::new() })
        })
    }
}
