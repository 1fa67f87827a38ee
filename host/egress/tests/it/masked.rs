//! The same where it is easily forgotten: bytes that are no text, connections that stopped being HTTP, errors.

use bytes::Bytes;
use http::HeaderName;
use pluglet_credentials::Auth;
use pluglet_egress::{Error, Grant, Message, Piece, UpgradeAnswer, WebSocketAnswer};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::bodies::{piped, whole};
use crate::reflect::{TOKEN, bearer};
use crate::servers::Server;
use crate::support::{Files, egress, fetch, grant, header, request};
use crate::tls::Authority;

#[tokio::test]
async fn a_secret_that_is_no_text_is_masked_before_it_is_made_text() {
    let files = Files::new();
    let name = HeaderName::from_static("x-api-key");
    let auth = Auth::Header { name, value_file: files.write("key", b"key-\xff-hunter2-key") };
    let server = Server::raw(|mut talk| async move {
        talk.head().await?;
        talk.say(
            b"HTTP/1.1 200 OK\r\nx-echo: <key-\xff-hunter2-key>\r\ncontent-length: 19\r\n\r\n<key-\xff-hunter2-key>",
        )
        .await
    })
    .await;
    let egress = egress(Grant { auth: Some(auth), ..grant(&server.url()) });
    let answer = fetch(&egress, request("GET", "/")).await.unwrap();
    assert_eq!(header(&answer.headers, "x-echo"), Some("<*****************>"));
    assert_eq!(answer.body, b"<*****************>");
}

#[tokio::test]
async fn connections_that_stopped_being_http_are_masked_too() {
    let server = Server::raw(|mut talk| async move {
        let head = talk.head().await?;
        let token = head.split("authorization: Bearer ").nth(1).unwrap().lines().next().unwrap();
        let told = format!("x-echo: {token}\r\n");
        let Some(key) = head.split("sec-websocket-key: ").nth(1).and_then(|rest| rest.lines().next()) else {
            talk.say(format!(
                "HTTP/1.1 101 UPGRADED\r\nconnection: Upgrade\r\nupgrade: tcp\r\n{told}\r\nyou are {token}"
            ))
            .await?;
            talk.rest().await;
            return Ok(());
        };
        let key = derive_accept_key(key.as_bytes());
        talk.say(format!(
            "HTTP/1.1 101 x\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: {key}\r\n{told}\r\n"
        ))
        .await?;
        for opcode in [0x81, 0x82] {
            talk.say([opcode, u8::try_from(token.len()).unwrap()]).await?;
            talk.say(token).await?;
        }
        talk.rest().await;
        Ok(())
    })
    .await;
    let files = Files::new();
    let egress = egress(Grant { auth: Some(bearer(&files)), ..grant(&server.url()) });
    let stars = "*".repeat(TOKEN.len());
    let UpgradeAnswer::Upgraded(mut connection) =
        egress.upgrade(request("POST", "/"), "tcp", Bytes::new()).await.unwrap()
    else {
        panic!("it did not switch")
    };
    assert_eq!(header(&connection.headers, "x-echo"), Some(stars.as_str()));
    assert_eq!(connection.reader.next().await.unwrap().unwrap(), format!("you are {stars}"));
    let WebSocketAnswer::Open(mut socket) = Box::pin(egress.websocket(request("GET", "/"), &[])).await.unwrap() else {
        panic!("it did not open")
    };
    assert_eq!(socket.incoming.next().await.unwrap().unwrap(), Message::Text(stars.clone()));
    assert_eq!(socket.incoming.next().await.unwrap().unwrap(), Message::Binary(stars.into()));
}

/// HTTP/2 lets a server say anything at all when it goes away, and the stack makes it part of the error.
#[tokio::test]
async fn the_words_of_a_server_that_goes_away_are_masked() {
    let (authority, files) = (Authority::new(), Files::new());
    let mut config = authority.server("127.0.0.1");
    config.alpn_protocols = vec![b"h2".to_vec()];
    let server = Server::raw_tls(config, |mut talk| async move {
        // No settings, in the form of the RFC.
        talk.say([0, 0, 0, 4, 0, 0, 0, 0, 0]).await?;
        talk.until(b"SM\r\n\r\n").await?;
        // Until the head of a request has come.
        loop {
            let frame = talk.bytes(9).await?;
            talk.bytes(usize::from(u16::from_be_bytes([frame[1], frame[2]]))).await?;
            if frame[3] == 1 {
                break;
            }
        }
        // GOAWAY: no stream was looked at, PROTOCOL_ERROR, words.
        let words = format!("no: {TOKEN}");
        talk.say([0, 0, u8::try_from(8 + words.len()).unwrap(), 7, 0, 0, 0, 0, 0]).await?;
        talk.say([0, 0, 0, 0, 0, 0, 0, 1]).await?;
        talk.say(words).await?;
        talk.rest().await;
        Ok(())
    })
    .await;
    let tls = authority.trusted(&files);
    let to_it = Grant { tls, auth: Some(bearer(&files)), ..grant(&format!("https://{}", server.address)) };
    let error = fetch(&egress(to_it), request("GET", "/")).await.unwrap_err();
    assert!(matches!(error, Error::Protocol(_) | Error::Connect(_)), "{error:?}");
    let text = format!("{error} {error:?}");
    assert!(text.contains("****") && !text.contains(TOKEN), "{text}");
}

/// An echo that writes part of the request's head, and the rest when more of the body has come: the provider decides when that is.
#[tokio::test]
async fn a_secret_that_a_provider_has_cut_in_two_does_not_come_out_in_halves() {
    let server = Server::raw(|mut talk| async move {
        talk.head().await?;
        let (first, second) = TOKEN.split_at(TOKEN.len() / 2);
        let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        talk.say(format!("{chunked}{:x}\r\nyou are {first}\r\n", 8 + first.len())).await?;
        talk.until(b"go on").await?;
        talk.say(format!("{:x}\r\n{second}\r\n0\r\n\r\n", second.len())).await
    })
    .await;
    let files = Files::new();
    let egress = egress(Grant { auth: Some(bearer(&files)), ..grant(&server.url()) });
    let (feed, body) = piped();
    let mut answer = egress.send(request("POST", "/"), body).await.unwrap();
    assert_eq!(answer.body.next().await.unwrap().unwrap(), Piece::Bytes(Bytes::from_static(b"you are ")));
    feed.send(Bytes::from_static(b"go on")).unwrap();
    let (rest, _) = whole(&mut answer.body).await;
    assert_eq!(String::from_utf8(rest).unwrap(), "*".repeat(TOKEN.len()));
}

/// What has no end of a line is let go of when the peer waits: it may wait for the provider.
#[tokio::test]
async fn a_prompt_is_seen_before_it_is_answered() {
    let server = Server::raw(|mut talk| async move {
        talk.head().await?;
        talk.say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n$ \r\n").await?;
        talk.until(b"exit").await?;
        talk.say("0\r\n\r\n").await
    })
    .await;
    let files = Files::new();
    let egress = egress(Grant { auth: Some(bearer(&files)), ..grant(&server.url()) });
    let (feed, body) = piped();
    let mut answer = egress.send(request("POST", "/"), body).await.unwrap();
    assert_eq!(answer.body.next().await.unwrap().unwrap(), Piece::Bytes(Bytes::from_static(b"$ ")));
    feed.send(Bytes::from_static(b"exit")).unwrap();
    assert!(whole(&mut answer.body).await.0.is_empty());
}
