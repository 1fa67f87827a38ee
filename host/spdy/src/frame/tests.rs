//! Frames as bytes.

use proptest::prelude::*;

use super::*;

fn encoded(frames: impl IntoIterator<Item = Frame>) -> BytesMut {
    let (mut encoder, mut bytes) = (FrameEncoder::default(), BytesMut::new());
    for frame in frames {
        encoder.encode(frame, &mut bytes).unwrap();
    }
    bytes
}

fn decoded(mut bytes: BytesMut) -> Vec<Frame> {
    let (mut decoder, mut frames) = (FrameDecoder::default(), vec![]);
    while let Some(frame) = decoder.decode(&mut bytes).unwrap() {
        frames.push(frame);
    }
    assert!(bytes.is_empty());
    frames
}

fn error(bytes: &[u8]) -> String {
    FrameDecoder::default().decode(&mut bytes.into()).unwrap_err().to_string()
}

fn samples() -> Vec<Frame> {
    let headers = || [("streamtype", "error")].into_iter().collect();
    vec![
        Frame::SynStream { stream: 1, fin: false, headers: headers() },
        Frame::SynReply { stream: 1, fin: true, headers: Headers::default() },
        Frame::Data { stream: 1, fin: false, bytes: Bytes::from_static(b"hello") },
        Frame::Data { stream: 0x7fff_ffff, fin: true, bytes: Bytes::new() },
        Frame::RstStream { stream: 3, status: Reset::Cancel as u32 },
        Frame::Ping(7),
        Frame::Headers { stream: 1, fin: true },
        Frame::SynStream { stream: 5, fin: true, headers: headers() },
        Frame::GoAway,
    ]
}

#[test]
fn frames_come_back_as_they_were() {
    assert_eq!(decoded(encoded(samples())), samples());
}

#[test]
fn frames_look_as_the_specification_has_them() {
    assert_eq!(encoded([Frame::Ping(0x0102_0304)])[..], [0x80, 3, 0, 6, 0, 0, 0, 4, 1, 2, 3, 4]);
    assert_eq!(
        encoded([Frame::RstStream { stream: 5, status: 3 }])[..],
        [0x80, 3, 0, 3, 0, 0, 0, 8, 0, 0, 0, 5, 0, 0, 0, 3]
    );
    let data = Frame::Data { stream: 9, fin: true, bytes: Bytes::from_static(b"ab") };
    assert_eq!(encoded([data])[..], [0, 0, 0, 9, 1, 0, 0, 2, b'a', b'b']);
}

#[test]
fn a_data_frame_is_handed_on_as_it_comes_and_its_end_with_the_last_piece() {
    let mut decoder = FrameDecoder::default();
    let mut bytes = BytesMut::from(&[0, 0, 0, 1, 1, 0, 0, 5, b'a', b'b'][..]);
    let piece = |text: &'static [u8], fin| Some(Frame::Data { stream: 1, fin, bytes: Bytes::from_static(text) });
    assert_eq!(decoder.decode(&mut bytes).unwrap(), piece(b"ab", false));
    assert_eq!(decoder.decode(&mut bytes).unwrap(), None);
    bytes.extend_from_slice(b"cde\x80");
    assert_eq!(decoder.decode(&mut bytes).unwrap(), piece(b"cde", true));
    assert_eq!(decoder.decode(&mut bytes).unwrap(), None);
}

#[test]
fn what_no_peer_needs_is_read_over_and_what_is_wrong_is_named() {
    let settings = [0x80, 3, 0, 4, 0, 0, 0, 4, 0, 0, 0, 0];
    let window_update = [0x80, 3, 0, 9, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 1, 0];
    let unknown = [0x80, 3, 0, 77, 0, 0, 0, 1, 0];
    let all = [&settings[..], &window_update, &unknown, &encoded([Frame::Ping(1)])].concat();
    assert_eq!(decoded(all[..].into()), [Frame::Ignored, Frame::Ignored, Frame::Ignored, Frame::Ping(1)]);
    assert_eq!(error(b"\x80\x02\0\x06\0\0\0\x04\0\0\0\x01"), "a frame of version 2, not 3");
    assert_eq!(error(b"\x80\x03\0\x06\0\0\0\x03\0\0\0"), "a malformed PING frame");
    assert_eq!(error(b"\x80\x03\0\x01\0\xff\xff\xff"), "a control frame of 16777215 bytes; at most 65536 are taken");
    assert_eq!(
        error(b"\x80\x03\0\x01\0\0\0\x0c\0\0\0\x01\0\0\0\0\0\0ab"),
        "a header block is not compressed as it must be"
    );
    // As when somebody goes on in HTTP.
    assert!(FrameDecoder::default().decode(&mut b"GET / HTTP/1.1\r\n\r\n"[..].into()).is_ok());
}

proptest! {
    #[test]
    fn frames_do_not_depend_on_how_their_bytes_are_cut(cuts in proptest::collection::vec(1_usize..20, 1..100)) {
        let whole = encoded(samples());
        let (mut decoder, mut bytes, mut frames) = (FrameDecoder::default(), BytesMut::new(), vec![]);
        let mut rest = &whole[..];
        let mut cuts = cuts.into_iter().cycle();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(cuts.next().unwrap().min(rest.len()));
            bytes.extend_from_slice(piece);
            rest = after;
            while let Some(frame) = decoder.decode(&mut bytes).unwrap() {
                frames.push(frame);
            }
        }
        // Pieces of data are joined again.
        let mut joined: Vec<Frame> = vec![];
        for frame in frames {
            match (joined.last_mut(), frame) {
                (Some(Frame::Data { stream, fin: fin @ false, bytes }), Frame::Data { stream: same, fin: end, bytes: more }) if *stream == same => {
                    *bytes = [&bytes[..], &more[..]].concat().into();
                    *fin = end;
                }
                (_, frame) => joined.push(frame),
            }
        }
        prop_assert_eq!(joined, samples());
    }

    #[test]
    fn no_bytes_make_it_spin_or_crash(bytes: Vec<u8>) {
        let (mut decoder, mut left) = (FrameDecoder::default(), BytesMut::from(&bytes[..]));
        for _ in 0..=bytes.len() {
            match decoder.decode(&mut left) {
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return Ok(()),
            }
        }
        prop_assert!(false, "more frames than bytes");
    }
}
