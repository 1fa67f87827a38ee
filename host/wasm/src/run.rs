//! A command in a container, without input, from its start to its exit code.
//!
//! In: the guest's streams and the future of the exit code. Out: [`CommandOutput`]. Invariant: no more of the output is kept than a probe
//! shows, and the guest is not made to wait for what is thrown away; once the caller drops its end, the guest's next write is answered
//! with "dropped".

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::channel::mpsc;
use futures::stream::StreamExt as _;
use pluglet_model::provider::{CommandOutput, Error};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::timeout;

use crate::call::EXEC;
use crate::gate::Gate;
use crate::sessions::SessionSink;

/// Output that is kept, in bytes: what the kubelet reads of a probe's (`maxReadLength` in pkg/kubelet/prober).
const KEPT_BYTES: usize = 10 << 10;

/// Output that is read and thrown away, in bytes, before the command is left to itself. A probe that writes without end would otherwise
/// keep the host copying.
const READ_BYTES: usize = 16 << 20;

/// How long a command may run. Callers give up long before that; this bounds one who does not.
const COMMAND: Duration = Duration::from_secs(600);

/// The caller's end.
pub(crate) struct RunSource {
    output: mpsc::Receiver<Bytes>,
    exit: oneshot::Receiver<Result<i32, Error>>,
    /// Given back with the answer, or when the caller gives up: the session is at its end then, even if the guest has nothing to
    /// write by which it would see that.
    _session: Arc<OwnedSemaphorePermit>,
}

/// Both ends of a new command.
pub(crate) fn channel(session: OwnedSemaphorePermit) -> (SessionSink, RunSource) {
    let session = Arc::new(session);
    // One channel for both streams, so that their order is kept. Each sender has a place of its own: one chunk for each stream, and one that
    // the caller reads.
    let (output, from_guest) = mpsc::channel(0);
    let (exit, told) = oneshot::channel();
    let sink = SessionSink::new(output.clone(), output, exit, &session);
    (sink, RunSource { output: from_guest, exit: told, _session: session })
}

impl RunSource {
    /// Read to the end of both streams, then the exit code.
    pub(crate) async fn finish(mut self, gate: Gate, uid: &Arc<str>) -> Result<CommandOutput, Error> {
        let ended = timeout(COMMAND, async {
            let output = self.read().await?;
            match (&mut self.exit).await {
                Ok(code) => Ok(CommandOutput { exit_code: code?, output }),
                // Both ends vanish without a word only together with the store.
                Err(_) => Err(gate.end().await.verdict(Some(uid))),
            }
        });
        ended.await.unwrap_or(Err(Error::Timeout { call: EXEC.name, after: COMMAND }))
    }

    /// The first bytes of the output; the others are read too, because a command that cannot write does not end.
    async fn read(&mut self) -> Result<Bytes, Error> {
        let mut kept = BytesMut::new();
        let mut read = 0_usize;
        while let Some(chunk) = self.output.next().await {
            read = read.saturating_add(chunk.len());
            if read > READ_BYTES {
                return Err(Error::Invalid(format!("the command wrote more than {READ_BYTES} bytes")));
            }
            let room = KEPT_BYTES.saturating_sub(kept.len()).min(chunk.len());
            kept.extend_from_slice(chunk.split_at(room).0);
        }
        Ok(kept.freeze())
    }
}

#[cfg(test)]
mod tests;
