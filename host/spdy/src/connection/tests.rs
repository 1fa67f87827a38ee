//! Whole connections over a pipe in memory; time is paused.

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use tokio::io::{DuplexStream, ReadHalf, WriteHalf, duplex};
use tokio::task::JoinHandle;

use super::*;
use crate::frame::Reset;
use crate::headers::Headers;
use crate::stream::{Closed, Reader, Writer};

const IDLE: Duration = Duration::from_secs(4 * 3600);

/// The client's side.
struct Peer {
    read: FramedRead<ReadHalf<DuplexStream>, FrameDecoder>,
    write: FramedWrite<WriteHalf<DuplexStream>, FrameEncoder>,
}

impl Peer {
    async fn say(&mut self, frame: Frame) {
        self.write.send(frame).await.unwrap();
    }

    async fn hear(&mut self) -> Frame {
        self.read.next().await.unwrap().unwrap()
    }

    /// What it says besides signs of life.
    async fn hear_more(&mut self) -> Frame {
        loop {
            let frame = self.hear().await;
            if frame != Frame::Ping(2) {
                return frame;
            }
        }
    }

    async fn open(&mut self, stream: u32) {
        let headers = [("streamtype", "data")].into_iter().collect();
        self.say(Frame::SynStream { stream, fin: false, headers }).await;
    }

    async fn data(&mut self, stream: u32, text: &'static str) {
        self.say(Frame::Data { stream, fin: false, bytes: text.into() }).await;
    }

    async fn fin(&mut self, stream: u32) {
        self.say(Frame::Data { stream, fin: true, bytes: Bytes::new() }).await;
    }
}

fn connect() -> (Peer, Incoming, JoinHandle<Result<End, Error>>) {
    let (client, server) = duplex(64 * 1024);
    let (connection, incoming) = Connection::new(server, IDLE);
    #[expect(clippy::disallowed_methods, reason = "it ends with the runtime of the test")]
    let running = tokio::spawn(connection.run());
    let (read, write) = tokio::io::split(client);
    let read = FramedRead::new(read, FrameDecoder::default());
    (Peer { read, write: FramedWrite::new(write, FrameEncoder::default()) }, incoming, running)
}

async fn accept(peer: &mut Peer, incoming: &mut Incoming, id: u32) -> (Reader, Writer) {
    peer.open(id).await;
    let opened = incoming.next().await.unwrap();
    assert_eq!((opened.id, opened.headers.get("streamtype")), (id, Some("data")));
    let stream = opened.accept().await.unwrap();
    assert_eq!(peer.hear().await, Frame::SynReply { stream: id, fin: false, headers: Headers::default() });
    stream
}

#[tokio::test(start_paused = true)]
async fn bytes_go_both_ways_and_each_direction_ends_by_itself() {
    let (mut peer, mut incoming, running) = connect();
    let (mut reader, writer) = accept(&mut peer, &mut incoming, 1).await;
    peer.data(1, "in").await;
    assert_eq!(reader.next().await, Ok(Some(Bytes::from("in"))));
    peer.fin(1).await;
    assert_eq!(reader.next().await, Ok(None));
    writer.send("out".into()).await.unwrap();
    writer.finish().await.unwrap();
    assert_eq!(peer.hear().await, Frame::Data { stream: 1, fin: false, bytes: "out".into() });
    assert_eq!(peer.hear().await, Frame::Data { stream: 1, fin: true, bytes: Bytes::new() });
    drop(peer);
    assert_eq!(running.await.unwrap().unwrap(), End::Closed);
    assert!(incoming.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn large_output_comes_in_pieces_and_in_order() {
    let (mut peer, mut incoming, _running) = connect();
    let (_reader, writer) = accept(&mut peer, &mut incoming, 1).await;
    let bytes: Bytes = (0..1_000_000_u32).map(|number| (number % 251) as u8).collect();
    let sent = bytes.clone();
    let (outcome, received) = tokio::join!(writer.send(sent), async {
        let mut received = vec![];
        while received.len() < bytes.len() {
            let Frame::Data { bytes, .. } = peer.hear().await else { panic!("no data") };
            received.extend_from_slice(&bytes);
        }
        received
    });
    outcome.unwrap();
    assert!(received == bytes);
}

#[tokio::test(start_paused = true)]
async fn pings_are_answered_and_answers_are_not() {
    let (mut peer, _incoming, _running) = connect();
    peer.say(Frame::Ping(2)).await;
    peer.say(Frame::Ping(3)).await;
    assert_eq!(peer.hear().await, Frame::Ping(3));
}

#[tokio::test(start_paused = true)]
async fn a_reset_by_the_peer_closes_both_directions_at_once() {
    let (mut peer, mut incoming, _running) = connect();
    let (mut reader, writer) = accept(&mut peer, &mut incoming, 1).await;
    peer.data(1, "lost").await;
    peer.say(Frame::RstStream { stream: 1, status: Reset::Cancel as u32 }).await;
    writer.closed().await;
    assert_eq!(writer.send("x".into()).await, Err(Closed));
    assert_eq!(reader.next().await, Err(Closed));
    // What was on its way for it harms nobody.
    peer.data(1, "late").await;
    accept(&mut peer, &mut incoming, 3).await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_breaks_is_no_end_of_a_stream() {
    let (mut peer, mut incoming, running) = connect();
    let (mut reader, writer) = accept(&mut peer, &mut incoming, 1).await;
    peer.data(1, "half").await;
    drop(peer);
    running.await.unwrap().ok();
    assert_eq!(reader.next().await, Ok(Some(Bytes::from("half"))));
    assert_eq!(reader.next().await, Err(Closed));
    assert_eq!(writer.send("x".into()).await, Err(Closed));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_nobody_reads_keeps_the_peer_waiting_and_others_can_write() {
    let (mut peer, mut incoming, _running) = connect();
    let (reader, _writer) = accept(&mut peer, &mut incoming, 1).await;
    let (_other, writer) = accept(&mut peer, &mut incoming, 3).await;
    let flood = async {
        loop {
            peer.write
                .send(Frame::Data { stream: 1, fin: false, bytes: Bytes::from(vec![0; 64 * 1024]) })
                .await
                .unwrap();
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(60), flood).await.is_err(), "the flood was taken");
    writer.send("still here".into()).await.unwrap();
    // Signs of life, by which a peer that has left would be noticed.
    assert_eq!(peer.hear().await, Frame::Ping(2));
    assert_eq!(peer.hear_more().await, Frame::Data { stream: 3, fin: false, bytes: "still here".into() });
    // Whoever does not want to read it can say so.
    drop(reader);
    peer.write.flush().await.unwrap();
    peer.say(Frame::Ping(1)).await;
    assert_eq!(peer.hear_more().await, Frame::Ping(1));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_pings_without_reading_is_not_read_for_ever() {
    let (mut peer, _incoming, _running) = connect();
    let flood = async {
        loop {
            peer.write.send(Frame::Ping(1)).await.unwrap();
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(60), flood).await.is_err(), "the flood was taken");
}

#[tokio::test(start_paused = true)]
async fn numbers_that_a_client_must_not_use_are_reset() {
    let (mut peer, mut incoming, _running) = connect();
    accept(&mut peer, &mut incoming, 5).await;
    for wrong in [2, 3, 5] {
        peer.open(wrong).await;
        let status = Reset::ProtocolError as u32;
        assert_eq!(peer.hear().await, Frame::RstStream { stream: wrong, status });
    }
    peer.say(Frame::GoAway).await;
    peer.open(7).await;
    assert_eq!(peer.hear().await, Frame::RstStream { stream: 7, status: Reset::RefusedStream as u32 });
}

#[tokio::test(start_paused = true)]
async fn streams_are_forgotten_with_their_users_and_too_many_are_refused() {
    let (mut peer, mut incoming, _running) = connect();
    let mut id = 1;
    let mut next = || {
        id += 2;
        id
    };
    for _ in 0..3 * MOST_STREAMS {
        accept(&mut peer, &mut incoming, next()).await;
    }
    let mut held = vec![];
    for _ in 0..MOST_STREAMS {
        held.push(accept(&mut peer, &mut incoming, next()).await);
    }
    let one_more = next();
    peer.open(one_more).await;
    assert_eq!(peer.hear().await, Frame::RstStream { stream: one_more, status: Reset::RefusedStream as u32 });
    held.truncate(10);
    accept(&mut peer, &mut incoming, next()).await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_on_which_nothing_happens_ends_and_a_ping_keeps_it() {
    let (mut peer, _incoming, running) = connect();
    tokio::time::sleep(IDLE - Duration::from_secs(1)).await;
    peer.say(Frame::Ping(1)).await;
    peer.hear().await;
    tokio::time::sleep(IDLE - Duration::from_secs(1)).await;
    assert!(!running.is_finished());
    assert_eq!(running.await.unwrap().unwrap(), End::Idle);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_spdy_ends_the_connection_with_a_reason() {
    let (client, server) = duplex(1024);
    let (connection, _incoming) = Connection::new(server, IDLE);
    let (_read, mut write) = tokio::io::split(client);
    let (outcome, ()) = tokio::join!(connection.run(), async {
        tokio::io::AsyncWriteExt::write_all(&mut write, b"\x80\x09\0\x06\0\0\0\x04\0\0\0\x01").await.unwrap();
    });
    assert_eq!(outcome.unwrap_err().to_string(), "a frame of version 9, not 3");
}
