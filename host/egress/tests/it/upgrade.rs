//! Connections that stop being HTTP, as Docker's exec does it.

use bytes::Bytes;
use pluglet_egress::{Ceilings, Connection, Egress, EndpointLimits, Error, Grant, Outgoing, Refusal, UpgradeAnswer};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::servers::Server;
use crate::support::{API, PATIENCE, SHORT, Setup, denied, egress, grant, header, request};

const SWITCH: &str = "HTTP/1.1 101 UPGRADED\r\ncontent-type: application/vnd.docker.raw-stream\r\n\
                      connection: Upgrade\r\nupgrade: tcp\r\n\r\n";

/// Switches, says hello in the same breath, repeats each line, and at the end of the lines says bye.
async fn docker() -> Server {
    Server::raw(|mut talk| async move {
        let head = talk.head().await?;
        let length = head
            .split("content-length: ")
            .nth(1)
            .and_then(|rest| rest.lines().next())
            .map_or(0, |text| text.parse().unwrap());
        let body = talk.bytes(length).await?;
        talk.say(format!("{SWITCH}hello {}", String::from_utf8_lossy(&body))).await?;
        while let Ok(line) = talk.until(b"\n").await {
            talk.say(line).await?;
        }
        talk.say("bye").await
    })
    .await
}

async fn open(egress: &Egress) -> Connection {
    match Box::pin(egress.upgrade(request("POST", "/exec/1/start"), "tcp", Bytes::from_static(b"{}"))).await {
        Ok(UpgradeAnswer::Upgraded(connection)) => connection,
        Ok(UpgradeAnswer::Refused(answer)) => panic!("{answer:?}"),
        Err(error) => panic!("{error:?}"),
    }
}

/// Reads until so many bytes have come.
async fn read(connection: &mut Connection, count: usize) -> String {
    let mut all = Vec::new();
    while all.len() < count {
        all.extend_from_slice(&connection.reader.next().await.unwrap().unwrap());
    }
    String::from_utf8(all).unwrap()
}

#[tokio::test]
async fn bytes_flow_both_ways_and_each_direction_ends_by_itself() {
    let server = docker().await;
    let egress = egress(grant(&server.url()));
    let mut connection = open(&egress).await;
    assert_eq!(header(&connection.headers, "content-type"), Some("application/vnd.docker.raw-stream"));
    assert_eq!((header(&connection.headers, "upgrade"), header(&connection.headers, "connection")), (None, None));
    assert_eq!(read(&mut connection, 8).await, "hello {}");
    for line in ["ls\n", "exit\n"] {
        connection.writer.write(line.as_bytes()).await.unwrap();
        assert_eq!(read(&mut connection, line.len()).await, line);
    }
    let Connection { mut reader, writer, .. } = connection;
    writer.finish().await.unwrap();
    assert_eq!(reader.next().await.unwrap().unwrap(), "bye");
    assert!(reader.next().await.is_none());
    let head = server.heads().remove(0);
    assert!(head.starts_with("POST /exec/1/start HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nconnection: Upgrade\r\n") && head.contains("\r\nupgrade: tcp\r\n"), "{head}");
}

#[tokio::test]
async fn an_answer_that_is_no_switch_comes_with_its_body() {
    let server = Server::saying("HTTP/1.1 409 Conflict\r\ncontent-length: 14\r\n\r\nis not running").await;
    let egress = egress(grant(&server.url()));
    match egress.upgrade(request("POST", "/"), "tcp", Bytes::new()).await.unwrap() {
        UpgradeAnswer::Refused(answer) => assert_eq!((answer.status, answer.body), (409, b"is not running".to_vec())),
        UpgradeAnswer::Upgraded(_) => panic!("it did not switch"),
    }
    let large = Server::raw(|mut talk| async move {
        talk.head().await?;
        talk.say(format!("HTTP/1.1 409 Conflict\r\ncontent-length: 70000\r\n\r\n{}", "x".repeat(70_000))).await
    })
    .await;
    let outcome = crate::support::egress(grant(&large.url())).upgrade(request("POST", "/"), "tcp", Bytes::new()).await;
    assert!(matches!(outcome, Err(Error::TooLarge)));
}

#[tokio::test]
async fn who_may_not_switch_does_not() {
    let server = docker().await;
    let without = egress(Grant { upgrade: false, ..grant(&server.url()) });
    let outcome = without.upgrade(request("POST", "/"), "tcp", Bytes::new()).await;
    let Err(Error::Denied(refusal)) = outcome else { panic!("it switched") };
    assert_eq!(refusal.explain(API).split("endpoints").nth(1), Some(": { api: { upgrade: true } }"));
    let with = egress(grant(&server.url()));
    for protocol in
        ["websocket", "WebSocket", "h2c", "HTTP/2.0", "TLS/1.2", "", "tcp, websocket", "tcp\r\nhost: x", "a b"]
    {
        let outcome = with.upgrade(request("POST", "/"), protocol, Bytes::new()).await;
        assert!(matches!(outcome, Err(Error::Denied(Refusal::Protocol))), "{protocol}");
    }
    let smuggled = crate::support::with_header(request("GET", "/"), "Upgrade", "tcp");
    denied(&with, smuggled).await;
    let outcome = with.upgrade(request("POST", "/a/../b"), "tcp", Bytes::new()).await;
    assert!(matches!(outcome, Err(Error::Denied(Refusal::Path(_)))));
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_connection_keeps_its_place_until_both_halves_are_gone() {
    let server = docker().await;
    let egress = Setup::new()
        .endpoint(API, grant(&server.url()))
        .ceilings(Ceilings { streams: 1, ..Ceilings::default() })
        .egress();
    let another = async || {
        let outgoing = Outgoing { timeout: Some(SHORT), ..request("POST", "/") };
        Box::pin(egress.upgrade(outgoing, "tcp", Bytes::new())).await
    };
    let Connection { reader, writer, .. } = open(&egress).await;
    assert!(matches!(another().await, Err(Error::Timeout)));
    drop(reader);
    assert!(matches!(another().await, Err(Error::Timeout)));
    drop(writer);
    let Connection { reader, writer, .. } = open(&egress).await;
    drop(writer);
    assert!(matches!(another().await, Err(Error::Timeout)));
    drop(reader);
    open(&egress).await;
}

#[tokio::test]
async fn dropping_both_halves_closes_the_connection() {
    let (tell, mut ended) = watch::channel(false);
    let server = Server::raw(move |mut talk| {
        let tell = tell.clone();
        async move {
            talk.head().await?;
            talk.bytes(2).await?;
            talk.say(SWITCH).await?;
            talk.rest().await;
            tell.send_replace(true);
            Ok(())
        }
    })
    .await;
    drop(open(&egress(grant(&server.url()))).await);
    timeout(PATIENCE, ended.wait_for(|ended| *ended)).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_connection_that_is_silent_in_both_directions_ends() {
    let server = docker().await;
    let limits = EndpointLimits { idle_timeout: SHORT, ..EndpointLimits::default() };
    let mut connection = open(&egress(Grant { limits, ..grant(&server.url()) })).await;
    assert_eq!(read(&mut connection, 8).await, "hello {}");
    assert!(matches!(connection.reader.next().await, Some(Err(Error::Timeout))));
}

#[tokio::test]
async fn a_switch_to_another_protocol_or_in_pieces_is_still_only_bytes() {
    let server = Server::raw(|mut talk| async move {
        talk.head().await?;
        for letter in SWITCH.bytes() {
            talk.say([letter]).await?;
        }
        talk.say("x").await?;
        talk.rest().await;
        Ok(())
    })
    .await;
    let mut connection = open(&egress(grant(&server.url()))).await;
    assert_eq!(read(&mut connection, 1).await, "x");
}
