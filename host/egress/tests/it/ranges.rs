//! Endpoints that are a range of hosts or of addresses.

use pluglet_egress::{Egress, Grant, Refusal, Scheme, Target};

use crate::servers::Server;
use crate::support::{API, PATIENCE, Script, Setup, denied, egress, fetch, request, text, to};
use crate::tls::Authority;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn hosts(server: &Server, private_addresses: bool, script: &Script) -> Egress {
    let target = Target::hosts(&format!("*.atlas.example.com:{}", server.address.port()), Scheme::Http).unwrap();
    Setup::new().endpoint(API, Grant { private_addresses, ..to(target) }).resolved_by(script)
}

#[tokio::test]
async fn a_host_below_the_suffix_is_reached_under_its_own_name() {
    let server = Server::saying(OK).await;
    let port = server.address.port();
    let script = Script::new(&[&["127.0.0.1"]]);
    let egress = hosts(&server, true, &script);
    assert_eq!(text(&egress, &format!("http://Bridge-1.Atlas.example.com:{port}/exec/1?api=2")).await, "ok");
    assert_eq!(script.asked(), ["bridge-1.atlas.example.com"]);
    let head = server.heads().remove(0);
    assert!(head.starts_with("GET /exec/1?api=2 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("\r\nhost: bridge-1.atlas.example.com:{port}\r\n")), "{head}");
}

#[tokio::test]
async fn the_names_of_a_range_are_judged_by_where_they_lead() {
    let server = Server::saying(OK).await;
    let url = format!("http://x.atlas.example.com:{}/", server.address.port());
    let refusal = denied(&hosts(&server, false, &Script::new(&[&["127.0.0.1"]])), request("GET", &url)).await;
    assert!(matches!(refusal, Refusal::Address { .. }));
    let refusal = denied(&hosts(&server, true, &Script::new(&[&["169.254.169.254"]])), request("GET", &url)).await;
    assert!(matches!(refusal, Refusal::Address { .. }));
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn nothing_outside_of_a_range_of_hosts_is_resolved_or_dialled() {
    let server = Server::saying(OK).await;
    let port = server.address.port();
    let script = Script::new(&[&["127.0.0.1"]]);
    let egress = hosts(&server, true, &script);
    for url in [
        format!("http://atlas.example.com:{port}/"),
        format!("http://evilatlas.example.com:{port}/"),
        format!("http://x.atlas.example.com.evil.example:{port}/"),
        format!("http://x.atlas.example.com.:{port}/"),
        format!("http://127.0.0.1:{port}/"),
        format!("http://[::1]:{port}/"),
        format!("https://x.atlas.example.com:{port}/"),
        format!("http://user@x.atlas.example.com:{port}/"),
        format!("http://evil.example#@x.atlas.example.com:{port}/"),
        format!("http://x.atlas.example.com:{port}\\@evil.example/"),
        format!("http://x.atlas.example.com:{port}/a/../b"),
        format!("http://x.atlas.example.com:{port}//evil.example"),
        format!("http://x.atlas.example.com:+{port}/"),
        format!("http://x.atlas.example.com:0{port}/"),
        format!("http://x.atlas.example.com :{port}/"),
        format!("http://x.atlas.example.com\r\n:{port}/"),
        "http://x.atlas.example.com/".to_owned(),
        "/".to_owned(),
    ] {
        denied(&egress, request("GET", &url)).await;
    }
    assert!(script.asked().is_empty() && server.connections() == 0);
}

#[tokio::test]
async fn a_range_of_addresses_takes_those_and_their_canonical_spelling_only() {
    let server = Server::saying(OK).await;
    let port = server.address.port();
    let target = Target::addresses(&format!("127.0.0.0/24:{port}"), Scheme::Http).unwrap();
    let script = Script::new(&[&["127.0.0.1"]]);
    let egress = Setup::new().endpoint(API, to(target)).resolved_by(&script);
    assert_eq!(text(&egress, &format!("http://127.0.0.1:{port}/metrics")).await, "ok");
    let before = server.connections();
    for host in [
        "127.0.1.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "0x7f.0.0.1",
        "127.0.0.01",
        "[::ffff:127.0.0.1]",
        "[::1]",
        "[127.0.0.1]",
        "127.0.0.1.",
        "localhost",
        "127.0.0.1@evil.example",
        "127.0.0.1%25eth0",
        "169.254.169.254",
    ] {
        denied(&egress, request("GET", &format!("http://{host}:{port}/metrics"))).await;
    }
    denied(&egress, request("GET", "http://127.0.0.1/metrics")).await;
    assert_eq!(server.connections(), before);
    assert!(script.asked().is_empty(), "an address is no name");
}

#[tokio::test]
async fn no_range_is_wide_enough_for_a_metadata_service() {
    for (network, host) in [
        ("168.0.0.0/8:80", "168.63.129.16"),
        ("100.64.0.0/10:80", "100.100.100.200"),
        ("192.0.0.0/16:80", "192.0.0.192"),
        ("[fd00:42::/32]:80", "[fd00:42::42]"),
        ("[64:ff9b::/32]:80", "[64:ff9b::a9fe:a9fe]"),
    ] {
        let egress = egress(to(Target::addresses(network, Scheme::Http).unwrap()));
        let refusal = denied(&egress, request("GET", &format!("http://{host}/latest/meta-data/"))).await;
        assert!(matches!(refusal, Refusal::Address { .. }), "{host}: {refusal:?}");
    }
}

#[tokio::test]
async fn the_path_rules_hold_for_whole_urls_too() {
    let server = Server::saying(OK).await;
    let port = server.address.port();
    let target = Target::addresses(&format!("127.0.0.0/8:{port}"), Scheme::Http).unwrap();
    let egress = egress(Grant { path_prefixes: vec!["/metrics".to_owned()], ..to(target) });
    assert_eq!(text(&egress, &format!("http://127.0.0.1:{port}/metrics/cadvisor")).await, "ok");
    for path in ["", "/", "/metricsx", "/metrics/../run", "/metrics/%2e%2e/run", "?x", "/run"] {
        denied(&egress, request("GET", &format!("http://127.0.0.1:{port}{path}"))).await;
    }
    assert_eq!(server.heads().len(), 1);
}

#[tokio::test]
async fn each_host_of_a_range_must_prove_its_own_name() {
    let (authority, files) = (Authority::new(), crate::support::Files::new());
    let router = axum::Router::new().fallback(async || "ok");
    let server = Server::tls(router, authority.server("one.atlas.example.com")).await;
    let port = server.address.port();
    let target = Target::hosts(&format!("*.atlas.example.com:{port}"), Scheme::Https).unwrap();
    let grant = Grant { private_addresses: true, tls: authority.trusted(&files), ..to(target) };
    let egress = Setup::new().endpoint(API, grant).resolved_by(&Script::new(&[&["127.0.0.1"]]));
    assert_eq!(text(&egress, &format!("https://one.atlas.example.com:{port}/")).await, "ok");
    let other = fetch(&egress, request("GET", &format!("https://two.atlas.example.com:{port}/"))).await;
    assert!(matches!(other, Err(pluglet_egress::Error::Connect(_))));
}

/// Names below a suffix cost a provider nothing where the zone has a wildcard.
#[tokio::test]
async fn a_range_leaves_no_idle_connections_behind() {
    let (ended, mut ends) = tokio::sync::watch::channel(0);
    let server = Server::raw(move |mut talk| {
        let ended = ended.clone();
        async move {
            talk.head().await?;
            talk.say(OK).await?;
            talk.rest().await;
            ended.send_modify(|count| *count += 1);
            Ok(())
        }
    })
    .await;
    let egress = hosts(&server, true, &Script::new(&[&["127.0.0.1"]]));
    for number in 0..100 {
        text(&egress, &format!("http://x{number}.atlas.example.com:{}/", server.address.port())).await;
    }
    tokio::time::timeout(PATIENCE, ends.wait_for(|count| *count == 100)).await.unwrap().unwrap();
}
