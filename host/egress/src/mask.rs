//! Credentials that come back.
//!
//! In: bytes of an answer, the secrets that went out with the request. Out: the same bytes with asterisks in the place of each secret.
//! Invariant: the length stays. What holds for bodies that come in pieces is told in [`stream`].
//!
//! A backend that shows a request back (an echo, a debug page, an error that quotes a header) would hand the provider the host's credential,
//! as it is or as JSON and URLs have it. A backend that helps on purpose (sends it backwards, or one half at a time) cannot be stopped here,
//! and is trusted with the credential anyway.

use memchr::memmem::Finder;
use pluglet_credentials::Secret;

mod stream;

pub(crate) use stream::{StreamMask, Suspicions};

/// Looks for the secrets of one exchange.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mask {
    /// Longest first: of two secrets of which one holds the other, the whole is masked.
    finders: Vec<Finder<'static>>,
}

impl Mask {
    pub(crate) fn new(secrets: &[Secret]) -> Self {
        Self::of(secrets.iter().map(Secret::as_bytes))
    }

    fn of<'a>(secrets: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut spelt: Vec<Vec<u8>> = secrets.flat_map(spellings).collect();
        spelt.sort_unstable();
        spelt.dedup();
        spelt.sort_by_key(|spelling| std::cmp::Reverse(spelling.len()));
        Self { finders: spelt.iter().map(|spelling| Finder::new(spelling).into_owned()).collect() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.finders.is_empty()
    }

    /// Masks bytes that are whole.
    pub(crate) fn apply(&self, bytes: &mut [u8]) {
        self.apply_before(bytes, bytes.len());
    }

    /// Masks what begins before `limit`.
    fn apply_before(&self, bytes: &mut [u8], limit: usize) {
        for finder in &self.finders {
            let length = finder.needle().len();
            let mut from = 0;
            while let Some(at) = bytes.get(from..).and_then(|rest| finder.find(rest)) {
                let start = from + at;
                if start >= limit {
                    break;
                }
                if let Some(found) = bytes.get_mut(start..start + length) {
                    found.fill(b'*');
                }
                from = start + length;
            }
        }
    }

    /// Masks what is whole and makes it text. In this order: of a secret that is no text, the replaced bytes would hide the others.
    pub(crate) fn text(&self, bytes: &[u8]) -> String {
        if self.is_empty() {
            return String::from_utf8_lossy(bytes).into_owned();
        }
        let mut bytes = bytes.to_vec();
        self.apply(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Whether a secret is in there.
    pub(crate) fn finds(&self, bytes: &[u8]) -> bool {
        self.finders.iter().any(|finder| finder.find(bytes).is_some())
    }

    /// How many bytes at the end may be the beginning of a secret.
    fn pending(&self, bytes: &[u8]) -> usize {
        self.finders.iter().map(|finder| beginning_at_end(finder.needle(), bytes)).max().unwrap_or(0)
    }

    /// Whether no secret goes over the end of a line.
    fn is_within_lines(&self) -> bool {
        !self.finders.iter().any(|finder| finder.needle().contains(&b'\n'))
    }

    /// Length of the longest secret; 0 when there is none.
    fn longest(&self) -> usize {
        self.finders.iter().map(|finder| finder.needle().len()).max().unwrap_or(0)
    }
}

/// The secret as it is, and as careful software quotes it: in JSON, in JSON that may stand in a page (`\/`), in a URL.
fn spellings(secret: &[u8]) -> [Vec<u8>; 4] {
    let escaped = |special: &[u8]| {
        let escape = |byte: &u8| if special.contains(byte) { vec![b'\\', *byte] } else { vec![*byte] };
        secret.iter().flat_map(escape).collect::<Vec<u8>>()
    };
    let percent = |byte: &u8| {
        let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
        if plain { vec![*byte] } else { format!("%{byte:02X}").into_bytes() }
    };
    [secret.to_vec(), escaped(b"\"\\"), escaped(b"\"\\/"), secret.iter().flat_map(percent).collect()]
}

/// Length of the longest proper beginning of `needle` that `bytes` ends with.
fn beginning_at_end(needle: &[u8], bytes: &[u8]) -> usize {
    let Some((first, _)) = needle.split_first() else { return 0 };
    let longest = bytes.len().min(needle.len() - 1);
    let tail = bytes.get(bytes.len() - longest..).unwrap_or_default();
    memchr::memchr_iter(*first, tail)
        .find_map(|at| tail.get(at..).filter(|end| needle.starts_with(end)).map(<[u8]>::len))
        .unwrap_or(0)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn mask(secrets: &[&str]) -> Mask {
        Mask::of(secrets.iter().map(|secret| secret.as_bytes()))
    }

    #[test]
    fn a_secret_is_masked_as_json_and_urls_spell_it() {
        let mask = mask(&["a/b+c==", "say \"hi\\\""]);
        for (text, masked) in [
            (r#"{"t":"a/b+c=="}"#, r#"{"t":"*******"}"#),
            (r#"{"t":"a\/b+c=="}"#, r#"{"t":"********"}"#),
            ("?t=a%2Fb%2Bc%3D%3D&x", "?t=***************&x"),
            (r#"{"p":"say \"hi\\\""}"#, r#"{"p":"************"}"#),
        ] {
            assert_eq!(mask.text(text.as_bytes()), masked);
        }
    }

    #[test]
    fn every_secret_is_masked_wherever_it_stands() {
        let mask = mask(&["token", "token-two"]);
        assert_eq!(mask.text(b"a token, token-two, tokentoken"), "a *****, *********, **********");
        assert_eq!(mask.text(b"nothing here, tok en"), "nothing here, tok en");
    }
}
