//! What the provider tells unasked, on its way to the host.
//!
//! In: the stream of `events.watch`. Out: [`ProviderEvent`]s, and node facts in the health. Invariant: order is kept; nothing is
//! dropped silently but what is not a status; a gap is always followed by a resync.

use std::collections::VecDeque;
use std::time::Duration;

use futures::channel::mpsc as channel;
use futures::stream::StreamExt as _;
use pluglet_egress::Seldom;
use pluglet_model::provider::{Features, ProviderEvent};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tracing::warn;

use crate::adapt::{self, MAX_NAME_BYTES, MAX_STATUS_BYTES, MAX_TEXT_BYTES};
use crate::bindings::exports::pluglet::provider::events::Event;
use crate::bindings::pluglet::provider::types::PodRef;
use crate::call::{Request, WATCH};
use crate::capabilities::log::clean;
use crate::gate::{Fault, Gate};
use crate::supervisor::publish::Publisher;

mod notes;

pub(crate) use notes::Notes;

/// Events that may wait for the host, in number. A host that falls behind makes the guest wait; with a status of a few KiB each this
/// is less than a MiB, and with the largest that are allowed 128 MiB. Eight times as many would let a guest hold a GiB.
pub(crate) const QUEUED_EVENTS: usize = 128;

/// Batches between the store and this task. Each may have [`BATCH`] of the largest statuses.
const BUFFERED_BATCHES: usize = 2;

/// Events that are taken from the guest at once. All may point at the same bytes in the guest, but not in the host.
pub(crate) const BATCH: usize = 16;

/// How often a provider that does not report events is listed. The host lists on `Resync`, so this is how late it notices that a
/// container ended; the kubelet's own relist is every second, but costs no call to a remote backend.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// The pause before a stream that ended is opened again, so that a provider whose streams end at once does not spin.
const REOPEN_PAUSE: Duration = Duration::from_secs(1);

/// Forward what the incarnation behind `gate` tells, until the receiver is gone. Dropped with the incarnation.
pub(crate) async fn forward(
    gate: Gate,
    features: Features,
    events: mpsc::Sender<ProviderEvent>,
    publisher: &Publisher,
    notes: Notes,
) {
    let (bad_status, odd_facts) = (Seldom::default(), Seldom::default());
    let mut sorter = Sorter { events, publisher, notes, bad_status, odd_facts };
    loop {
        let pause = if features.watch {
            match open(&gate).await {
                Ok(stream) => {
                    if sorter.drain(stream).await.is_none() {
                        return;
                    }
                    REOPEN_PAUSE
                }
                // The supervisor sees it too and drops this task.
                Err(Fault::Ended(_)) => return,
                Err(fault) => {
                    let error = fault.into_error(WATCH, None);
                    warn!(
                        error = &error as &dyn std::error::Error,
                        "the provider's events cannot be watched; its pods are listed instead"
                    );
                    POLL_INTERVAL
                }
            }
        } else {
            POLL_INTERVAL
        };
        sleep(pause).await;
        if sorter.send(ProviderEvent::Resync).await.is_none() {
            return;
        }
    }
}

async fn open(gate: &Gate) -> Result<channel::Receiver<Vec<Event>>, Fault> {
    let (sink, stream) = channel::channel(BUFFERED_BATCHES);
    gate.call(WATCH, |reply| Request::Watch { sink, reply }).await?;
    Ok(stream)
}

struct Sorter<'a> {
    events: mpsc::Sender<ProviderEvent>,
    publisher: &'a Publisher,
    notes: Notes,
    bad_status: Seldom,
    odd_facts: Seldom,
}

/// The event with everything in it cut to what is allowed, or little more: it waits in the host's memory for its turn. What was too long
/// still is, so that it is refused or marked there as if it had come whole.
pub(crate) fn bounded(mut event: Event, out: &mut VecDeque<Event>) {
    match &mut event {
        Event::Status((pod, json)) => {
            bound_pod(pod);
            adapt::bound(json, MAX_STATUS_BYTES);
        }
        Event::Gone(pod) => bound_pod(pod),
        Event::PodEvent(event) => {
            bound_pod(&mut event.pod);
            adapt::bound(&mut event.reason, MAX_TEXT_BYTES);
            adapt::bound(&mut event.message, MAX_TEXT_BYTES);
        }
        Event::ContainerChanged((pod, id)) => {
            bound_pod(pod);
            adapt::bound(id, MAX_NAME_BYTES);
        }
        Event::Node(facts) => adapt::bound_facts(facts),
        Event::Resync => {}
    }
    out.push_back(event);
}

fn bound_pod(pod: &mut PodRef) {
    for text in [&mut pod.uid, &mut pod.namespace, &mut pod.name] {
        adapt::bound(text, MAX_NAME_BYTES);
    }
}

impl Sorter<'_> {
    /// Forward everything. None when nobody listens any more.
    async fn drain(&mut self, mut stream: channel::Receiver<Vec<Event>>) -> Option<()> {
        while let Some(batch) = stream.next().await {
            for event in batch {
                if let Some(event) = self.sort(event) {
                    self.send(event).await?;
                }
            }
        }
        Some(())
    }

    /// Waits while the host is behind; that is the back-pressure.
    async fn send(&self, event: ProviderEvent) -> Option<()> {
        self.events.send(event).await.ok()
    }

    /// One event in the model's words. None when it is not for the host.
    fn sort(&mut self, event: Event) -> Option<ProviderEvent> {
        match event {
            Event::Status((pod, json)) => {
                let key = adapt::key(&pod);
                match adapt::status(&json) {
                    Ok(status) => Some(ProviderEvent::Status(key, Box::new(status))),
                    Err(error) => {
                        if let Some(untold) = self.bad_status.admit(Instant::now()) {
                            warn!(pod = %key, uid = %key.uid, untold, error = &error as &dyn std::error::Error, "a status event is dropped");
                        }
                        None
                    }
                }
            }
            Event::Gone(pod) => Some(ProviderEvent::Gone(adapt::key(&pod))),
            Event::PodEvent(event) => {
                let key = adapt::key(&event.pod);
                self.notes.admit(&key.uid, Instant::now()).then(|| ProviderEvent::PodEvent {
                    key,
                    container: None,
                    warning: event.warning,
                    reason: clean(&event.reason, MAX_TEXT_BYTES),
                    message: clean(&event.message, MAX_TEXT_BYTES),
                })
            }
            Event::ContainerChanged((pod, id)) => {
                Some(ProviderEvent::ContainerChanged(adapt::key(&pod), adapt::containers::id(&id)))
            }
            Event::Node(facts) => {
                let (facts, dropped) = adapt::node_facts(facts);
                if let Some(dropped) = dropped
                    && let Some(untold) = self.odd_facts.admit(Instant::now())
                {
                    warn!(dropped, untold, "the provider tells what a node cannot have, or may not say of itself");
                }
                self.publisher.node(facts);
                None
            }
            Event::Resync => Some(ProviderEvent::Resync),
        }
    }
}

#[cfg(test)]
mod tests;
