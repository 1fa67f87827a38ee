//! Connections that stop being HTTP: upgrades and WebSockets.

use futures::future::join;
use pluglet_sdk::testing::{Harness, Peer};
use pluglet_sdk::{Error, Handshake, Headers, HttpError, Message, Response, Result, Upgraded, WebSocket};

use crate::exchange::{Client, header, start};

fn not_found() -> Response {
    Response { status: 404, body: b"no such container".to_vec(), ..Response::default() }
}

#[test]
fn an_upgraded_connection_carries_bytes_both_ways() {
    let harness = start();
    harness.world().serve_upgrade("docker", async |request, peer: Peer<Upgraded>| {
        let mut connection = peer.accept(vec![header("upgrade", "tcp")]);
        connection.writer.send(request.body).await;
        while let Ok(Some(chunk)) = connection.reader.chunk().await {
            connection.writer.send(chunk.to_ascii_uppercase()).await;
        }
    });
    let (headers, bytes) = harness
        .call(async |client| {
            let upgrade = client.0.endpoint("docker").post("/exec/1/start").body("{}").upgrade("tcp").await?;
            let Upgraded { headers, reader, mut writer } = upgrade.ok()?;
            let write = async {
                writer.send("typed").await;
                drop(writer);
            };
            let (bytes, ()) = join(reader.collect(100), write).await;
            Ok((headers, bytes?))
        })
        .unwrap();
    assert_eq!((headers, bytes), (vec![header("upgrade", "tcp")], b"{}TYPED".to_vec()));
    let request = harness.world().requests().remove(0);
    assert_eq!((request.target.as_str(), request.headers), ("/exec/1/start", vec![header("upgrade", "tcp")]));
}

#[test]
fn a_connection_that_breaks_says_why() {
    let harness = start();
    harness.world().serve_upgrade("docker", async |_, peer: Peer<Upgraded>| {
        peer.accept(Headers::new()).writer.fail(HttpError::Connect("reset".to_owned())).await;
    });
    let read = harness.call(async |client| {
        let mut connection = client.0.endpoint("docker").post("/").upgrade("tcp").await?.ok()?;
        Ok((connection.reader.chunk().await, connection.reader.chunk().await))
    });
    assert_eq!(read, Ok((Err(HttpError::Connect("reset".to_owned())), Ok(None))));
}

fn upgrade(harness: &Harness<Client>) -> Result<()> {
    harness.call(async |client| client.0.endpoint("docker").post("/").upgrade("tcp").await?.ok().map(drop))
}

#[test]
fn an_answer_that_does_not_switch_is_the_error_that_it_stands_for() {
    let harness = start();
    assert!(matches!(upgrade(&harness), Err(Error::Denied(_))), "nothing is granted");
    harness.world().serve_upgrade("docker", async |_, peer: Peer<Upgraded>| {
        peer.refuse(not_found());
    });
    assert_eq!(upgrade(&harness), Err(Error::NotFound));
    harness.world().serve_upgrade("docker", async |_, peer: Peer<Upgraded>| {
        peer.refuse(Response { status: 200, ..Response::default() });
    });
    assert!(matches!(upgrade(&harness), Err(Error::Internal(_))), "a success is not a connection");
    harness.world().serve_upgrade("docker", async |_, peer: Peer<Upgraded>| peer.fail(HttpError::Timeout));
    assert!(matches!(upgrade(&harness), Err(Error::Unavailable(_))));
}

#[test]
fn messages_flow_both_ways_until_both_sides_have_closed() {
    let harness = start();
    harness.world().serve_websocket("api", async |request, peer: Peer<WebSocket>| {
        assert_eq!(request.headers.last(), Some(&header("sec-websocket-protocol", "v5, v4")));
        let mut socket = peer.accept("v4");
        while let Some(message) = socket.next().await {
            match message {
                Message::Close(code) => return socket.close(code).await,
                message => assert!(socket.send(message).await),
            }
        }
    });
    let (protocol, messages) = harness
        .call(async |client| {
            let connect = client.0.endpoint("api").websocket("/exec").protocol("v5").protocol("v4").connect();
            let mut socket = connect.await?.ok()?;
            let mut messages = Vec::new();
            for message in [Message::Text("a".to_owned()), Message::Binary(vec![1])] {
                socket.send(message).await;
                messages.extend(socket.next().await);
            }
            socket.close(4000).await;
            while let Some(message) = socket.next().await {
                messages.push(message);
            }
            Ok((socket.protocol, messages))
        })
        .unwrap();
    assert_eq!(protocol, "v4");
    assert_eq!(messages, [Message::Text("a".to_owned()), Message::Binary(vec![1]), Message::Close(4000)]);
}

#[test]
fn a_websocket_that_is_dropped_closes_and_one_that_breaks_just_ends() {
    let harness = start();
    harness.world().serve_websocket("api", async |_, peer: Peer<WebSocket>| {
        drop(peer.accept(""));
    });
    let broken = harness.call(async |client| {
        let mut socket = client.0.endpoint("api").websocket("/").connect().await?.ok()?;
        let next = socket.next().await;
        Ok((next, socket.send(Message::Text("lost".to_owned())).await))
    });
    assert_eq!(broken, Ok((None, false)));

    let told = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let heard = std::rc::Rc::clone(&told);
    harness.world().serve_websocket("api", async move |_, peer: Peer<WebSocket>| {
        let mut socket = peer.accept("");
        while let Some(message) = socket.next().await {
            heard.borrow_mut().push(message);
        }
    });
    harness
        .call(async |client| {
            let (mut writer, _reader) = client.0.endpoint("api").websocket("/").connect().await?.ok()?.split();
            writer.send(Message::Binary(vec![2])).await;
            Ok(())
        })
        .unwrap();
    harness.advance(std::time::Duration::ZERO);
    assert_eq!(told.take(), [Message::Binary(vec![2]), Message::Close(1000)]);
}

#[test]
fn a_websocket_can_be_refused() {
    let harness = start();
    harness.world().serve_websocket("api", async |_, peer: Peer<WebSocket>| {
        peer.refuse(not_found());
    });
    let refused = harness.call(async |client| {
        match client.0.endpoint("api").websocket("/").header("x-a", "b").connect().await? {
            Handshake::Refused(answer) => Ok(answer),
            Handshake::Accepted(_) => Err(Error::internal("accepted")),
        }
    });
    assert_eq!(refused, Ok(not_found()));
    let request = harness.world().requests().remove(0);
    assert_eq!((request.method.as_str(), &request.headers[0]), ("GET", &header("x-a", "b")));
}
