//! Frames of SPDY/3.1, as bytes and as values.
//!
//! In: bytes of one direction of a connection, or [`Frame`]s. Out: the other. Invariant: what a peer announces is never allocated: a control frame
//! is read only below [`LONGEST_CONTROL`], and a data frame is handed on in the pieces in which it arrives.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use crate::headers::{self, Deflater, Headers, Inflater};

/// A control frame may announce 16 MiB. Those of Kubernetes have some hundred bytes.
pub(crate) const LONGEST_CONTROL: usize = 64 * 1024;
const HEAD: usize = 8;
const VERSION: u16 = 3;
/// The first bit of a control frame.
const CONTROL: u16 = 0x8000;
/// Identities have 31 bits.
const IDENTITY: u32 = 0x7fff_ffff;
const FIN: u8 = 1;

/// What one peer tells the other. SETTINGS, WINDOW_UPDATE and what nobody knows are read and dropped: Kubernetes' peers never send them, and
/// the specification wants the last ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Opens a stream.
    SynStream {
        /// Odd from a client.
        stream: u32,
        /// The sender will send no data.
        fin: bool,
        /// Of the stream.
        headers: Headers,
    },
    /// Accepts a stream.
    SynReply {
        /// Which.
        stream: u32,
        /// The sender will send no data.
        fin: bool,
        /// Of the stream.
        headers: Headers,
    },
    /// Ends a stream in both directions.
    RstStream {
        /// Which.
        stream: u32,
        /// Why, see [`Reset`].
        status: u32,
    },
    /// To be sent back.
    Ping(u32),
    /// The sender takes no new streams.
    GoAway,
    /// More headers of a stream.
    Headers {
        /// Which.
        stream: u32,
        /// The sender will send no more data.
        fin: bool,
    },
    /// Bytes of a stream, perhaps a piece of a larger frame.
    Data {
        /// Which.
        stream: u32,
        /// The sender will send no more.
        fin: bool,
        /// May be empty.
        bytes: Bytes,
    },
    /// Nothing that anybody must know.
    Ignored,
}

/// Why a stream is ended (RST_STREAM).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Reset {
    /// The peer broke a rule.
    ProtocolError = 1,
    /// There is no such stream.
    InvalidStream = 2,
    /// It was not looked at.
    RefusedStream = 3,
    /// It is not needed any more.
    Cancel = 5,
    /// This side failed.
    InternalError = 6,
}

/// Why the bytes of a connection cannot be read any further.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not SPDY/3.1.
    #[error("a frame of version {0}, not {VERSION}")]
    Version(u16),
    /// It would take too much memory.
    #[error("a control frame of {0} bytes; at most {LONGEST_CONTROL} are taken")]
    TooLong(usize),
    /// Too short, or with a length that it cannot have.
    #[error("a malformed {0} frame")]
    Malformed(&'static str),
    /// Likewise its headers.
    #[error(transparent)]
    Headers(#[from] headers::Error),
    /// The connection failed.
    #[error("the connection broke")]
    Connection(#[from] std::io::Error),
}

/// Reads the frames of one connection.
pub struct FrameDecoder {
    inflater: Inflater,
    /// The data frame of which not all has come yet.
    data: Option<Data>,
}

/// Writes the frames of one connection.
#[derive(Default)]
pub struct FrameEncoder {
    deflater: Deflater,
}

struct Data {
    stream: u32,
    fin: bool,
    left: usize,
}

impl Default for FrameDecoder {
    fn default() -> Self {
        Self { inflater: Inflater::new(), data: None }
    }
}

impl FrameDecoder {
    fn control(&mut self, kind: u16, flags: u8, mut payload: Bytes) -> Result<Frame, Error> {
        let fin = flags & FIN != 0;
        Ok(match kind {
            1 if payload.len() >= 10 => {
                let stream = payload.get_u32() & IDENTITY;
                // The associated stream, the priority and the slot.
                payload.advance(6);
                Frame::SynStream { stream, fin, headers: self.inflater.headers(&payload)? }
            }
            2 if payload.len() >= 4 => {
                let stream = payload.get_u32() & IDENTITY;
                Frame::SynReply { stream, fin, headers: self.inflater.headers(&payload)? }
            }
            3 if payload.len() == 8 => {
                Frame::RstStream { stream: payload.get_u32() & IDENTITY, status: payload.get_u32() }
            }
            6 if payload.len() == 4 => Frame::Ping(payload.get_u32()),
            7 if payload.len() >= 4 => Frame::GoAway,
            8 if payload.len() >= 4 => {
                let stream = payload.get_u32() & IDENTITY;
                // Read, or the next block cannot be.
                self.inflater.headers(&payload)?;
                Frame::Headers { stream, fin }
            }
            1 => return Err(Error::Malformed("SYN_STREAM")),
            2 => return Err(Error::Malformed("SYN_REPLY")),
            3 => return Err(Error::Malformed("RST_STREAM")),
            6 => return Err(Error::Malformed("PING")),
            7 => return Err(Error::Malformed("GOAWAY")),
            8 => return Err(Error::Malformed("HEADERS")),
            _ => Frame::Ignored,
        })
    }

    /// A piece of the data frame that is being read; None where more must come first.
    fn piece(&mut self, from: &mut BytesMut) -> Option<Frame> {
        let data = self.data.as_mut()?;
        if from.is_empty() && data.left > 0 {
            return None;
        }
        let bytes = from.split_to(data.left.min(from.len())).freeze();
        data.left -= bytes.len();
        let last = data.left == 0;
        let frame = Frame::Data { stream: data.stream, fin: data.fin && last, bytes };
        if last {
            self.data = None;
        }
        Some(frame)
    }
}

impl Decoder for FrameDecoder {
    type Item = Frame;
    type Error = Error;

    fn decode(&mut self, from: &mut BytesMut) -> Result<Option<Frame>, Error> {
        if self.data.is_some() {
            return Ok(self.piece(from));
        }
        let Some(mut head) = from.get(..HEAD) else { return Ok(None) };
        let (first, second, flags_and_length) = (head.get_u16(), head.get_u16(), head.get_u32());
        let [flags, length @ ..] = flags_and_length.to_be_bytes();
        let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        if first & CONTROL == 0 {
            from.advance(HEAD);
            let stream = u32::from(first) << 16 | u32::from(second);
            self.data = Some(Data { stream, fin: flags & FIN != 0, left: length });
            return Ok(self.piece(from));
        }
        let version = first & !CONTROL;
        if version != VERSION {
            return Err(Error::Version(version));
        }
        if length > LONGEST_CONTROL {
            return Err(Error::TooLong(length));
        }
        if from.len() < HEAD + length {
            from.reserve(HEAD + length - from.len());
            return Ok(None);
        }
        from.advance(HEAD);
        let payload = from.split_to(length).freeze();
        self.control(second, flags, payload).map(Some)
    }
}

impl Encoder<Frame> for FrameEncoder {
    type Error = Error;

    fn encode(&mut self, frame: Frame, to: &mut BytesMut) -> Result<(), Error> {
        match frame {
            Frame::SynStream { stream, fin, headers } => {
                let block = self.deflater.block(&headers)?;
                control(to, 1, fin, 10 + block.len());
                to.put_u32(stream);
                to.put_slice(&[0; 6]);
                to.put_slice(&block);
            }
            Frame::SynReply { stream, fin, headers } => {
                let block = self.deflater.block(&headers)?;
                control(to, 2, fin, 4 + block.len());
                to.put_u32(stream);
                to.put_slice(&block);
            }
            Frame::RstStream { stream, status } => {
                control(to, 3, false, 8);
                to.put_u32(stream);
                to.put_u32(status);
            }
            Frame::Ping(id) => {
                control(to, 6, false, 4);
                to.put_u32(id);
            }
            Frame::GoAway => {
                control(to, 7, false, 8);
                to.put_u64(0);
            }
            Frame::Headers { stream, fin } => {
                let block = self.deflater.block(&Headers::default())?;
                control(to, 8, fin, 4 + block.len());
                to.put_u32(stream);
                to.put_slice(&block);
            }
            Frame::Data { stream, fin, bytes } => {
                to.reserve(HEAD + bytes.len());
                to.put_u32(stream & IDENTITY);
                to.put_u8(if fin { FIN } else { 0 });
                to.put_uint(bytes.len() as u64, 3);
                to.put_slice(&bytes);
            }
            Frame::Ignored => {}
        }
        Ok(())
    }
}

fn control(to: &mut BytesMut, kind: u16, fin: bool, length: usize) {
    to.reserve(HEAD + length);
    to.put_u16(CONTROL | VERSION);
    to.put_u16(kind);
    to.put_u8(if fin { FIN } else { 0 });
    to.put_uint(length as u64, 3);
}

#[cfg(test)]
mod tests;
