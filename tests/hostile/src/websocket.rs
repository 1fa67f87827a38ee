//! WebSockets to wherever a test wants them to go.
//!
//! In: instructions. Out: the messages that came. Invariant: sending and receiving do not wait for each other.

use std::time::Duration;

use futures::future::join;
use pluglet_sdk::{Handshake, Host, Message, WebSocketReader, WebSocketWriter};
use serde_json::{Value, json};

use crate::instruction::{Outgoing, Request, Websocket};
use crate::requests::{answered, one};
use crate::seen::{Seen, http_failed, merged};

pub(crate) async fn websocket(host: &Host, websocket: &Websocket, request: &Request) -> Value {
    let mut connect = host.endpoint(&request.endpoint).websocket(request.target.as_str());
    for (name, value) in &request.headers {
        connect = connect.header(name, value);
    }
    for protocol in &websocket.protocols {
        connect = connect.protocol(protocol);
    }
    if let Some(ms) = request.timeout_ms {
        connect = connect.timeout(Duration::from_millis(ms));
    }
    let socket = match connect.connect().await {
        Ok(Handshake::Accepted(socket)) => socket,
        Ok(Handshake::Refused(answer)) => return merged(answered(answer), one("refused", true.into())),
        Err(error) => return http_failed(&error),
    };
    let protocol = socket.protocol.clone();
    let (writer, reader) = socket.split();
    // The writer comes back, so that the connection is not closed before everything has been read.
    let ((sent, _writer), received) = join(send(writer, &websocket.messages), receive(reader, websocket.expect)).await;
    json!({"protocol": protocol, "sent": sent, "received": received})
}

async fn send(mut writer: WebSocketWriter, messages: &[Outgoing]) -> (u64, WebSocketWriter) {
    let mut sent = 0;
    for message in messages {
        let message = match message.clone() {
            Outgoing::Text(text) => Message::Text(text),
            Outgoing::TextBytes(bytes) => Message::Text("x".repeat(bytes)),
            Outgoing::Binary(text) => Message::Binary(text.into_bytes()),
            Outgoing::BinaryBytes(bytes) => Message::Binary(vec![b'x'; bytes]),
            Outgoing::Close(code) => Message::Close(code),
        };
        if !writer.send(message).await {
            break;
        }
        sent += 1;
    }
    (sent, writer)
}

/// As many messages as are expected, or all until the end.
async fn receive(mut reader: WebSocketReader, expect: usize) -> Vec<Value> {
    let mut received = Vec::new();
    while received.len() < expect {
        received.push(match reader.next().await {
            Some(Message::Text(text)) => merged(json!({"kind": "text"}), Seen::of(text.as_bytes()).into_fields()),
            Some(Message::Binary(bytes)) => merged(json!({"kind": "binary"}), Seen::of(&bytes).into_fields()),
            Some(Message::Close(code)) => json!({"kind": "close", "code": code}),
            None => {
                received.push(json!({"kind": "end"}));
                break;
            }
        });
    }
    received
}
