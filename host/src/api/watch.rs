//! The watch of the pods bound to this node.
//!
//! In: the node's name. Out: a stream of [`ObjectEvent`]s. Invariant: the stream never ends, and a [`ObjectEvent::Relisted`] is always a
//! complete list.

use std::time::Duration;

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

    /// The first failure is worth a warning; those that follow are the same outage.
    fn failed(&mut self, error: &watcher::Error) {
        if !std::mem::replace(&mut self.failing, true) {
            warn!(error = %describe(error), "cannot watch pods: keeping everything as it is and trying again");
        }
    }
}

/// Bookkeeping that nobody here reads would be a third of each pod's memory.
fn lean(mut pod: Pod) -> Pod {
    pod.metadata.managed_fields = None;
    pod
}

/// Pauses between attempts.
#[derive(Default)]
pub(crate) struct Pauses {
    failures: u32,
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(self.failures.min(8))).min(LONGEST_PAUSE);
        self.failures += 1;
        Some(pause)
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {
        self.failures = 0;
    }
}
