//! A connection to a port of a pod, made by the host itself: for a runtime that forwards none.
//!
//! In: the pod's address, a port, what the user sends. Out: a [`Forward`]. Invariant: only where probes may go, too; what listens on the pod's loopback alone is
//! not reached this way.

use std::net::IpAddr;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::channel::oneshot;
use futures::stream;
use pluglet_model::provider::Error;
use pluglet_model::session::Forward;
use tokio::io::AsyncWriteExt as _;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::io::ReaderStream;

use crate::probes::Reach;

/// Connects.
pub(super) async fn connect(
    reach: &Reach,
    address: IpAddr,
    port: u16,
    input: mpsc::Receiver<Bytes>,
) -> Result<Forward, Error> {
    let dialled = reach.dial(&address.to_string(), port).await;
    let connection = dialled.map_err(|error| Error::Unavailable { message: error.to_string(), retry_after: None })?;
    let (reading, writing) = connection.into_split();
    let mut sending = JoinSet::new();
    sending.spawn(send(writing, input));
    let (ended, end) = oneshot::channel();
    let state = (ReaderStream::new(reading), sending, Some(ended));
    // The sending task ends with the stream, at the latest.
    let output = stream::unfold(state, |(mut reading, sending, mut ended)| async move {
        let outcome = match reading.next().await {
            Some(Ok(bytes)) => return Some((bytes, (reading, sending, ended))),
            Some(Err(error)) => Err(Error::Unavailable { message: error.to_string(), retry_after: None }),
            None => Ok(()),
        };
        if let Some(ended) = ended.take() {
            ended.send(outcome).ok();
        }
        None
    });
    // A stream that is dropped before its end was left by its user.
    let end = async move { end.await.unwrap_or(Ok(())) };
    Ok(Forward { output: output.boxed(), end: Box::pin(end) })
}

async fn send(mut writing: OwnedWriteHalf, mut input: mpsc::Receiver<Bytes>) {
    while let Some(bytes) = input.recv().await {
        if writing.write_all(&bytes).await.is_err() {
            return;
        }
    }
    writing.shutdown().await.ok();
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn bytes_flow_both_ways_and_each_end_is_passed_on() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (input, taken) = mpsc::channel(4);
        let forward = connect(&Reach::new(true), [127, 0, 0, 1].into(), port, taken).await.unwrap();
        let (mut peer, _) = listener.accept().await.unwrap();
        input.send(Bytes::from_static(b"ping")).await.unwrap();
        drop(input);
        let mut read = String::new();
        peer.read_to_string(&mut read).await.unwrap();
        assert_eq!(read, "ping");
        peer.write_all(b"pong").await.unwrap();
        drop(peer);
        let output: Vec<Bytes> = forward.output.collect().await;
        assert_eq!(output.concat(), b"pong");
        forward.end.await.unwrap();
    }

    #[tokio::test]
    async fn a_port_on_which_nobody_listens_is_told() {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let refused = connect(&Reach::new(true), [127, 0, 0, 1].into(), free, mpsc::channel(1).1).await.err().unwrap();
        assert!(refused.to_string().contains("refused"), "{refused}");
    }
}
