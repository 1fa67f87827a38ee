//! One open log: from the guest's stream to the caller's.
//!
//! In: `stream<log-item>` and the future that says how it ended. Out: [`LogStream`]. Invariant: items keep their order; an error is the
//! last item; once the caller drops its end, the guest's next write is answered with "dropped".

use std::sync::Arc;
use std::time::Duration;
use std::vec::IntoIter;

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
use crate::pump::{Pump, Take};

/// Batches between guest and caller. A caller that reads slowly makes the guest wait; more would only be read ahead for users who
/// may leave, in as many logs as may be open.
const BUFFERED_BATCHES: usize = 2;

/// Pieces of a log in one batch: at most a mebibyte, see [`adapt::MAX_PIECE_BYTES`].
const BATCH: usize = 16;

/// How long a guest may take to say how its stream ended, once it has. It knows already; the user should not wait for it.
const OUTCOME_WAIT: Duration = Duration::from_secs(30);

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
        stream.pipe(&mut store, Pump::new(self.items, BATCH, adapt::log_pieces, self.session))?;
        outcome.pipe(&mut store, Take::new(self.outcome, |ended: Result<(), types::Error>| ended.map_err(adapt::error)))
    }
}

/// What the stream of one log goes through.
enum Reading {
    Items { source: LogSource, batch: IntoIter<LogItem>, gate: Gate, uid: Arc<str> },
    Ended,
}

impl LogSource {
    /// The stream that a caller reads.
    pub(crate) fn into_stream(self, gate: Gate, uid: Arc<str>) -> LogStream {
        let start = Reading::Items { source: self, batch: Vec::new().into_iter(), gate, uid };
        stream::unfold(start, next).boxed()
    }

    /// How it ended.
    async fn outcome(self, gate: &Gate, uid: &Arc<str>) -> Option<Error> {
        match timeout(OUTCOME_WAIT, self.outcome).await {
            Ok(Ok(Ok(()))) => None,
            Ok(Ok(Err(error))) => Some(error),
            // Both ends vanish without a word only together with the store.
            Ok(Err(_)) => Some(gate.end().await.verdict(Some(uid))),
            Err(_) => Some(Error::Timeout { call: LOGS.name, after: OUTCOME_WAIT }),
        }
    }
}

async fn next(reading: Reading) -> Option<(Result<LogItem, Error>, Reading)> {
    let Reading::Items { mut source, mut batch, gate, uid } = reading else { return None };
    loop {
        if let Some(item) = batch.next() {
            return Some((Ok(item), Reading::Items { source, batch, gate, uid }));
        }
        match source.items.next().await {
            Some(items) => batch = items.into_iter(),
            None => return source.outcome(&gate, &uid).await.map(|error| (Err(error), Reading::Ended)),
        }
    }
}
