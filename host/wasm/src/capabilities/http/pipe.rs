//! Bytes of the guest, on their way out.
//!
//! In: `stream<u8>` of the guest. Out: chunks, for a request's body or for an upgraded connection. Invariant: the guest's write waits while two
//! chunks are under way; its end closes that direction of a connection and nothing else.

use bytes::Bytes;
use futures::StreamExt as _;
use futures::channel::mpsc;
use pluglet_egress::Writer;

use crate::pump::ToChunks;

/// From the guest to whoever takes the chunks.
pub(super) struct Outflow {
    /// For the guest's stream.
    pub(super) consumer: ToChunks,
    /// For the taker.
    pub(super) chunks: mpsc::Receiver<Bytes>,
}

impl Outflow {
    pub(super) fn channel() -> Self {
        // One more than its number: each sender has a place of its own.
        let (sink, chunks) = mpsc::channel(1);
        Self { consumer: ToChunks::new(sink), chunks }
    }
}

/// Write what the guest sends to the connection, then close that direction.
pub(super) async fn write_all(mut chunks: mpsc::Receiver<Bytes>, mut writer: Writer) {
    while let Some(chunk) = chunks.next().await {
        if writer.write(&chunk).await.is_err() {
            // The connection is gone: the reader tells why, and the guest's next write sees that nobody takes it.
            return;
        }
    }
    // As above.
    let _ = writer.finish().await;
}
