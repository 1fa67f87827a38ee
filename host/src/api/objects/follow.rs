//! Follows a few objects of one kind with as little as can be: one request, no buffer while nothing happens.
//!
//! In: a client, a kind, a field selector. Out: [`Follower::next`], what is known of the objects together. Invariant: what is told is a complete
//! set; a watch goes on at the version where its predecessor ended, and begins anew where the API server cannot do that.
//!
//! There are two of these for each pod that names a Secret and a ConfigMap. kube's own watcher asks twice at first, for a list and for a watch,
//! and keeps a line buffer of 8 KiB for each.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use kube::api::{ListParams, Request, WatchParams};
use kube::client::Body;
use kube::core::{ObjectList, Status, WatchEvent};
use kube::{Resource, ResourceExt};
use pluglet_rules::resolve::Known;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep, timeout_at};

use super::super::client::{CALL_TIMEOUT, within};
use super::super::pods::describe;
use super::super::streams::{Slot, Streams};
use super::super::watch::Pauses;

/// How many attempts in a row fail before the failure is told. The first are often refused: the API server learns from a watch of its own
/// that a pod of this node names the object.
const FAILURES_UNTOLD: u32 = 4;

/// The API server ends a watch after this long at most, seconds; the next goes on where it ended.
const WATCH_SECONDS: u32 = 290;
const WATCH_SPREAD: u32 = 60;

/// The bookmark that ends the first events of a watch has this annotation (KEP-3157).
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// A watch that ends sooner has not worked: without a pause the next would follow at once, for each object of each pod.
const SHORTEST_WATCH: Duration = Duration::from_secs(1);

/// An event is one object. The API server takes none of more than some megabytes; what answers in its place cannot fill the memory.
const LONGEST_EVENT: usize = 32 << 20;

/// Longest text of an error that is read: whatever answers in the API server's place cannot fill the memory.
const LONGEST_ERROR: usize = 64 * 1024;

/// Whether the API server's watches can begin with what there is. Shared: it is found out once.
#[derive(Clone)]
pub(super) struct InitialEvents(Arc<AtomicBool>);

impl Default for InitialEvents {
    fn default() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }
}

/// What to follow.
pub(super) struct Wanted {
    /// The path of the collection.
    pub path: String,
    pub fields: Option<String>,
}

/// Follows the objects of one kind. `T` is what is kept of each.
pub(super) struct Follower<K, T> {
    streams: Streams,
    /// Its place on a connection, from the first attempt on.
    slot: Option<Slot>,
    wanted: Wanted,
    initial_events: InitialEvents,
    keep: fn(K) -> T,
    /// By name, in order.
    items: Vec<(Box<str>, T)>,
    /// Where the next watch begins. None: with all that there is.
    version: Option<String>,
    /// What there is has not been told completely yet.
    listing: bool,
    lines: Option<Lines>,
    opened: Instant,
    failures: u32,
    pauses: Pauses,
}

/// Why a watch is over before its time.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Request(#[from] kube::core::request::Error),
    #[error(transparent)]
    Client(#[from] kube::Error),
    #[error("the API server sent something that is no event")]
    Event(#[source] serde_json::Error),
    #[error("the API server sent an event of more than {LONGEST_EVENT} bytes")]
    TooLong,
    #[error("the API server has not said what there is")]
    Incomplete,
    #[error("the API server has ended a watch at once")]
    Ended,
    /// It said so itself.
    #[error("{}", .0.message)]
    Refused(Box<Status>),
}

impl<K, T> Follower<K, T>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned,
{
    pub(super) fn new(streams: Streams, wanted: Wanted, initial_events: InitialEvents, keep: fn(K) -> T) -> Self {
        Self {
            streams,
            slot: None,
            wanted,
            initial_events,
            keep,
            items: vec![],
            version: None,
            listing: true,
            lines: None,
            opened: Instant::now(),
            failures: 0,
            pauses: Pauses::default(),
        }
    }

    /// What there is, told by `gather` once it is known and after each change, or why it is not known.
    pub(super) async fn next(&mut self, gather: fn(&mut dyn Iterator<Item = &T>) -> Known) -> Known {
        loop {
            match self.step().await {
                Ok(true) => return gather(&mut self.items.iter().map(|(_, item)| item)),
                Ok(false) => {}
                Err(error) => {
                    let told = self.failed(&error);
                    sleep(self.pauses.next().unwrap_or_default()).await;
                    // Once it was told what there is, that stays true until a watch says otherwise.
                    if let Some(failure) = told {
                        return Known::Failed(failure);
                    }
                }
            }
        }
    }

    /// Waits for the next thing to happen. True: what is known is complete and may be another than before.
    async fn step(&mut self) -> Result<bool, Error> {
        let Some(lines) = &mut self.lines else { return Box::pin(self.open()).await };
        let line = if self.listing {
            let Ok(line) = timeout_at(self.opened + CALL_TIMEOUT, lines.next()).await else {
                // Servers that do not know the parameter say nothing about it.
                self.initial_events.0.store(false, Ordering::Relaxed);
                return Err(Error::Incomplete);
            };
            line?
        } else {
            lines.next().await?
        };
        match line {
            Some(line) => self.heard(serde_json::from_slice(&line).map_err(Error::Event)?),
            None if self.listing => Err(Error::Incomplete),
            None if self.opened.elapsed() < SHORTEST_WATCH => Err(Error::Ended),
            None => {
                self.lines = None;
                Ok(false)
            }
        }
    }

    async fn open(&mut self) -> Result<bool, Error> {
        if self.version.is_none() && !self.initial_events.0.load(Ordering::Relaxed) {
            self.list().await?;
            return Ok(true);
        }
        let begin = self.version.is_none();
        if begin {
            self.items.clear();
            self.listing = true;
        }
        self.opened = Instant::now();
        let mut params = WatchParams::default().timeout(watch_seconds(&self.wanted));
        params.field_selector.clone_from(&self.wanted.fields);
        params.send_initial_events = begin;
        let request = Request::new(&*self.wanted.path).watch(&params, self.version.as_deref().unwrap_or_default())?;
        match self.send(request).await {
            Ok(body) => {
                self.lines = Some(Lines { body, rest: Vec::new() });
                Ok(false)
            }
            // How servers answer that have this switched off.
            Err(Error::Refused(status)) if begin && status.code == 422 => {
                self.initial_events.0.store(false, Ordering::Relaxed);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    async fn list(&mut self) -> Result<(), Error> {
        let mut params = ListParams::default();
        params.field_selector.clone_from(&self.wanted.fields);
        let body = self.send(Request::new(&*self.wanted.path).list(&params)?).await?;
        let list: ObjectList<K> = serde_json::from_slice(&collected(body).await?).map_err(Error::Event)?;
        self.version = list.metadata.resource_version;
        self.items.clear();
        list.items.into_iter().for_each(|object| self.put(object));
        (self.listing, self.failures) = (false, 0);
        Ok(())
    }

    async fn send(&mut self, request: http::Request<Vec<u8>>) -> Result<Body, Error> {
        let slot = match &mut self.slot {
            Some(slot) => slot,
            none => none.insert(self.streams.slot()?),
        };
        let (parts, body) = within(slot.client().send(request.map(Body::from))).await?.into_parts();
        if parts.status.is_success() {
            return Ok(body);
        }
        let text = Limited::new(body, LONGEST_ERROR).collect();
        let text = within(async { text.await.map_err(kube::Error::Service) }).await?.to_bytes();
        let plain = || Status::failure(&String::from_utf8_lossy(&text), "").with_code(parts.status.as_u16());
        Err(Error::Refused(Box::new(serde_json::from_slice(&text).unwrap_or_else(|_| plain()))))
    }

    fn heard(&mut self, event: WatchEvent<K>) -> Result<bool, Error> {
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                self.passed(&object);
                self.put(object);
            }
            WatchEvent::Deleted(object) => {
                self.passed(&object);
                if let Ok(at) = self.find(&object.name_any()) {
                    self.items.remove(at);
                }
            }
            WatchEvent::Bookmark(bookmark) => {
                let complete = bookmark.metadata.annotations.contains_key(INITIAL_EVENTS_END);
                if complete {
                    (self.listing, self.failures) = (false, 0);
                }
                if !self.listing {
                    self.version = Some(bookmark.metadata.resource_version);
                }
                return Ok(complete);
            }
            WatchEvent::Error(status) => return Err(Error::Refused(status)),
        }
        Ok(!self.listing)
    }

    /// The first events come in any order: only their end has a version to go on from.
    fn passed(&mut self, object: &K) {
        if !self.listing {
            self.version = object.resource_version();
        }
    }

    fn put(&mut self, object: K) {
        let name = object.name_any();
        match self.find(&name) {
            Ok(at) => {
                if let Some((_, item)) = self.items.get_mut(at) {
                    *item = (self.keep)(object);
                }
            }
            Err(at) => self.items.insert(at, (name.into(), (self.keep)(object))),
        }
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.items.binary_search_by(|(known, _)| (**known).cmp(name))
    }

    /// Ends the watch. Answers what is worth telling.
    fn failed(&mut self, error: &Error) -> Option<String> {
        self.lines = None;
        match error {
            // The connection's client may be one that the API server does not understand any more.
            Error::Client(_) => self.slot = None,
            // The version is too old, or this identity may not read the object any more. One that is only busy (429, 5xx) is asked again.
            Error::Refused(status) if matches!(status.code, 400 | 403 | 404 | 410 | 422) => self.version = None,
            Error::Event(_) | Error::TooLong => self.version = None,
            Error::Request(_) | Error::Refused(_) | Error::Incomplete | Error::Ended => {}
        }
        if self.listing {
            self.version = None;
        }
        self.failures += 1;
        (self.listing && self.failures >= FAILURES_UNTOLD).then(|| describe(error))
    }
}

/// Watches that began in one moment do not all end in another.
fn watch_seconds(wanted: &Wanted) -> u32 {
    let sum = wanted.path.bytes().chain(wanted.fields.iter().flat_map(|fields| fields.bytes()));
    WATCH_SECONDS - sum.fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into())) % WATCH_SPREAD
}

async fn collected(body: Body) -> Result<Bytes, Error> {
    Ok(within(body.collect()).await?.to_bytes())
}

/// The lines of a body.
struct Lines {
    body: Body,
    /// The beginning of a line whose end has not come yet. Mostly none, which takes no memory.
    rest: Vec<u8>,
}

impl Lines {
    /// The next line that is not empty. Cancel-safe: what was read is kept.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.rest) {
                let mut line = std::mem::take(&mut self.rest);
                self.rest = line.split_off(end + 1);
                line.truncate(end);
                if !line.is_empty() {
                    return Ok(Some(line));
                }
                continue;
            }
            let Some(frame) = self.body.frame().await else { return Ok(None) };
            if let Ok(data) = frame?.into_data() {
                if self.rest.len() + data.len() > LONGEST_EVENT {
                    return Err(Error::TooLong);
                }
                self.rest.extend_from_slice(&data);
            }
        }
    }
}

#[cfg(test)]
mod tests;
