//! Sessions, figures and the end, as the host asks for them.
//!
//! In: requests. Out: whole outputs, or a log that is read while time passes. Invariant: as for all calls, time moves only as far as
//! the call needs.

use std::time::Duration;

use futures::stream::TryStreamExt;

use super::Harness;
use crate::testing::TestPod;
use crate::testing::collect::{self, Finished, Followed};
use crate::{ExecRequest, LogItem, LogOptions, PodStats, Provider, Result};

impl<P: Provider> Harness<P> {
    /// [`Provider::stats`].
    ///
    /// # Errors
    /// What the provider gives.
    pub fn stats(&self) -> Result<Vec<PodStats>> {
        self.call(async |provider| provider.stats().await)
    }

    /// [`Provider::stop`].
    ///
    /// # Errors
    /// [`crate::Error::Internal`] when it can never end.
    pub fn stop(&self, grace: Duration) -> Result<Option<Vec<u8>>> {
        self.call(async move |provider| Ok(provider.stop(grace).await))
    }

    /// [`Provider::logs`] to its end, as text.
    ///
    /// # Errors
    /// What the provider gives, at the call or at the end of the log.
    pub fn logs(&self, pod: &TestPod, options: LogOptions) -> Result<String> {
        let pod = pod.pod_ref.clone();
        self.call(async move |provider| {
            let items: Vec<LogItem> = provider.logs(pod, options).await?.into_inner().try_collect().await?;
            Ok(collect::text(items.into_iter().filter_map(|item| match item {
                LogItem::Line(line) => Some(line),
                LogItem::CaughtUp => None,
            })))
        })
    }

    /// [`Provider::logs`], read while time passes.
    ///
    /// # Errors
    /// What the provider gives at the call.
    pub fn follow(&self, pod: &TestPod, options: LogOptions) -> Result<Followed> {
        let pod = pod.pod_ref.clone();
        let log = self.call(async move |provider| provider.logs(pod, options).await)?;
        Followed::new(&self.executor, log)
    }

    /// [`Provider::exec`] to its end, with a user who types all of `stdin` at once.
    ///
    /// # Errors
    /// What the provider gives, at the call or at the end of the session.
    pub fn exec(&self, pod: &TestPod, request: ExecRequest, stdin: &[u8]) -> Result<Finished> {
        let (pod, input) = (pod.pod_ref.clone(), collect::typed(stdin));
        self.call(async move |provider| collect::finished(provider.exec(pod, request, input).await?).await)
    }

    /// [`Provider::attach`] to its end, with a user who types all of `stdin` at once.
    ///
    /// # Errors
    /// As [`Harness::exec`].
    pub fn attach(&self, pod: &TestPod, container: &str, stdin: &[u8]) -> Result<Finished> {
        let (pod, container, input) = (pod.pod_ref.clone(), container.to_owned(), collect::typed(stdin));
        self.call(async move |provider| collect::finished(provider.attach(pod, container, input).await?).await)
    }

    /// [`Provider::port_forward`] to its end, with a client that sends all of `input` at once.
    ///
    /// # Errors
    /// What the provider gives, at the call or at the end of the connection.
    pub fn port_forward(&self, pod: &TestPod, port: u16, input: &[u8]) -> Result<Vec<u8>> {
        let (pod, input) = (pod.pod_ref.clone(), collect::bytes(input));
        self.call(async move |provider| provider.port_forward(pod, port, input).await?.try_concat().await)
    }
}
