//! Messages both ways, with a real websocket server.

use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use pluglet_egress::{Egress, Error, Grant, Message, Refusal, WebSocket, WebSocketAnswer};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, frame::coding::CloseCode};
use tokio_tungstenite::tungstenite::{self, handshake::derive_accept_key};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

use crate::servers::Server;
use crate::support::{API, PATIENCE, egress, grant, request, with_header};

/// A server that chooses the last protocol that is offered, and then does as `talk` says.
pub(crate) async fn server<F, Fut>(talk: F) -> Server
where
    F: Fn(WebSocketStream<TcpStream>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    Server::raw(move |conversation| {
        let talk = talk.clone();
        async move {
            #[allow(clippy::result_large_err, reason = "the signature is the library's")]
            let choose = |request: &Request, mut response: Response| {
                if let Some(offered) = request.headers().get("sec-websocket-protocol") {
                    let last = offered.to_str().unwrap().split(", ").last().unwrap().to_owned();
                    response.headers_mut().insert("sec-websocket-protocol", last.parse().unwrap());
                }
                Ok(response)
            };
            if let Ok(socket) = accept_hdr_async(conversation.stream, choose).await {
                talk(socket).await;
            }
            Ok(())
        }
    })
    .await
}

/// Says back what it hears.
pub(crate) async fn echo() -> Server {
    server(|mut socket| async move {
        while let Some(Ok(message)) = socket.next().await {
            if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
                return;
            }
        }
    })
    .await
}

pub(crate) async fn open(egress: &Egress, protocols: &[&str]) -> WebSocket {
    let protocols: Vec<String> = protocols.iter().map(|&name| name.to_owned()).collect();
    match Box::pin(egress.websocket(request("whatever", "/exec"), &protocols)).await {
        Ok(WebSocketAnswer::Open(socket)) => socket,
        Ok(WebSocketAnswer::Refused(answer)) => panic!("{answer:?}"),
        Err(error) => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn text_and_bytes_come_back_and_a_close_is_answered() {
    let server = echo().await;
    let egress = egress(grant(&server.url()));
    let mut socket = open(&egress, &[]).await;
    assert_eq!(socket.protocol, "");
    for message in [
        Message::Text("hällo".to_owned()),
        Message::Text(String::new()),
        Message::Binary(Bytes::from_static(&[0, 159, 146, 150])),
    ] {
        socket.outgoing.send(message.clone()).await.unwrap();
        assert_eq!(socket.incoming.next().await.unwrap().unwrap(), message);
    }
    socket.outgoing.send(Message::Close(4001)).await.unwrap();
    assert_eq!(socket.incoming.next().await.unwrap().unwrap(), Message::Close(4001));
    assert!(socket.incoming.next().await.is_none());
}

#[tokio::test]
async fn the_servers_choice_among_the_protocols_is_told() {
    let server = echo().await;
    let egress = egress(grant(&server.url()));
    assert_eq!(open(&egress, &["v4.channel.k8s.io", "v5.channel.k8s.io"]).await.protocol, "v5.channel.k8s.io");
    let invented: [&[&str]; 4] = [&["a b"], &["a, b"], &[""], &["a\r\nb"]];
    for protocols in invented {
        let protocols: Vec<String> = protocols.iter().map(|&name| name.to_owned()).collect();
        let outcome = egress.websocket(request("GET", "/"), &protocols).await;
        assert!(matches!(outcome, Err(Error::Denied(Refusal::Protocol))), "{protocols:?}");
    }
    let many = vec!["a".to_owned(); 17];
    assert!(matches!(egress.websocket(request("GET", "/"), &many).await, Err(Error::Denied(Refusal::Protocol))));
}

#[tokio::test]
async fn a_handshake_that_is_wrong_is_no_websocket() {
    let switch = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\n";
    for (headers, right) in [
        ("upgrade: websocket\r\nsec-websocket-accept: {key}\r\n", true),
        ("upgrade: websocket\r\nsec-websocket-accept: {key}\r\nsec-websocket-protocol: offered\r\n", true),
        ("upgrade: websocket\r\nsec-websocket-accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n", false),
        ("upgrade: websocket\r\n", false),
        ("upgrade: tcp\r\nsec-websocket-accept: {key}\r\n", false),
        ("sec-websocket-accept: {key}\r\n", false),
        ("upgrade: websocket\r\nsec-websocket-accept: {key}\r\nsec-websocket-protocol: other\r\n", false),
        (
            "upgrade: websocket\r\nsec-websocket-accept: {key}\r\nsec-websocket-extensions: permessage-deflate\r\n",
            false,
        ),
    ] {
        let server = Server::raw(move |mut talk| async move {
            let head = talk.head().await?;
            let key = head.split("sec-websocket-key: ").nth(1).unwrap().lines().next().unwrap();
            let headers = headers.replace("{key}", &derive_accept_key(key.as_bytes()));
            talk.say(format!("{switch}{headers}\r\n")).await?;
            talk.rest().await;
            Ok(())
        })
        .await;
        let egress = egress(grant(&server.url()));
        let outcome = Box::pin(egress.websocket(request("GET", "/"), &["offered".to_owned()])).await;
        assert!(if right { outcome.is_ok() } else { matches!(outcome, Err(Error::Protocol(_))) }, "{headers}");
    }
}

#[tokio::test]
async fn an_answer_that_is_no_switch_is_told() {
    let server = Server::saying("HTTP/1.1 403 Forbidden\r\ncontent-length: 4\r\n\r\nnope").await;
    let egress = egress(grant(&server.url()));
    match egress.websocket(request("GET", "/"), &[]).await.unwrap() {
        WebSocketAnswer::Refused(answer) => assert_eq!((answer.status, answer.body), (403, b"nope".to_vec())),
        WebSocketAnswer::Open(_) => panic!("it did not switch"),
    }
}

#[tokio::test]
async fn who_may_not_open_websockets_does_not() {
    let server = echo().await;
    let without = egress(Grant { websocket: false, ..grant(&server.url()) });
    let Err(Error::Denied(refusal)) = without.websocket(request("GET", "/"), &[]).await else { panic!("it opened") };
    assert_eq!(refusal.explain(API).split("endpoints").nth(1), Some(": { api: { websocket: true } }"));
    let with = egress(Grant { path_prefixes: vec!["/exec".to_owned()], ..grant(&server.url()) });
    for outgoing in [
        request("GET", "/other"),
        with_header(request("GET", "/exec"), "Sec-WebSocket-Key", "AAAA"),
        with_header(request("GET", "/exec"), "Sec-WebSocket-Extensions", "permessage-deflate"),
        with_header(request("GET", "/exec"), "Connection", "Upgrade"),
    ] {
        assert!(matches!(with.websocket(outgoing, &[]).await, Err(Error::Denied(_))));
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn pings_are_answered_and_not_shown() {
    let (tell, mut answered) = watch::channel(false);
    let server = server(move |mut socket| {
        let tell = tell.clone();
        async move {
            socket.send(tungstenite::Message::Ping(Bytes::from_static(b"there?"))).await.unwrap();
            while let Some(Ok(message)) = socket.next().await {
                if message == tungstenite::Message::Pong(Bytes::from_static(b"there?")) {
                    tell.send_replace(true);
                    socket.send(tungstenite::Message::text("now")).await.unwrap();
                }
            }
        }
    })
    .await;
    let egress = egress(grant(&server.url()));
    let mut socket = open(&egress, &[]).await;
    assert_eq!(
        timeout(PATIENCE, socket.incoming.next()).await.unwrap().unwrap().unwrap(),
        Message::Text("now".to_owned())
    );
    assert!(*answered.wait_for(|answered| *answered).await.unwrap());
}

/// Without an answer the server would wait for one, and take the end for a failure.
#[tokio::test]
async fn a_close_of_the_server_is_answered_although_nobody_reads_on() {
    let (tell, mut ended) = watch::channel(None);
    let server = server(move |mut socket| {
        let tell = tell.clone();
        async move {
            let frame = CloseFrame { code: CloseCode::Away, reason: "over".into() };
            socket.close(Some(frame)).await.unwrap();
            let answer = socket.next().await;
            tell.send_replace(Some(matches!(answer, Some(Ok(tungstenite::Message::Close(Some(_)))))));
        }
    })
    .await;
    let egress = egress(grant(&server.url()));
    let mut socket = open(&egress, &[]).await;
    assert_eq!(socket.incoming.next().await.unwrap().unwrap(), Message::Close(1001));
    assert_eq!(*timeout(PATIENCE, ended.wait_for(Option::is_some)).await.unwrap().unwrap(), Some(true));
    assert!(socket.incoming.next().await.is_none());
}

#[tokio::test]
async fn a_connection_that_breaks_ends_without_a_close() {
    let server = server(|mut socket| async move {
        socket.send(tungstenite::Message::text("last words")).await.unwrap();
        // Half a frame, then nothing.
        socket.get_mut().write_all(&[0x81, 0x7e]).await.unwrap();
    })
    .await;
    let mut socket = open(&egress(grant(&server.url())), &[]).await;
    assert_eq!(socket.incoming.next().await.unwrap().unwrap(), Message::Text("last words".to_owned()));
    assert!(!matches!(socket.incoming.next().await, Some(Ok(_))));
    assert!(socket.incoming.next().await.is_none());
}
