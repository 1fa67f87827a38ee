//! The client of a remote command, whichever protocol it speaks.
//!
//! In: bytes of the container. Out: what the client sends. Invariant: a client that does not read makes the container wait.

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use pluglet_model::session::TerminalSize;
use pluglet_spdy::Writer;
use serde::Deserialize;
use tokio::sync::{mpsc, watch};
use tracing::debug;

use super::websocket::Frames;

/// Input that waits for the container, in pieces.
pub(super) const WAITING_INPUT: usize = 4;
/// The client has gone away.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gone;

/// What a client sends and hears.
pub(super) struct Client {
    pub(super) stdin: mpsc::Receiver<Bytes>,
    pub(super) resize: BoxStream<'static, TerminalSize>,
    /// None: it does not want to hear of it.
    pub(super) stdout: Option<Output>,
    pub(super) stderr: Option<Output>,
}

/// One way to a client.
pub(super) enum Output {
    Spdy(Writer),
    WebSocket(Frames, u8),
}

impl Output {
    pub(super) async fn send(&self, bytes: Bytes) -> Result<(), Gone> {
        match self {
            Self::Spdy(writer) => writer.send(bytes).await.map_err(|_| Gone),
            Self::WebSocket(frames, channel) => frames.send(*channel, bytes).await,
        }
    }
}

/// The size of a terminal, as clients write it (Go's names, in any case).
#[derive(Deserialize)]
struct Size {
    #[serde(alias = "Width", default)]
    width: u16,
    #[serde(alias = "Height", default)]
    height: u16,
}

/// What was said is no size.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoSize;

/// The longest text that sizes are looked for in. One has some thirty bytes; what follows without end is not kept.
const LONGEST_SIZE: usize = 4096;

/// Sizes in a stream of bytes: JSON objects one after the other, cut anywhere. After an error it is not to be used again.
pub(super) struct Sizes {
    unread: Vec<u8>,
    told: watch::Sender<Option<TerminalSize>>,
}

impl Sizes {
    /// Where sizes are heard, and where they are seen: of those that come faster than somebody looks only the last counts.
    pub(super) fn channel() -> (Self, BoxStream<'static, TerminalSize>) {
        let (told, seen) = watch::channel(None);
        let sizes = stream::unfold(seen, |mut seen| async move {
            seen.changed().await.ok()?;
            let size = *seen.borrow_and_update();
            Some((size, seen))
        });
        (Self { unread: vec![], told }, sizes.filter_map(std::future::ready).boxed())
    }

    /// Tells the last size that is complete by now. An error is no JSON: nothing that follows can be read.
    pub(super) fn hear(&mut self, bytes: &[u8]) -> Result<(), NoSize> {
        match self.take(bytes) {
            Ok(Some(size)) => drop(self.told.send_replace(Some(size))),
            Ok(None) => {}
            Err(error) => {
                debug!(%error, "a client sent a size that is none");
                return Err(NoSize);
            }
        }
        Ok(())
    }

    fn take(&mut self, bytes: &[u8]) -> Result<Option<TerminalSize>, serde_json::Error> {
        self.unread.extend_from_slice(bytes);
        let mut sizes = serde_json::Deserializer::from_slice(&self.unread).into_iter::<Size>();
        let mut last = None;
        for size in sizes.by_ref() {
            match size {
                Ok(Size { width, height }) => last = Some(TerminalSize { width, height }),
                Err(error) if error.is_eof() && self.unread.len() < LONGEST_SIZE => break,
                Err(error) => return Err(error),
            }
        }
        let read = sizes.byte_offset();
        self.unread.drain(..read.min(self.unread.len()));
        Ok(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(width: u16, height: u16) -> Option<TerminalSize> {
        Some(TerminalSize { width, height })
    }

    #[test]
    fn sizes_are_read_wherever_they_are_cut_and_the_last_counts() {
        let (mut sizes, _seen) = Sizes::channel();
        assert_eq!(sizes.take(br#"{"Width":80,"Height":24}"#).unwrap(), size(80, 24));
        assert_eq!(sizes.take(br#"{"Width":81,"#).unwrap(), None);
        assert_eq!(sizes.take(b"\"Height\":25}\n{\"width\":82,\"height\":26}").unwrap(), size(82, 26));
        assert!(sizes.take(b"nonsense").is_err());
    }

    #[test]
    fn what_never_ends_is_given_up() {
        let (mut sizes, _seen) = Sizes::channel();
        let outcome = (0..1000).map(|_| sizes.take(b"{\"Width\":          ")).find(Result::is_err);
        assert!(outcome.is_some());
    }
}
