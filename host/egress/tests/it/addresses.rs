//! Which addresses a name may lead to.

use pluglet_egress::{Error, Grant, Refusal};

use crate::servers::Server;
use crate::support::{API, Script, Setup, denied, fetch, grant, request, text};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Says `ok` and ends the connection, so that the next request needs another.
const OK_AND_CLOSE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";

fn named(server: &Server) -> Grant {
    grant(&format!("http://backend.example.com:{}", server.address.port()))
}

fn private(server: &Server) -> Grant {
    Grant { private_addresses: true, ..named(server) }
}

#[tokio::test]
async fn a_name_that_leads_to_an_address_that_is_not_public_is_refused_before_anything_is_dialled() {
    let server = Server::saying(OK).await;
    for (address, can_be_granted) in [
        ("127.0.0.1", true),
        ("10.1.2.3", true),
        ("172.16.0.1", true),
        ("192.168.1.1", true),
        ("100.64.0.1", true),
        ("fd00::1", true),
        ("::1", true),
        ("::ffff:127.0.0.1", true),
        ("::127.0.0.1", true),
        ("64:ff9b::7f00:1", true),
        ("64:ff9b::a9fe:a9fe", false),
        ("2002:7f00:1::", true),
        ("2002:a9fe:a9fe::1", false),
        ("169.254.169.254", false),
        ("::ffff:169.254.169.254", false),
        ("fe80::1", false),
        ("fd00:ec2::254", false),
        ("168.63.129.16", false),
        ("0.0.0.0", false),
        ("::", false),
        ("255.255.255.255", false),
    ] {
        let script = Script::new(&[&[address]]);
        let egress = Setup::new().endpoint(API, named(&server)).resolved_by(&script);
        let refusal = denied(&egress, request("GET", "/")).await;
        assert!(matches!(refusal, Refusal::Address { .. }), "{address}: {refusal:?}");
        let told = refusal.explain(API).contains("endpoints: { api: { privateAddresses: true } }");
        assert_eq!(told, can_be_granted, "{address}: {}", refusal.explain(API));
        assert_eq!(script.asked(), ["backend.example.com"]);
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn with_permission_private_addresses_are_reached_and_metadata_services_still_are_not() {
    let server = Server::saying(OK).await;
    for address in ["127.0.0.1", "::ffff:127.0.0.1"] {
        let egress = Setup::new().endpoint(API, private(&server)).resolved_by(&Script::new(&[&[address]]));
        assert_eq!(text(&egress, "/").await, "ok", "{address}");
    }
    let before = server.connections();
    for address in ["169.254.169.254", "::ffff:a9fe:a9fe", "fe80::1", "fd00:ec2::254", "100.100.100.200", "0.0.0.0"] {
        let egress = Setup::new().endpoint(API, private(&server)).resolved_by(&Script::new(&[&[address]]));
        denied(&egress, request("GET", "/")).await;
    }
    assert_eq!(server.connections(), before);
}

#[tokio::test]
async fn the_refusal_of_an_address_is_told_through_tls_too() {
    let egress = Setup::new()
        .endpoint(API, grant("https://backend.example.com"))
        .resolved_by(&Script::new(&[&["169.254.169.254"]]));
    assert!(matches!(denied(&egress, request("GET", "/")).await, Refusal::Address { .. }));
}

#[tokio::test]
async fn the_address_that_is_dialled_is_the_one_that_was_judged() {
    let judged = Server::saying(OK_AND_CLOSE).await;
    let other = Server::raw_at(([127, 0, 0, 2], judged.address.port()).into(), |mut talk| async move {
        talk.head().await?;
        talk.say("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil").await
    })
    .await;
    let script = Script::new(&[&["127.0.0.1"], &["127.0.0.2"]]);
    let egress = Setup::new().endpoint(API, private(&judged)).resolved_by(&script);
    assert_eq!(text(&egress, "/").await, "ok");
    assert_eq!((script.asked().len(), other.connections()), (1, 0), "one connection, one question");
    assert_eq!(text(&egress, "/").await, "evil", "the next connection asks anew");
    assert_eq!(script.asked().len(), 2);
}

#[tokio::test]
async fn an_answer_that_turns_bad_is_refused_at_the_next_connection() {
    let server = Server::saying(OK_AND_CLOSE).await;
    let script = Script::new(&[&["127.0.0.1"], &["169.254.169.254"], &["127.0.0.1"]]);
    let egress = Setup::new().endpoint(API, private(&server)).resolved_by(&script);
    assert_eq!(text(&egress, "/").await, "ok");
    denied(&egress, request("GET", "/")).await;
    assert_eq!(text(&egress, "/").await, "ok");
    assert_eq!((script.asked().len(), server.connections()), (3, 2));
}

#[tokio::test]
async fn a_connection_that_is_kept_asks_for_no_name() {
    let server = Server::saying(OK).await;
    let script = Script::new(&[&["127.0.0.1"], &["169.254.169.254"]]);
    let egress = Setup::new().endpoint(API, private(&server)).resolved_by(&script);
    for _ in 0..5 {
        assert_eq!(text(&egress, "/").await, "ok");
    }
    assert_eq!((script.asked().len(), server.connections()), (1, 1));
}

#[tokio::test]
async fn of_a_mixed_answer_only_what_is_allowed_is_dialled() {
    let server = Server::saying(OK).await;
    let mixed = Script::new(&[&["169.254.169.254", "fe80::1", "127.0.0.1"]]);
    let egress = Setup::new().endpoint(API, private(&server)).resolved_by(&mixed);
    assert_eq!(text(&egress, "/").await, "ok");
    let without = Script::new(&[&["10.0.0.1", "127.0.0.1", "169.254.169.254"]]);
    let egress = Setup::new().endpoint(API, named(&server)).resolved_by(&without);
    denied(&egress, request("GET", "/")).await;
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_name_without_addresses_and_one_with_a_thousand_end_soon() {
    let server = Server::saying(OK).await;
    let egress = Setup::new().endpoint(API, private(&server)).resolved_by(&Script::new(&[&[]]));
    assert!(matches!(fetch(&egress, request("GET", "/")).await, Err(Error::Connect(_))));
    // Nobody listens on the first hundred; the right one is beyond what is tried.
    let many: Vec<String> = (0..100).map(|last| format!("127.9.9.{last}")).chain(["127.0.0.1".to_owned()]).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let egress = Setup::new().endpoint(API, private(&server)).resolved_by(&Script::new(&[&many]));
    assert!(matches!(fetch(&egress, request("GET", "/")).await, Err(Error::Connect(_))));
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn an_address_that_the_operator_wrote_needs_no_permission_and_no_name() {
    let server = Server::saying(OK).await;
    let script = Script::new(&[&["169.254.169.254"]]);
    let egress = Setup::new().endpoint(API, grant(&server.url())).resolved_by(&script);
    assert_eq!(text(&egress, "/").await, "ok");
    assert!(script.asked().is_empty());
    let local = grant(&format!("http://localhost:{}", server.address.port()));
    let egress = Setup::new().endpoint(API, local).resolved_by(&Script::new(&[&["127.0.0.1"], &["10.0.0.1"]]));
    assert_eq!(text(&egress, "/").await, "ok", "localhost is this machine");
}

#[tokio::test]
async fn websockets_and_upgrades_ask_the_same_questions() {
    let server = Server::saying(OK).await;
    let egress = Setup::new().endpoint(API, named(&server)).resolved_by(&Script::new(&[&["127.0.0.1"]]));
    let upgrade = egress.upgrade(request("POST", "/"), "tcp", bytes::Bytes::new()).await;
    assert!(matches!(upgrade, Err(Error::Denied(Refusal::Address { .. }))));
    assert!(matches!(egress.websocket(request("GET", "/"), &[]).await, Err(Error::Denied(Refusal::Address { .. }))));
    assert_eq!(server.connections(), 0);
}
