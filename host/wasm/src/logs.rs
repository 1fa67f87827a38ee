//! One open log: from the guest's stream to the caller's.
//!
//! In: `stream<log-item>` and the future that says how it ended. Out: [`LogStream`]. Invariant: items keep their order; an error is the
//! last item; once the caller drops its end, the guest's next write is answered with "dropped".

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use futures::channel::mpsc;
use futures::stream::{self, StreamExt as _};
use pluglet_model::provider::{Error, LogItem, LogStream};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::timeout;
use wasmtime::AsContextMut;
use wasmtime::component::{FutureReader, StreamReader};

use crate::adapt;
use crate::bindings::exports::pluglet::provider::sessions;
use crate::bindings::pluglet::provider::types;
use crate::call::LOGS;
use crate::gate::Gate;
use crate::pump::{Portion, Pump, Take};

/// Batches between guest and caller. A caller that reads slowly makes the guest wait; more would only be read ahead for users who
/// may leave, in as many logs as may be open.
const BUFFERED_BATCHES: usize = 2;

/// Pieces of a log in one batch where they are long: at most a mebibyte, see [`adapt::MAX_PIECE_BYTES`].
const BATCH: usize = 16;

/// The same where they are short, as lines are.
const PORTION: Portion<LogItem> = Portion { items: 512, bytes: 1 << 20, weigh, pack };

/// A line up to so many bytes has no memory of its own.
const SHORT: usize = 1024;

/// An item is more than its bytes: empty lines are not for nothing.
fn weigh(item: &LogItem) -> usize {
    let bytes = if let LogItem::Line { bytes, .. } = item { bytes.len() } else { 0 };
    size_of::<LogItem>() + bytes
}

/// How long a guest may take to say how its stream ended, once it has. It knows already; the user should not wait for it.
const OUTCOME_WAIT: Duration = Duration::from_secs(30);

/// Puts short lines into one buffer. Each in its own would be given back by the thread that sends it, and the two threads would wait for each other in
/// the allocator for longer than all else takes.
fn pack(batch: Vec<LogItem>) -> Vec<LogItem> {
    let short = |item: &LogItem| matches!(item, LogItem::Line { bytes, .. } if bytes.len() <= SHORT);
    let mut buffer = BytesMut::with_capacity(batch.iter().filter(|item| short(item)).map(weigh).sum());
    let mut pack = |item| match item {
        LogItem::Line { time_unix_ns, stderr, bytes } if bytes.len() <= SHORT => {
            buffer.extend_from_slice(&bytes);
            LogItem::Line { time_unix_ns, stderr, bytes: buffer.split().freeze() }
        }
        item => item,
    };
    batch.into_iter().map(&mut pack).collect()
}

/// The guest's end.
pub(crate) struct LogSink {
    items: mpsc::Sender<Vec<LogItem>>,
    outcome: oneshot::Sender<Result<(), Error>>,
    /// Given back when the guest's stream ends, not when the user leaves: until then it costs something.
    session: OwnedSemaphorePermit,
}

/// The caller's end, before it is known which incarnation answers.
pub(crate) struct LogSource {
    items: mpsc::Receiver<Vec<LogItem>>,
    outcome: oneshot::Receiver<Result<(), Error>>,
}

/// Both ends of a new log.
pub(crate) fn channel(session: OwnedSemaphorePermit) -> (LogSink, LogSource) {
    let (items, from_guest) = mpsc::channel(BUFFERED_BATCHES);
    let (outcome, told) = oneshot::channel();
    (LogSink { items, outcome, session }, LogSource { items: from_guest, outcome: told })
}

impl LogSink {
    /// Let the guest's stream flow in here.
    pub(crate) fn connect(
        self,
        mut store: impl AsContextMut<Data: Send>,
        stream: StreamReader<sessions::LogItem>,
        outcome: FutureReader<Result<(), types::Error>>,
    ) -> wasmtime::Result<()> {
        stream.pipe(&mut store, Pump::new(self.items, BATCH, adapt::log_pieces, self.session).portioned(PORTION))?;
        outcome.pipe(&mut store, Take::new(self.outcome, |ended: Result<(), types::Error>| ended.map_err(adapt::error)))
    }
}

impl LogSource {
    /// The stream that a caller reads.
    pub(crate) fn into_stream(self, gate: Gate, uid: Arc<str>) -> LogStream {
        let items = self.items.flat_map(|batch| stream::iter(batch).map(Ok));
        let failure = stream::once(failure(self.outcome, gate, uid));
        items.chain(failure.filter_map(|failure| std::future::ready(failure.map(Err)))).boxed()
    }
}

/// How it ended, if not well.
async fn failure(outcome: oneshot::Receiver<Result<(), Error>>, gate: Gate, uid: Arc<str>) -> Option<Error> {
    match timeout(OUTCOME_WAIT, outcome).await {
        Ok(Ok(Ok(()))) => None,
        Ok(Ok(Err(error))) => Some(error),
        // Both ends vanish without a word only together with the store.
        Ok(Err(_)) => Some(gate.end().await.verdict(Some(&uid))),
        Err(_) => Some(Error::Timeout { call: LOGS.name, after: OUTCOME_WAIT }),
    }
}
