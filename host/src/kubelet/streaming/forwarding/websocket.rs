//! Port-forward over a WebSocket of its own: two channels for each port of the query, one connection for each.
//!
//! In: messages. Out: connections to ports. Invariant: each channel begins with its port, in two bytes, little end first.

use std::pin::pin;

use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tokio::sync::mpsc;
use tracing::debug;

use super::super::client::Gone;
use super::super::handshake::{Refusal, Session};
use super::super::websocket::{self, Conversation, Form, Frames};
use super::{Ends, Forwarding};

const PROTOCOLS: [&str; 2] = ["v4.channel.k8s.io", "v4.base64.channel.k8s.io"];
/// Each is a connection; a query of some kilobytes could name thousands.
const MOST_PORTS: usize = 20;
/// Input that waits for a connection, in messages.
const WAITING: usize = 1;

/// Answers the request; what follows forwards.
pub(super) fn begin(
    request: &mut Request,
    query: &str,
    forwarding: Forwarding,
) -> Result<(Response, Session), Refusal> {
    let ports = ports(query)?;
    let (protocol, response, pending) = websocket::agree(request, &PROTOCOLS, "v4.channel.k8s.io")?;
    let form = if protocol.contains("base64") { Form::Base64 } else { Form::Binary };
    let session = async move {
        let Some(io) = pending.connection().await else { return };
        let (mut incoming, frames, writing) = Conversation::new(io, form).await.split();
        let mut writing = pin!(writing);
        let (inputs, readers): (Vec<_>, Vec<_>) = ports.iter().map(|_| mpsc::channel(WAITING)).unzip();
        let connections: FuturesUnordered<_> = ports
            .iter()
            .zip(readers)
            .zip((0..=u8::MAX).step_by(2))
            .map(|((port, reader), channel)| connect(&forwarding, *port, Input(reader), channel, frames.clone()))
            .collect();
        let reading = async {
            while let Some((channel, bytes)) = incoming.next().await {
                // Odd channels are for errors, which only the pod's side has.
                let input = inputs.get(usize::from(channel / 2)).filter(|_| channel % 2 == 0 && !bytes.is_empty());
                if let Some(input) = input {
                    // One that is over takes nothing more; the others go on.
                    websocket::deliver(input, bytes, &frames).await.ok();
                }
            }
        };
        let over = async {
            connections.collect::<()>().await;
            frames.close().await;
        };
        tokio::select! {
            // Both end with the connection, and all with it.
            () = &mut writing => return,
            () = reading => return,
            // Only while the messages before it are written is there room for the last one.
            () = over => {}
        }
        drop(frames);
        incoming.close(writing).await;
    };
    Ok((response, session.boxed()))
}

async fn connect(forwarding: &Forwarding, port: u16, input: Input, channel: u8, frames: Frames) {
    let begin = Bytes::copy_from_slice(&port.to_le_bytes());
    for channel in [channel, channel + 1] {
        if frames.send(channel, begin.clone()).await.is_err() {
            return;
        }
    }
    let to = |bytes: Bytes| {
        let frames = &frames;
        async move { frames.send(channel, bytes).await }
    };
    // There is no word for the end of one connection among several.
    let finish = async || ();
    if let Err(text) = forwarding.connect(port, input, to, finish).await {
        debug!(text, "a connection to a port failed");
        frames.send(channel + 1, text.into()).await.ok();
    }
}

struct Input(mpsc::Receiver<Bytes>);

impl Ends for Input {
    async fn read(&mut self) -> Result<Option<Bytes>, Gone> {
        Ok(self.0.recv().await)
    }
}

/// `port=80,443&port=8080`.
pub(in super::super) fn ports(query: &str) -> Result<Vec<u16>, Refusal> {
    let mut ports = vec![];
    let values = url::form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "port");
    for (_, value) in values {
        for port in value.split(',') {
            let known = port.parse().ok().filter(|port| *port > 0);
            ports.push(known.ok_or_else(|| Refusal::bad_request(format!("{port:?} is no port, 1 to 65535")))?);
        }
    }
    if ports.is_empty() {
        return Err(Refusal::bad_request("query parameter \"port\" is required"));
    }
    if ports.len() > MOST_PORTS {
        return Err(Refusal::bad_request(format!(
            "{} ports are asked for, at most {MOST_PORTS} are taken",
            ports.len()
        )));
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_given_in_one_parameter_or_in_several() {
        assert_eq!(ports("port=80,443&port=8080").unwrap(), [80, 443, 8080]);
        let refused = |query: &str| ports(query).unwrap_err().text;
        assert_eq!(refused(""), "query parameter \"port\" is required");
        for wrong in ["port=0", "port=", "port=65536", "port=a", "port=80,,81"] {
            assert!(refused(wrong).contains("1 to 65535"), "{wrong}");
        }
        assert!(refused(&format!("port={}", vec!["1"; 21].join(","))).contains("at most 20"));
    }
}
