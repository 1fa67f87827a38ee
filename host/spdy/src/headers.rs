//! Header blocks: compressed lists of names and values.
//!
//! In: [`Headers`], or a block as it came. Out: the other. Invariant: one [`Deflater`] and one [`Inflater`] serve all blocks of a connection in
//! one direction, in order: a block that is skipped makes all later ones unreadable.

use flate2::{Decompress, FlushDecompress, Status};

use crate::dictionary::DICTIONARY;

/// A block may inflate to so much. A few bytes can inflate to gigabytes.
pub(crate) const LONGEST_BLOCK: usize = 64 * 1024;
/// Kubernetes sends three headers with a stream.
const MOST_HEADERS: usize = 100;
/// Of one name or value.
const LONGEST_FIELD: usize = 8 * 1024;

/// Headers of a stream: names in lower case, in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

/// Why a block cannot be read. The connection cannot go on after any of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is not what zlib makes with the dictionary.
    #[error("a header block is not compressed as it must be")]
    Compression,
    /// It would take too much memory.
    #[error("a header block is too large")]
    TooLarge,
    /// What was compressed is no list of headers.
    #[error("a header block is malformed")]
    Malformed,
}

impl Headers {
    /// The value of a header, whichever case its name is asked for in.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(headers: I) -> Self {
        let lower = |name: String| name.to_ascii_lowercase();
        Self(headers.into_iter().map(|(name, value)| (lower(name.into()), value.into())).collect())
    }
}

/// Writes blocks. It compresses nothing: what is sent are replies without headers, for which a compressor would keep 260 KiB a connection.
#[derive(Default)]
pub(crate) struct Deflater {
    begun: bool,
}

/// The beginning of a stream with a dictionary (RFC 1950, section 2.2), and which.
const BEGIN: [u8; 6] = [0x78, 0xbb, 0xe3, 0xc6, 0xa7, 0xc2];

/// An empty block. Go's decompressor hands out what it has only when it comes to one.
const FLUSH: [u8; 5] = [0, 0, 0, 0xff, 0xff];

impl Deflater {
    /// A block that says itself how long it is (RFC 1951, section 3.2.4), and is not the last one.
    pub(crate) fn block(&mut self, headers: &Headers) -> Result<Vec<u8>, Error> {
        let plain = write(headers)?;
        let length = u16::try_from(plain.len()).map_err(|_| Error::TooLarge)?;
        let mut block = if std::mem::replace(&mut self.begun, true) { vec![] } else { BEGIN.to_vec() };
        block.push(0);
        block.extend_from_slice(&length.to_le_bytes());
        block.extend_from_slice(&(!length).to_le_bytes());
        block.extend_from_slice(&plain);
        block.extend_from_slice(&FLUSH);
        Ok(block)
    }
}

/// Reads blocks.
pub(crate) struct Inflater(Decompress);

impl Inflater {
    pub(crate) fn new() -> Self {
        Self(Decompress::new(true))
    }

    pub(crate) fn headers(&mut self, block: &[u8]) -> Result<Headers, Error> {
        read(&self.inflate(block)?)
    }

    pub(crate) fn inflate(&mut self, block: &[u8]) -> Result<Vec<u8>, Error> {
        let mut plain = Vec::with_capacity(1024);
        let begin = self.0.total_in();
        loop {
            let (read, written) = (self.0.total_in(), plain.len());
            let rest = block.get(usize::try_from(read - begin).unwrap_or(usize::MAX)..).unwrap_or_default();
            match self.0.decompress_vec(rest, &mut plain, FlushDecompress::Sync) {
                Ok(Status::StreamEnd) => return Err(Error::Compression),
                Ok(Status::Ok | Status::BufError) => {}
                Err(error) if error.needs_dictionary().is_some() => {
                    self.0.set_dictionary(&DICTIONARY).map_err(|_| Error::Compression)?;
                    continue;
                }
                Err(_) => return Err(Error::Compression),
            }
            let full = plain.len() == plain.capacity();
            if !full && self.0.total_in() - begin == block.len() as u64 {
                return Ok(plain);
            }
            if !full && (self.0.total_in(), plain.len()) == (read, written) {
                return Err(Error::Compression);
            }
            if plain.len() >= LONGEST_BLOCK {
                return Err(Error::TooLarge);
            }
            if full {
                plain.reserve(plain.len());
            }
        }
    }
}

/// Count, then each name and value with its length before it; all numbers have 32 bits.
pub(crate) fn write(headers: &Headers) -> Result<Vec<u8>, Error> {
    let mut plain = length(headers.0.len())?.to_vec();
    for text in headers.0.iter().flat_map(|(name, value)| [name, value]) {
        plain.extend_from_slice(&length(text.len())?);
        plain.extend_from_slice(text.as_bytes());
    }
    Ok(plain)
}

fn length(length: usize) -> Result<[u8; 4], Error> {
    u32::try_from(length).map(u32::to_be_bytes).map_err(|_| Error::TooLarge)
}

pub(crate) fn read(mut plain: &[u8]) -> Result<Headers, Error> {
    let count = number(&mut plain)?;
    if count > MOST_HEADERS {
        return Err(Error::TooLarge);
    }
    let mut headers: Vec<(String, String)> = Vec::with_capacity(count);
    for _ in 0..count {
        let name = text(&mut plain)?.to_ascii_lowercase();
        let value = text(&mut plain)?;
        if name.is_empty() || headers.iter().any(|(known, _)| *known == name) {
            return Err(Error::Malformed);
        }
        headers.push((name, value));
    }
    if plain.is_empty() { Ok(Headers(headers)) } else { Err(Error::Malformed) }
}

fn number(plain: &mut &[u8]) -> Result<usize, Error> {
    let (number, rest) = plain.split_first_chunk::<4>().ok_or(Error::Malformed)?;
    *plain = rest;
    usize::try_from(u32::from_be_bytes(*number)).map_err(|_| Error::TooLarge)
}

fn text(plain: &mut &[u8]) -> Result<String, Error> {
    let length = number(plain)?;
    if length > LONGEST_FIELD {
        return Err(Error::TooLarge);
    }
    let (text, rest) = plain.split_at_checked(length).ok_or(Error::Malformed)?;
    *plain = rest;
    String::from_utf8(text.to_vec()).map_err(|_| Error::Malformed)
}

#[cfg(test)]
mod tests;
