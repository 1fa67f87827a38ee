//! Everything that happens to some objects, in order and from a moment that the test chooses.
//!
//! In: an API. Out: each state that an object had, each deletion. Invariant: nothing after [`History::begin`] is missed, however late it is read: the
//! API server keeps it. Only an API server that was restarted meanwhile starts over with what is there.

use std::fmt::Debug;

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use futures::stream::BoxStream;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

use crate::SOON;

/// What happened to an object.
#[derive(Clone, Debug)]
pub enum Happened<K> {
    /// It is like this now.
    Applied(K),
    /// It is gone; this is the last that was seen of it.
    Deleted(K),
}

/// A watch that was begun.
pub struct History<K> {
    events: BoxStream<'static, watcher::Result<Event<K>>>,
}

impl<K> History<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    /// Begins now, with the object of this name or with all that `api` has.
    ///
    /// # Errors
    /// When the API server does not list them.
    pub async fn begin(api: Api<K>, name: Option<&str>) -> Result<Self> {
        let config = name.map_or_else(watcher::Config::default, |name| {
            watcher::Config::default().fields(&format!("metadata.name={name}"))
        });
        let mut events = watcher(api, config).boxed();
        loop {
            match events.next().await.context("the watch ended")?.context("the watch could not begin")? {
                Event::InitDone => return Ok(Self { events }),
                _ => continue,
            }
        }
    }

    /// The next thing that happens. An interrupted watch is taken up again.
    ///
    /// # Errors
    /// When the watch has ended, which it does not.
    pub async fn next(&mut self) -> Result<Happened<K>> {
        loop {
            match self.events.next().await.context("the watch ended")? {
                Ok(Event::Apply(object) | Event::InitApply(object)) => return Ok(Happened::Applied(object)),
                Ok(Event::Delete(object)) => return Ok(Happened::Deleted(object)),
                // Between two attempts nobody is served faster by asking at once.
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
                Ok(Event::Init | Event::InitDone) => {}
            }
        }
    }

    /// Goes on until `look` answers something. Its errors end the wait.
    ///
    /// # Errors
    /// Those of `look`, and that it did not happen soon.
    pub async fn until<T>(&mut self, what: &str, mut look: impl FnMut(Happened<K>) -> Result<Option<T>>) -> Result<T> {
        let looking = async {
            loop {
                if let Some(found) = look(self.next().await?)? {
                    return Ok(found);
                }
            }
        };
        match tokio::time::timeout(SOON, looking).await {
            Ok(outcome) => outcome,
            Err(_) => bail!("waited {SOON:?} for {what}"),
        }
    }
}
