//! Bytes that must not be seen.
//!
//! In: what was read from a file or a token answer. Out: [`Secret`]. Invariant: the only way to the bytes is [`Secret::as_bytes`];
//! the last clone to go wipes them.

use std::fmt;
use std::sync::Arc;

use http::HeaderValue;
use zeroize::Zeroizing;

/// Shorter secrets are not told for masking. Wherever they occur by chance they would be cut out of answers, and three bytes occur
/// everywhere.
const SHORTEST_TO_MASK: usize = 4;

/// A secret. Cloning shares it.
#[derive(Clone)]
pub struct Secret(Arc<Zeroizing<Vec<u8>>>);

impl Secret {
    pub(crate) fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Arc::new(Zeroizing::new(bytes.into())))
    }

    /// The secret itself, in the form in which it goes over the wire.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether masking it does more good than harm.
    pub(crate) fn worth_masking(&self) -> bool {
        self.0.len() >= SHORTEST_TO_MASK
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// `prefix` and `secret` as a header that the HTTP stack neither prints nor puts into HPACK's table. `None` when it has bytes that
/// a header cannot have.
pub(crate) fn header_value(prefix: &str, secret: &[u8]) -> Option<HeaderValue> {
    let joined = Zeroizing::new([prefix.as_bytes(), secret].concat());
    let mut value = HeaderValue::from_bytes(&joined).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_print_itself() {
        assert_eq!(format!("{:?}", Secret::new("hunter22")), "Secret(…)");
    }

    #[test]
    fn a_header_made_of_a_secret_is_sensitive() {
        let value = header_value("Bearer ", b"abc").unwrap();
        assert_eq!(value, "Bearer abc");
        assert!(value.is_sensitive() && !format!("{value:?}").contains("abc"));
        assert!(header_value("", b"a\nb").is_none());
    }

    #[test]
    fn three_bytes_are_too_short_to_mask() {
        assert!(!Secret::new("abc").worth_masking() && Secret::new("abcd").worth_masking());
    }
}
