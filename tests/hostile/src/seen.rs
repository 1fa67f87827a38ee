//! What the guest saw, as JSON for the test.
//!
//! In: bytes, headers, errors. Out: JSON values. Invariant: texts are cut at 4 KiB, so that the results of many instructions fit into a status.

use pluglet_sdk::{HttpError, KvError};
use serde_json::{Map, Value, json};

/// How much of a text is shown.
const SHOWN_BYTES: usize = 4 << 10;

/// Bytes that are only counted and summed.
pub(crate) struct Seen {
    bytes: u64,
    sum: u64,
    head: Vec<u8>,
}

impl Default for Seen {
    fn default() -> Self {
        // The offset basis of FNV-1a with 64 bits.
        Self { bytes: 0, sum: 0xcbf2_9ce4_8422_2325, head: Vec::new() }
    }
}

impl Seen {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut seen = Self::default();
        seen.add(bytes);
        seen
    }

    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        for byte in bytes {
            self.sum = (self.sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        let room = SHOWN_BYTES.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend(bytes.iter().take(room));
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// `bytes`, `fnv1a` and `text`.
    pub(crate) fn into_fields(self) -> Map<String, Value> {
        let text = String::from_utf8_lossy(&self.head).into_owned();
        Map::from_iter([
            ("bytes".to_owned(), json!(self.bytes)),
            ("fnv1a".to_owned(), json!(format!("{:016x}", self.sum))),
            ("text".to_owned(), json!(text)),
        ])
    }
}

/// Fields of two objects in one.
pub(crate) fn merged(first: Value, second: Map<String, Value>) -> Value {
    match first {
        Value::Object(mut first) => {
            first.extend(second);
            Value::Object(first)
        }
        other => other,
    }
}

/// `{"error": {"case": …, "text": …}}`.
pub(crate) fn failed(case: &str, text: impl ToString) -> Value {
    json!({"error": {"case": case, "text": text.to_string()}})
}

/// The case of an error of the transport, as the contract spells it.
pub(crate) fn http_case(error: &HttpError) -> &'static str {
    match error {
        HttpError::Denied(_) => "denied",
        HttpError::Unsupported(_) => "unsupported",
        HttpError::Timeout => "timeout",
        HttpError::Connect(_) => "connect",
        HttpError::TooLarge => "too-large",
        HttpError::Protocol(_) => "protocol",
        HttpError::Other(_) => "other",
    }
}

/// The error of a request.
pub(crate) fn http_failed(error: &HttpError) -> Value {
    let text = match error {
        HttpError::Timeout | HttpError::TooLarge => "",
        HttpError::Denied(text)
        | HttpError::Unsupported(text)
        | HttpError::Connect(text)
        | HttpError::Protocol(text)
        | HttpError::Other(text) => text,
    };
    failed(http_case(error), text)
}

/// The error of the key-value store.
pub(crate) fn kv_failed(error: &KvError) -> Value {
    match error {
        KvError::TooLarge(text) => failed("too-large", text),
        KvError::Io(text) => failed("io", text),
    }
}

#[cfg(test)]
mod tests {
    use super::Seen;

    #[test]
    fn the_checksum_is_fnv_1a_whatever_the_chunks() {
        let mut seen = Seen::default();
        seen.add(b"foo");
        seen.add(b"bar");
        let fields = seen.into_fields();
        assert_eq!((fields["fnv1a"].as_str(), fields["bytes"].as_u64()), (Some("85944171f73967e8"), Some(6)));
        assert_eq!(fields["text"], "foobar");
    }

    #[test]
    fn texts_are_cut_and_bytes_are_counted() {
        let fields = Seen::of(&[b'x'; 5000]).into_fields();
        assert_eq!((fields["text"].as_str().map(str::len), fields["bytes"].as_u64()), (Some(4096), Some(5000)));
    }
}
