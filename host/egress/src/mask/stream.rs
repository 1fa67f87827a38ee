//! Credentials that come back in pieces.
//!
//! In: pieces of a body, the end, the word that the peer paused. Out: what can go on. Invariant: of a secret no more than its first
//! [`SHORTEST`] bytes, less one, leave before it is known whether it is one; what leaves when depends on the secret at most [`BELIEVED`]
//! times.
//!
//! The two are at odds. Who holds back only what looks like the beginning of a secret tells a provider that sends its guesses through an
//! echo how much of a guess was right; who lets go of everything when the peer pauses gives the secret away in two halves, where the provider
//! can make the peer pause (an echo that has written half of its first buffer and waits for the rest of the request's body). So: of each
//! body as many bytes are held back as the longest secret has, less one, whatever they are. Ends of lines let go of all before them: they
//! are in no header. A pause lets go of the rest, unless it looks like the beginning of a secret; after that has happened a few times,
//! pauses let go of nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::{Buf as _, Bytes, BytesMut};

use super::Mask;

/// As few bytes of a secret are no help to anyone, and occur everywhere.
const SHORTEST: usize = 4;

/// How often a peer of one endpoint may pause where a secret may have begun. Each time confirms one guess of a provider that tries.
const BELIEVED: u32 = 3;

/// How often it has, for all streams of an endpoint.
#[derive(Clone, Debug, Default)]
pub(crate) struct Suspicions(Arc<AtomicU32>);

/// Masks a body that comes in pieces.
#[derive(Debug)]
pub(crate) struct StreamMask {
    mask: Mask,
    suspicions: Suspicions,
    held: BytesMut,
    /// How many bytes of `held` have gone on already. They are kept because a secret may have begun with them.
    gone: usize,
    /// A pause has let go of all that it can.
    rested: bool,
}

impl StreamMask {
    pub(crate) fn new(mask: Mask, suspicions: Suspicions) -> Self {
        Self { mask, suspicions, held: BytesMut::new(), gone: 0, rested: false }
    }

    /// The next piece; gives back what can go on, which may be nothing.
    pub(crate) fn push(&mut self, chunk: Bytes) -> Bytes {
        if self.mask.is_empty() {
            return chunk;
        }
        self.rested = false;
        self.held.extend_from_slice(&chunk);
        let lines =
            if self.mask.is_within_lines() { memchr::memrchr(b'\n', &self.held).map_or(0, |at| at + 1) } else { 0 };
        let ready = self.held.len().saturating_sub(self.mask.longest().saturating_sub(1)).max(lines);
        // What begins in the part that stays may be the whole of one secret and the beginning of a longer one.
        self.mask.apply_before(&mut self.held, ready);
        self.take(ready)
    }

    /// Whether a pause might let go of something.
    pub(crate) fn is_holding(&self) -> bool {
        self.held.len() > self.gone && !self.rested
    }

    /// Nothing follows soon; gives back what can go on nevertheless.
    pub(crate) fn pause(&mut self) -> Bytes {
        self.rested = true;
        if self.suspicions.0.load(Ordering::Relaxed) >= BELIEVED {
            return Bytes::new();
        }
        let pending = self.mask.pending(&self.held);
        let known = self.held.len() - pending;
        self.mask.apply_before(&mut self.held, known);
        let ready = self.take(known);
        if pending >= SHORTEST {
            self.suspicions.0.fetch_add(1, Ordering::Relaxed);
            return ready;
        }
        let beginning = self.held.get(self.gone..).unwrap_or_default();
        let all = [&ready[..], beginning].concat();
        self.gone = self.held.len();
        all.into()
    }

    /// The body has ended: what was held goes on, masked where it is a whole secret.
    pub(crate) fn finish(&mut self) -> Bytes {
        let length = self.held.len();
        self.mask.apply(&mut self.held);
        self.take(length)
    }

    /// The first `count` bytes, without those that have gone on already.
    fn take(&mut self, count: usize) -> Bytes {
        let mut taken = self.held.split_to(count);
        let gone = self.gone.min(count);
        taken.advance(gone);
        self.gone -= gone;
        taken.freeze()
    }
}

#[cfg(test)]
mod tests;
