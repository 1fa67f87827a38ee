//! What a provider gets to see of an answer.
//!
//! In: an exchange whose head has come. Out: headers as text, whole answers. Invariant: nothing that the host's
//! credential consists of, and no more bytes than allowed.

use std::sync::Arc;

use http::HeaderMap;
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::endpoint::{Exchange, body_failed};
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

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Headers, without those of the connection.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// Its room among all answers, given back when this is dropped.
    _room: Option<OwnedSemaphorePermit>,
}

/// Largest allocation on the word of the peer alone.
const FIRST_ALLOCATION: usize = 64 << 10;

/// The whole answer, as long as its body fits into `cap` and into what all answers together may take.
pub(crate) async fn whole(exchange: Exchange, cap: usize, budget: &Arc<Semaphore>) -> Result<Answer, Error> {
    let Exchange { response, mask, authorized, .. } = exchange;
    let (head, mut incoming) = response.into_parts();
    // What the head tells is only a hint for the first allocation: it may be a lie, and for HEAD it is about another answer.
    let told = usize::try_from(incoming.size_hint().lower()).unwrap_or(usize::MAX);
    let mut body = Vec::with_capacity(told.min(cap).min(FIRST_ALLOCATION));
    let mut room = None;
    while let Some(frame) = incoming.frame().await {
        let Ok(data) = frame.map_err(|error| body_failed(&error, &mask))?.into_data() else { continue };
        if body.len() + data.len() > cap {
            return Err(Error::TooLarge);
        }
        reserve(&mut room, data.len(), budget)?;
        body.extend_from_slice(&data);
    }
    mask.apply(&mut body);
    let headers = headers(head.headers, authorized, &mask);
    Ok(Answer { status: head.status.as_u16(), headers, body, _room: room })
}

fn reserve(room: &mut Option<OwnedSemaphorePermit>, bytes: usize, budget: &Arc<Semaphore>) -> Result<(), Error> {
    let bytes = u32::try_from(bytes).map_err(|_| Error::TooLarge)?;
    let more = Arc::clone(budget)
        .try_acquire_many_owned(bytes)
        .map_err(|_| Error::Busy("this provider has too many bytes of answers under way; ask for less at once"))?;
    match room {
        Some(room) => room.merge(more),
        None => *room = Some(more),
    }
    Ok(())
}
