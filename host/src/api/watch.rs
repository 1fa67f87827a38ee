//! The watch of the pods bound to this node.
//!
//! In: the node's name. Out: a stream of [`ObjectEvent`]s. Invariant: the stream never ends, and a [`ObjectEvent::Relisted`] is always a
//! complete list.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, Instant};

use futures::stream::{self, BoxStream};
use futures::{StreamExt, future};
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use kube::{Api, Client};
use tracing::{info, warn};

use super::pods::describe;
use crate::pods::port::ObjectEvent;

/// First pause after a failed list or watch; doubles. Short, because a node that comes back late looks dead.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The API server ends a watch after this long, seconds. A dead connection that nobody noticed lasts no longer.
const WATCH_SECONDS: u32 = 240;

/// Watches until it is dropped.
pub(crate) fn pods(client: Client, node_name: &str) -> BoxStream<'static, ObjectEvent> {
    let config = watcher::Config::default().fields(&format!("spec.nodeName={node_name}")).timeout(WATCH_SECONDS);
    let events = watch(Api::<Pod>::all(client), config).backoff(Pauses::default());
    events
        .scan(Collected::default(), |collected, event| future::ready(Some(collected.take(event))))
        .flat_map(stream::iter)
        .boxed()
}

/// Puts the pieces of a list together.
#[derive(Default)]
struct Collected {
    list: Vec<Pod>,
    failing: bool,
    told: Option<Instant>,
}

impl Collected {
    fn take(&mut self, event: Result<Event<Pod>, watcher::Error>) -> Option<ObjectEvent> {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                self.failed(&error);
                return None;
            }
        };
        // Init only announces that a list will be tried.
        if !matches!(event, Event::Init) && std::mem::take(&mut self.failing) {
            info!("the API server answers again");
        }
        match event {
            Event::Init => {
                self.list.clear();
                None
            }
            Event::InitApply(pod) => {
                self.list.push(lean(pod));
                None
            }
            Event::InitDone => Some(ObjectEvent::Relisted(std::mem::take(&mut self.list))),
            Event::Apply(pod) => Some(ObjectEvent::Applied(lean(pod))),
            Event::Delete(pod) => Some(ObjectEvent::Deleted(lean(pod))),
        }
    }

    /// The first failure is worth a warning; those that follow are the same outage, told again now and then.
    fn failed(&mut self, error: &watcher::Error) {
        let is_first = !std::mem::replace(&mut self.failing, true);
        if is_first || self.told.is_none_or(|told| told.elapsed() > TELL_AGAIN) {
            self.told = Some(Instant::now());
            warn!(error = %describe(error), "cannot watch pods: keeping everything as it is and trying again");
        }
    }
}

/// Bookkeeping that nobody here reads would be a third of each pod's memory.
fn lean(mut pod: Pod) -> Pod {
    pod.metadata.managed_fields = None;
    pod
}

/// How often an outage that goes on is told.
const TELL_AGAIN: Duration = Duration::from_secs(60);
/// An attempt so long after the last failure is a first one again.
const CALM: Duration = Duration::from_secs(60);

/// Pauses between attempts: doubling, with jitter, until there was a calm time.
#[derive(Default)]
pub(crate) struct Pauses {
    failures: u32,
    last: Option<Instant>,
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let now = Instant::now();
        if self.last.replace(now).is_none_or(|last| now.duration_since(last) > CALM) {
            self.failures = 0;
        }
        let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(self.failures.min(8))).min(LONGEST_PAUSE);
        self.failures += 1;
        // Up to a quarter more, so that nodes that lost the API server together do not come back together.
        let jitter = RandomState::new().build_hasher().finish() % 64;
        Some(pause + pause * u32::try_from(jitter).unwrap_or_default() / 256)
    }
}

impl Backoff for Pauses {
    /// The watcher resets at each event, and announces each attempt by one: that is no success. Time decides.
    fn reset(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_although_the_watcher_resets_them_at_each_attempt() {
        let mut pauses = Pauses::default();
        let taken: Vec<_> = (0..8)
            .filter_map(|_| {
                pauses.reset();
                pauses.next()
            })
            .collect();
        assert!(taken.first().is_some_and(|first| *first < FIRST_PAUSE * 2), "{taken:?}");
        assert!(taken.last().is_some_and(|last| *last >= LONGEST_PAUSE), "{taken:?}");
    }
}
