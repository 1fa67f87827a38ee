//! What a provider gets to see of an answer.
//!
//! In: the head and body of a response, the mask of its exchange. Out: headers as text, whole bodies. Invariant: nothing that the host's
//! credential consists of, and no more bytes than allowed.

use std::sync::Arc;

use bytes::Buf as _;
use http::HeaderMap;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::endpoint::body_failed;
use crate::error::Error;
use crate::header;
use crate::mask::Mask;

/// Headers as text. Bytes that are not UTF-8 are replaced: the contract has text.
pub(crate) fn headers(headers: HeaderMap, authorized: bool, mask: &Mask) -> Vec<(String, String)> {
    header::answered(headers, authorized)
        .iter()
        .map(|(name, value)| (mask.text(name.as_str().as_bytes()), mask.text(value.as_bytes())))
        .collect()
}

/// A body that is collected, with the room that it takes in the host's memory.
pub(crate) struct Collected {
    pub(crate) bytes: Vec<u8>,
    pub(crate) room: Option<OwnedSemaphorePermit>,
}

/// The whole body, as long as it fits into `cap` and into what all answers together may take.
pub(crate) async fn collect(
    mut body: Incoming,
    cap: usize,
    mask: &Mask,
    budget: &Arc<Semaphore>,
) -> Result<Collected, Error> {
    // What the head tells is only a hint for the first allocation: it may be a lie, and for HEAD it is about another answer.
    let told = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let mut collected = Collected { bytes: Vec::with_capacity(told.min(cap).min(FIRST_ALLOCATION)), room: None };
    while let Some(frame) = body.frame().await {
        let Ok(mut data) = frame.map_err(|error| body_failed(&error, mask))?.into_data() else { continue };
        if collected.bytes.len() + data.len() > cap {
            return Err(Error::TooLarge);
        }
        collected.reserve(data.len(), budget)?;
        while data.has_remaining() {
            let chunk = data.chunk();
            collected.bytes.extend_from_slice(chunk);
            let taken = chunk.len();
            data.advance(taken);
        }
    }
    mask.apply(&mut collected.bytes);
    Ok(collected)
}

/// Largest allocation on the word of the peer alone.
const FIRST_ALLOCATION: usize = 64 << 10;

impl Collected {
    fn reserve(&mut self, bytes: usize, budget: &Arc<Semaphore>) -> Result<(), Error> {
        let bytes = u32::try_from(bytes).map_err(|_| Error::TooLarge)?;
        let more = Arc::clone(budget)
            .try_acquire_many_owned(bytes)
            .map_err(|_| Error::Busy("this provider has too many bytes of answers under way; ask for less at once"))?;
        match &mut self.room {
            Some(room) => room.merge(more),
            None => self.room = Some(more),
        }
        Ok(())
    }
}
