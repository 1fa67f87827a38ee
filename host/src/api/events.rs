//! Kubernetes events on pods.
//!
//! In: [`EventSink::record`] calls. Out: `events.k8s.io` objects, repeated ones as a series. Invariant: recording never waits and never
//! fails its caller; what does not fit is counted and told in the log.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use pluglet_model::PodKey;
use tokio::sync::mpsc;
use tracing::warn;

use super::client::within;
use super::pods::describe;
use crate::pods::port::EventSink;

/// Events that wait to be written. A node full of failing pods must not fill the memory, nor the API server.
const QUEUE: usize = 512;
/// What is told again within this time is the same series (as in `kube`'s recorder and client-go).
const SERIES: Duration = Duration::from_secs(6 * 60);
/// Notes that are remembered. A provider chooses its own, and may choose another each time.
const MOST_NOTES: usize = 4096;
/// The API server refuses longer notes.
const LONGEST_NOTE: usize = 1024;

/// Takes events for the task that writes them.
pub(crate) struct Events {
    queue: mpsc::Sender<(ObjectReference, Event)>,
    dropped: AtomicU64,
}

/// The sink, and the task that writes what it takes until the sink is dropped.
pub(crate) fn sink(client: Client, node_name: &str) -> (Events, impl Future<Output = ()> + Send + use<>) {
    let (queue, mut receiver) = mpsc::channel::<(ObjectReference, Event)>(QUEUE);
    let reporter = Reporter { controller: "pluglet".to_owned(), instance: Some(node_name.to_owned()) };
    let mut recorders = Recorders { client, reporter, by_note: HashMap::new() };
    let writer = async move {
        while let Some((about, event)) = receiver.recv().await {
            let recorder = recorders.of(event.note.as_deref().unwrap_or_default(), Instant::now());
            if let Err(error) = within(recorder.publish(&event, &about)).await {
                warn!(reason = event.reason, error = %describe(&error), "event not recorded");
            }
        }
    };
    (Events { queue, dropped: AtomicU64::new(0) }, writer)
}

/// A recorder makes one series of all that is told of a pod for one reason, under the first note: of a readiness and a liveness probe that both
/// fail only one would be seen. So each note has a recorder.
struct Recorders {
    client: Client,
    reporter: Reporter,
    by_note: HashMap<u64, (Recorder, Instant)>,
}

impl Recorders {
    fn of(&mut self, note: &str, now: Instant) -> Recorder {
        self.by_note.retain(|_, (_, last)| now.duration_since(*last) < SERIES);
        if self.by_note.len() >= MOST_NOTES {
            self.by_note.clear();
        }
        let mut hasher = DefaultHasher::new();
        note.hash(&mut hasher);
        let new = || (Recorder::new(self.client.clone(), self.reporter.clone()), now);
        let (recorder, last) = self.by_note.entry(hasher.finish()).or_insert_with(new);
        *last = now;
        recorder.clone()
    }
}

impl EventSink for Events {
    fn record_about(&self, key: &PodKey, field_path: Option<String>, warning: bool, reason: &str, message: &str) {
        let about = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: Some(key.namespace.to_string()),
            name: Some(key.name.to_string()),
            uid: Some(key.uid.to_string()),
            field_path,
            ..ObjectReference::default()
        };
        let event = Event {
            type_: if warning { EventType::Warning } else { EventType::Normal },
            reason: reason.to_owned(),
            note: Some(shorten(message)),
            action: "Syncing".to_owned(),
            secondary: None,
        };
        if self.queue.try_send((about, event)).is_err() {
            let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
            warn!(pod = %key, reason, message, dropped, "too many events: this one is only in the log");
        }
    }
}

fn shorten(message: &str) -> String {
    if message.len() <= LONGEST_NOTE {
        return message.to_owned();
    }
    let mut end = LONGEST_NOTE - 4;
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", message.get(..end).unwrap_or_default())
}
