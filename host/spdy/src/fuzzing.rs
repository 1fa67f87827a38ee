//! What the fuzzer does with bytes (see `tests/fuzz`).
//!
//! In: anything. Out: nothing, or a panic where a rule of this crate is broken. Invariant: the same for the same bytes.

use std::time::Duration;

use bytes::BytesMut;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::io::{AsyncWriteExt, copy, duplex, sink, split};
use tokio_util::codec::{Decoder, Encoder};

use crate::connection::{Connection, MOST_STREAMS, WAITING};
use crate::frame::{Error, Frame, FrameDecoder, FrameEncoder, LONGEST_CONTROL};
use crate::headers::{Inflater, LONGEST_BLOCK};
use crate::stream::Opened;

/// One direction of a connection: where the bytes are cut makes no difference, and what was read can be written and read again.
///
/// # Panics
/// When a rule is broken.
pub fn frames(bytes: &[u8]) {
    let whole = decode(bytes, bytes.len().max(1));
    let cut = decode(bytes, 7);
    assert_eq!(joined(&whole.0), joined(&cut.0), "by where it is cut");
    assert_eq!(whole.1, cut.1, "the end by where it is cut");
    let (mut encoder, mut written) = (FrameEncoder::default(), BytesMut::new());
    let kept: Vec<Frame> = whole.0.into_iter().filter(|frame| !matches!(frame, Frame::Ignored)).collect();
    for frame in &kept {
        // What is too large uncompressed is not written by this side.
        if encoder.encode(frame.clone(), &mut written).is_err() {
            return;
        }
    }
    assert_eq!(joined(&decode(&written, written.len().max(1)).0), joined(&kept), "read again");
}

/// The frames, and whether they ended by breaking a rule.
fn decode(bytes: &[u8], piece: usize) -> (Vec<Frame>, bool) {
    let (mut decoder, mut buffer, mut frames) = (FrameDecoder::default(), BytesMut::new(), vec![]);
    for piece in bytes.chunks(piece) {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => {
                    assert!(!matches!(error, Error::Connection(_)), "{error}: there is none");
                    return (frames, true);
                }
            }
            assert!(buffer.capacity() <= 2 * (bytes.len() + LONGEST_CONTROL), "{}", buffer.capacity());
        }
    }
    (frames, false)
}

/// Data frames come in pieces.
fn joined(frames: &[Frame]) -> Vec<Frame> {
    let mut joined: Vec<Frame> = vec![];
    for frame in frames {
        match (joined.last_mut(), frame) {
            (Some(Frame::Data { stream, fin, bytes }), Frame::Data { stream: next, fin: last, bytes: more })
                if stream == next && !*fin =>
            {
                *bytes = [&bytes[..], more].concat().into();
                *fin = *last;
            }
            _ => joined.push(frame.clone()),
        }
    }
    joined
}

/// The header blocks of a connection, each behind two bytes with its length.
///
/// # Panics
/// When one inflates to more than it may.
pub fn headers(mut bytes: &[u8]) {
    let mut inflater = Inflater::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<2>() {
        let (block, rest) = rest.split_at(usize::from(u16::from_be_bytes(*length)).min(rest.len()));
        bytes = rest;
        let Ok(plain) = inflater.inflate(block) else { return };
        assert!(plain.len() <= 2 * LONGEST_BLOCK, "{}", plain.len());
        let Ok(headers) = crate::headers::read(&plain) else { return };
        let written = crate::headers::write(&headers);
        assert_eq!(written.and_then(|plain| crate::headers::read(&plain)), Ok(headers));
    }
}

/// A whole connection, whose streams are all accepted and read.
///
/// # Panics
/// When it does not end with its peer, or has more streams than it may.
pub fn connection(bytes: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let Ok(runtime) = runtime else { return };
    runtime.block_on(async {
        let (peer, io) = duplex(64 * 1024);
        let (mut hear, mut say) = split(peer);
        let (connection, mut incoming) = Connection::new(io, Duration::from_secs(3600));
        let saying = async {
            // It may be ended before all is said.
            say.write_all(bytes).await.ok();
            say.shutdown().await.ok();
        };
        let hearing = async { copy(&mut hear, &mut sink()).await.ok() };
        let accepting = async {
            let mut open = FuturesUnordered::new();
            loop {
                tokio::select! {
                    // Cancel-safe: see there.
                    opened = incoming.next() => match opened {
                        Some(opened) => open.push(read(opened)),
                        None => break,
                    },
                    // Cancel-safe: what has not ended stays.
                    Some(()) = open.next() => {}
                }
                assert!(open.len() <= MOST_STREAMS + WAITING, "{}", open.len());
            }
            while open.next().await.is_some() {}
        };
        tokio::join!(saying, hearing, accepting, async { connection.run().await.ok() });
    });
}

async fn read(opened: Opened) {
    let Ok((mut reader, writer)) = opened.accept().await else { return };
    while let Ok(Some(_)) = reader.next().await {}
    writer.finish().await.ok();
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// Of what the fuzzer begins with, and what it once found.
    fn replay(target: &str, run: fn(&[u8])) {
        let manifest = std::env::var_os("CARGO_MANIFEST_DIR").unwrap();
        let directory = Path::new(&manifest).join("../../tests/fuzz/corpus").join(target);
        let files: Vec<_> = std::fs::read_dir(directory).unwrap().collect();
        assert!(!files.is_empty());
        for file in files {
            run(&std::fs::read(file.unwrap().path()).unwrap());
        }
    }

    #[test]
    fn the_corpus_of_the_fuzzer_breaks_no_rule() {
        replay("spdy_frames", super::frames);
        replay("spdy_headers", super::headers);
        replay("spdy_connection", super::connection);
    }
}
