//! Lines of JSON, as events and pulls come.
//!
//! In: pieces of a body. Out: its lines. Invariant: a line that is not ended yet waits for its end; one without end is given up.

use pluglet_sdk::{Body, HttpError};
use serde::de::DeserializeOwned;

/// Events repeat all labels of a container, and hardly come to more than a few thousand bytes.
const LONGEST: usize = 1 << 20;

/// A body that consists of lines.
pub(crate) struct Lines {
    body: Body,
    buffer: Vec<u8>,
}

impl Lines {
    pub(crate) fn new(body: Body) -> Self {
        Self { body, buffer: Vec::new() }
    }

    /// The next line that fits the type; others are passed over. None at the end.
    pub(crate) async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, HttpError> {
        loop {
            while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                if let Ok(item) = serde_json::from_slice(&line) {
                    return Ok(Some(item));
                }
            }
            if self.buffer.len() > LONGEST {
                return Err(HttpError::TooLarge);
            }
            match self.body.chunk().await? {
                Some(chunk) => self.buffer.extend(chunk),
                // The last line need not have an end.
                None if self.buffer.is_empty() => return Ok(None),
                None => return Ok(serde_json::from_slice(&std::mem::take(&mut self.buffer)).ok()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use futures::stream;

    use super::*;

    #[test]
    fn lines_are_found_however_they_are_cut() {
        let pieces = ["{\"a\"", ":1}\n{\"a\":2}\nnoise\n{\"b\"", ":3}\n{\"a\":", "4}"];
        let body = Body::from_stream(stream::iter(pieces.map(|piece| Ok(piece.as_bytes().to_vec()))));
        let mut lines = Lines::new(body);
        let mut all = Vec::new();
        #[derive(serde::Deserialize)]
        struct A {
            a: u8,
        }
        while let Some(A { a }) = block_on(lines.next()).unwrap() {
            all.push(a);
        }
        assert_eq!(all, [1, 2, 4]);
    }
}
