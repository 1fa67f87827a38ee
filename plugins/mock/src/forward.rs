//! Ports of pods that have no network.
//!
//! In: bytes for a port. Out: an echo of them on port 7, the answers of a small web server on 80 and 8080. Invariant: a connection ends when its
//! user has sent all and has been answered.

use std::pin::pin;
use std::rc::Rc;

use futures::SinkExt;
use futures::channel::mpsc;
use futures::stream::{self, StreamExt};
use pluglet_sdk::{ByteStream, Error, PodRef, Result, Tunnel};

use crate::pods::Pods;

/// Answers that wait for the user.
const WAITING: usize = 2;
/// Longest head of a request.
const LONGEST_HEAD: usize = 8 * 1024;
/// Bytes that are written at once.
const CHUNK: usize = 64 * 1024;

/// Connects to a port of a pod that runs.
pub(crate) fn connect(pods: &Rc<Pods>, pod: &PodRef, port: u16, input: ByteStream) -> Result<Tunnel> {
    pods.with(&pod.uid, |_| ()).ok_or(Error::NotFound)?;
    match port {
        7 => Ok(input.map(Ok).boxed_local()),
        80 | 8080 => {
            let (out, answers) = mpsc::channel(WAITING);
            let name = pod.name.clone();
            pods.host.spawn(serve(name, port, input, out));
            Ok(answers.map(Ok).boxed_local())
        }
        _ => Err(Error::unavailable(format!("nothing listens on port {port}: 7 echoes, 80 and 8080 speak HTTP"))),
    }
}

/// One request after the other. `/bytes/N` is as many bytes, everything else a line.
async fn serve(pod: String, port: u16, mut input: ByteStream, mut out: mpsc::Sender<Vec<u8>>) {
    let mut head = Vec::new();
    while let Some(bytes) = input.next().await {
        head.extend(bytes);
        while let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") {
            let request: Vec<u8> = head.drain(..end + 4).collect();
            let text = String::from_utf8_lossy(&request).into_owned();
            let path = text.split(' ').nth(1).unwrap_or("/");
            let close = text.to_ascii_lowercase().contains("connection: close");
            let line = format!("pod {pod} port {port} path {path}\n").into_bytes();
            let length = path.strip_prefix("/bytes/").and_then(|count| count.parse().ok());
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
                length.unwrap_or(line.len())
            );
            let body = match length {
                Some(length) => bytes_of(length).left_stream(),
                None => stream::iter([line]).right_stream(),
            };
            let mut pieces = pin!(stream::iter([answer.into_bytes()]).chain(body));
            while let Some(piece) = pieces.next().await {
                if out.send(piece).await.is_err() {
                    return;
                }
            }
            if close {
                return;
            }
        }
        if head.len() > LONGEST_HEAD {
            return;
        }
    }
}

fn bytes_of(length: usize) -> impl futures::Stream<Item = Vec<u8>> {
    stream::unfold(length, |left| async move {
        let count = left.min(CHUNK);
        (count > 0).then(|| (vec![b'x'; count], left - count))
    })
}
