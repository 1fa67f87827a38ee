//! `websocket`: messages to and from granted endpoints.
//!
//! In: a request, protocols, the guest's messages. Out: the server's messages. Invariant: as for `http`; one message is under way in each
//! direction, so a side that does not read makes the other wait.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::StreamExt as _;
use futures::channel::mpsc;
use pluglet_egress::{Incoming, MAX_MESSAGE_BYTES, Message, Outbound, WebSocketAnswer};
use wasmtime::StoreContextMut;
use wasmtime::component::{Accessor, Destination, StreamProducer, StreamReader, StreamResult};

use super::http::{egress, error, no_handle, outgoing, whole};
use crate::bindings::pluglet::provider::http::{HttpError, Request};
use crate::bindings::pluglet::provider::websocket::{self, ConnectAnswer, Connection};
use crate::pump::Pump;
use crate::state::State;

/// RFC 6455 section 7.4.1: the end was in order.
const NORMAL: u16 = 1000;

/// As above: a message was too big.
const TOO_BIG: u16 = 1009;

/// Messages that are taken from the guest at once. More would only wait for the one before, a mebibyte each.
const BATCH: usize = 1;

impl websocket::Host for State {}

impl<T: Send> websocket::HostWithStore<T> for State {
    async fn connect(
        accessor: &Accessor<T, Self>,
        request: Request,
        protocols: Vec<String>,
        outgoing_messages: StreamReader<websocket::Message>,
    ) -> Result<ConnectAnswer, HttpError> {
        let egress = egress(accessor);
        let name = request.endpoint.clone();
        let guest = outgoing_messages.guard(accessor);
        let answer = egress.websocket(outgoing(request), &protocols).await;
        let socket = match answer.map_err(|failure| error(&name, failure))? {
            WebSocketAnswer::Refused(answer) => return Ok(ConnectAnswer::Refused(whole(answer))),
            WebSocketAnswer::Open(socket) => socket,
        };
        let guest = guest.into_stream();
        let (sink, messages) = mpsc::channel(0);
        let opened = accessor.with(|mut access| {
            access.get().tasks.spawn(write_all(messages, socket.outgoing));
            guest.pipe(&mut access, Pump::new(sink, BATCH, |message, out| out.push_back(to_peer(message)), ()))?;
            StreamReader::new(&mut access, FromPeer { incoming: socket.incoming })
        });
        let incoming = opened.map_err(|failure| no_handle(&failure))?;
        Ok(ConnectAnswer::Open(Connection { protocol: socket.protocol, incoming }))
    }
}

/// A message that is too large becomes the end: what it would have been is not held any longer.
fn to_peer(message: websocket::Message) -> Message {
    let length = match &message {
        websocket::Message::Text(text) => text.len(),
        websocket::Message::Binary(bytes) => bytes.len(),
        websocket::Message::Close(_) => 0,
    };
    match message {
        // The way out refuses a larger one too, but only when it is its turn; until then a guest could leave as many times
        // `limits.hostcallBytes` with the host as it has open connections.
        _ if length > MAX_MESSAGE_BYTES => Message::Close(TOO_BIG),
        websocket::Message::Text(text) => Message::Text(text),
        websocket::Message::Binary(bytes) => Message::Binary(bytes.into()),
        websocket::Message::Close(code) => Message::Close(code),
    }
}

fn to_guest(message: Message) -> websocket::Message {
    match message {
        Message::Text(text) => websocket::Message::Text(text),
        Message::Binary(bytes) => websocket::Message::Binary(bytes.into()),
        Message::Close(code) => websocket::Message::Close(code),
    }
}

/// Send what the guest sends; its end is a close in order, if it did not send another.
async fn write_all(mut messages: mpsc::Receiver<Vec<Message>>, mut outgoing: Outbound) {
    let mut closed = false;
    while let Some(batch) = messages.next().await {
        for message in batch {
            closed |= matches!(message, Message::Close(_));
            if outgoing.send(message).await.is_err() {
                // The connection is gone, or was closed by the message before.
                return;
            }
        }
    }
    if !closed {
        // As above.
        let _ = outgoing.send(Message::Close(NORMAL)).await;
    }
}

/// Messages of the server, as a stream of the guest.
struct FromPeer {
    incoming: Incoming,
}

impl<D: 'static> StreamProducer<D> for FromPeer {
    type Item = websocket::Message;
    type Buffer = Option<websocket::Message>;

    fn poll_produce<'a>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'a, D>,
        mut destination: Destination<'a, websocket::Message, Self::Buffer>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        if destination.remaining(&mut store) == Some(0) {
            // The guest only asks whether something is there; it will see when it reads.
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        match self.get_mut().incoming.poll_next(cx) {
            Poll::Ready(Some(Ok(message))) => {
                destination.set_buffer(Some(to_guest(message)));
                Poll::Ready(Ok(StreamResult::Completed))
            }
            // Without a close before it the end says that the connection broke.
            Poll::Ready(Some(Err(_)) | None) => Poll::Ready(Ok(StreamResult::Dropped)),
            Poll::Pending if finish => Poll::Ready(Ok(StreamResult::Cancelled)),
            Poll::Pending => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_over_a_mebibyte_becomes_a_close_at_once() {
        let (fits, over) = (vec![0; MAX_MESSAGE_BYTES], vec![0; MAX_MESSAGE_BYTES + 1]);
        assert!(matches!(to_peer(websocket::Message::Binary(fits)), Message::Binary(_)));
        assert_eq!(to_peer(websocket::Message::Binary(over.clone())), Message::Close(1009));
        assert_eq!(to_peer(websocket::Message::Text(String::from_utf8(over).unwrap())), Message::Close(1009));
    }
}
