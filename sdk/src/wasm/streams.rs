//! The host's streams as streams of the `futures` crate.
//!
//! In: reading ends. Out: chunks and items in order. Invariant: a read that is under way belongs to the stream and not to whoever waits for
//! it, so nothing is lost when waiting is given up; dropping the stream tells the host that nobody reads.

use futures::stream::{self, Stream, StreamExt};
use wit_bindgen::{StreamReader, StreamResult};

use crate::sessions::ByteStream;

/// How many bytes are read at once.
pub(super) const CHUNK: usize = 32 << 10;

pub(super) fn byte_stream(reader: StreamReader<u8>) -> ByteStream {
    chunks(reader, CHUNK).boxed_local()
}

pub(super) fn items<T: 'static>(reader: StreamReader<T>, most: usize) -> impl Stream<Item = T> {
    chunks(reader, most).flat_map(stream::iter)
}

/// What the host writes, in pieces of at most `most` items.
pub(super) fn chunks<T: 'static>(reader: StreamReader<T>, most: usize) -> impl Stream<Item = Vec<T>> {
    stream::unfold(Some(reader), move |reader| async move {
        let mut reader = reader?;
        let (result, chunk) = reader.read(Vec::with_capacity(most)).await;
        let open = matches!(result, StreamResult::Complete(_));
        (open || !chunk.is_empty()).then_some((chunk, open.then_some(reader)))
    })
}
