//! How one change looks in the file.
//!
//! In: a [`Change`]. Out: bytes, and back. Invariant: a record is read whole and unchanged or not at all. Pure.
//!
//! ```text
//! u32 length of the rest │ u64 checksum of what follows │ u8 kind │ u16 length of the key │ key │ value
//! ```
//!
//! All numbers are little-endian. Length-prefixed and not JSON lines: values are bytes, and 256 KiB of base64 for each would cost
//! more than the write itself.

/// The first bytes of a file. A later format gets another number.
pub(super) const MAGIC: &[u8; 8] = b"plugkv\0\x01";

const LENGTH_BYTES: usize = 4;
const CHECKSUM_BYTES: usize = 8;
const KEY_LENGTH_BYTES: usize = 2;
const PUT: u8 = 1;
const DELETE: u8 = 2;

/// One change of the map.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change<'a> {
    /// The key has this value from now on.
    Put { key: &'a str, value: &'a [u8] },
    /// The key is gone.
    Delete { key: &'a str },
}

impl Change<'_> {
    /// The record, to be written in one piece.
    pub(super) fn encode(&self) -> Vec<u8> {
        let (kind, key, value): (u8, &str, &[u8]) = match self {
            Self::Put { key, value } => (PUT, key, value),
            Self::Delete { key } => (DELETE, key, &[]),
        };
        let mut content = Vec::with_capacity(1 + KEY_LENGTH_BYTES + key.len() + value.len());
        content.push(kind);
        // Keys are at most 512 bytes, which the caller has checked.
        content.extend_from_slice(&u16::try_from(key.len()).unwrap_or(u16::MAX).to_le_bytes());
        content.extend_from_slice(key.as_bytes());
        content.extend_from_slice(value);
        let length = u32::try_from(CHECKSUM_BYTES + content.len()).unwrap_or(u32::MAX);
        [&length.to_le_bytes()[..], &checksum(&content).to_le_bytes(), &content].concat()
    }
}

/// The first record of `bytes` and what follows it. None when it is torn or damaged, or nothing is left.
pub(super) fn decode(bytes: &[u8]) -> Option<(Change<'_>, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<LENGTH_BYTES>()?;
    let (record, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
    let (expected, content) = record.split_first_chunk::<CHECKSUM_BYTES>()?;
    if checksum(content) != u64::from_le_bytes(*expected) {
        return None;
    }
    let (kind, content) = content.split_first()?;
    let (length, content) = content.split_first_chunk::<KEY_LENGTH_BYTES>()?;
    let (key, value) = content.split_at_checked(u16::from_le_bytes(*length).into())?;
    let key = std::str::from_utf8(key).ok()?;
    match *kind {
        PUT => Some((Change::Put { key, value }, rest)),
        DELETE => Some((Change::Delete { key }, rest)),
        _ => None,
    }
}

/// FNV-1a. It tells a torn write from a whole one; it is not meant to withstand anyone, because who can write the file needs no
/// collisions.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_the_way_through_bytes() {
        let put = Change::Put { key: "pods/ä", value: &[0, 255, 10] };
        let delete = Change::Delete { key: "" };
        let bytes = [put.encode(), delete.encode()].concat();
        let (first, rest) = decode(&bytes).unwrap();
        assert_eq!(first, put);
        let (second, rest) = decode(rest).unwrap();
        assert_eq!(second, delete);
        assert!(decode(rest).is_none());
    }

    #[test]
    fn a_record_cut_or_changed_anywhere_is_not_read() {
        let bytes = Change::Put { key: "key", value: b"value" }.encode();
        for end in 0..bytes.len() {
            assert!(decode(&bytes[..end]).is_none(), "cut at {end}");
        }
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(decode(&changed).is_none(), "changed at {at}");
        }
    }
}
