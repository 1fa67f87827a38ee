//! What a websocket may take, and for how long.

use futures::{SinkExt as _, StreamExt as _};
use pluglet_egress::{Ceilings, EndpointLimits, Error, Grant, Message, Outgoing, WebSocket};
use tokio_tungstenite::tungstenite;

use crate::support::{API, SHORT, Setup, egress, grant, request};
use crate::websocket::{echo, open, server};

#[tokio::test]
async fn a_message_of_1_mib_passes_both_ways_and_a_larger_one_does_not() {
    const MIB: usize = 1 << 20;
    let server = server(|mut socket| async move {
        while let Some(Ok(message)) = socket.next().await {
            if let tungstenite::Message::Text(size) = message {
                let _ = socket.send(tungstenite::Message::binary(vec![0; size.parse().unwrap()])).await;
            }
        }
    })
    .await;
    let egress = egress(grant(&server.url()));
    let mut socket = open(&egress, &[]).await;
    socket.outgoing.send(Message::Binary(vec![0; MIB].into())).await.unwrap();
    assert!(matches!(socket.outgoing.send(Message::Binary(vec![0; MIB + 1].into())).await, Err(Error::TooLarge)));
    assert!(matches!(socket.outgoing.send(Message::Text("x".repeat(MIB + 1))).await, Err(Error::TooLarge)));
    socket.outgoing.send(Message::Text(MIB.to_string())).await.unwrap();
    assert_eq!(socket.incoming.next().await.unwrap().unwrap(), Message::Binary(vec![0; MIB].into()));
    socket.outgoing.send(Message::Text((MIB + 1).to_string())).await.unwrap();
    assert!(matches!(socket.incoming.next().await, Some(Err(Error::TooLarge))));
    assert!(socket.incoming.next().await.is_none());
}

#[tokio::test]
async fn a_websocket_keeps_its_place_until_both_halves_are_gone() {
    let server = echo().await;
    let egress = Setup::new()
        .endpoint(API, grant(&server.url()))
        .ceilings(Ceilings { streams: 1, ..Ceilings::default() })
        .egress();
    let another = async || {
        let outgoing = Outgoing { timeout: Some(SHORT), ..request("GET", "/") };
        Box::pin(egress.websocket(outgoing, &[])).await.map(|_| ())
    };
    let WebSocket { incoming, outgoing, .. } = open(&egress, &[]).await;
    drop(incoming);
    assert!(matches!(another().await, Err(Error::Timeout)), "the other half keeps the connection open");
    drop(outgoing);
    let WebSocket { incoming, outgoing, .. } = open(&egress, &[]).await;
    drop(outgoing);
    assert!(matches!(another().await, Err(Error::Timeout)));
    drop(incoming);
    another().await.unwrap();
}

#[tokio::test]
async fn a_websocket_that_is_silent_in_both_directions_ends() {
    let server = server(|mut socket| async move { while socket.next().await.is_some() {} }).await;
    let limits = EndpointLimits { idle_timeout: SHORT, ..EndpointLimits::default() };
    let egress = egress(Grant { limits, ..grant(&server.url()) });
    let mut socket = open(&egress, &[]).await;
    assert!(matches!(socket.incoming.next().await, Some(Err(Error::Timeout))));
    // One that is never told ends never, and what is sent counts, too.
    let eternal = EndpointLimits { idle_timeout: std::time::Duration::MAX, ..EndpointLimits::default() };
    let patient = crate::support::egress(Grant { limits: eternal, ..grant(&server.url()) });
    assert!(futures::poll!(Box::pin(open(&patient, &[]).await.incoming.next())).is_pending());
    let WebSocket { mut incoming, mut outgoing, .. } = open(&egress, &[]).await;
    let mut talking = tokio::time::interval(SHORT / 10);
    let mut sent = 0;
    while sent < 20 {
        tokio::select! {
            // Cancel-safe: a message that is not there yet is not taken.
            message = incoming.next() => panic!("{message:?} after {sent}"),
            // Cancel-safe: a tick.
            _ = talking.tick() => {
                outgoing.send(Message::Text("x".to_owned())).await.unwrap();
                sent += 1;
            }
        }
    }
}
