//! Requests that must not be made, or not like that.

use std::sync::atomic::Ordering;

use pluglet_egress::{Grant, Scheme, Target};
use serde_json::{Value, json};

use crate::attacker::{case, granted, one, perform, start, text, with};
use crate::backend::Server;

fn fetch(target: &str) -> Value {
    json!({"op": "fetch", "endpoint": "target", "target": target})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_to_a_metadata_service_is_shown_and_not_followed() {
    let trap = Server::plain("200 OK", "", "credentials").await;
    let location = format!("location: http://{}/latest/meta-data/\r\n", trap.address);
    let backend = Server::plain("302 Found", &location, "").await;
    let attacker = start(granted("target", &backend.url())).await;
    let seen = one(&attacker, fetch("/granted/x")).await;
    assert_eq!(seen["status"], 302);
    assert_eq!(trap.seen.connections.load(Ordering::SeqCst), 0);
    assert_eq!(backend.seen.heads().len(), 1);
    attacker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_in_every_spelling_are_refused_where_names_are_granted() {
    let trap = Server::plain("200 OK", "", "").await;
    let port = trap.address.port();
    let hosts = Grant::new(Target::hosts(&format!("*.example.com:{port}"), Scheme::Http).unwrap());
    let attacker = start(with("hosts", hosts)).await;
    for host in [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[::1]",
        "localhost",
        "127.0.0.1.example.com.evil.test",
        "user:pass@a.example.com",
        "127.0.0.1@a.example.com",
        "a.example.com@127.0.0.1",
        "a.example.com%40127.0.0.1",
        "a.example.com%2f.evil.test",
        "a.example.com.",
    ] {
        let url = format!("http://{host}:{port}/");
        let seen = one(&attacker, json!({"op": "fetch", "endpoint": "hosts", "target": url})).await;
        assert_eq!(case(&seen), "denied", "{url}: {seen}");
    }
    assert_eq!(trap.seen.connections.load(Ordering::SeqCst), 0);
    attacker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_outside_of_the_granted_network_are_refused_in_every_spelling() {
    let inside = Server::plain("200 OK", "", "metrics").await;
    let port = inside.address.port();
    let network = Grant::new(Target::addresses(&format!("127.0.0.1/32:{port}"), Scheme::Http).unwrap());
    let attacker = start(with("addresses", network)).await;
    let get = |url: String| json!({"op": "fetch", "endpoint": "addresses", "target": url});
    for host in [
        "169.254.169.254",
        "127.0.0.2",
        "10.0.0.1",
        "2130706433",
        "0177.0.0.1",
        "0x7f.0.0.1",
        "127.1",
        "[::ffff:127.0.0.1]",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:a9fe:a9fe::1]",
        "localhost",
        "127.0.0.1@169.254.169.254",
    ] {
        let seen = one(&attacker, get(format!("http://{host}:{port}/"))).await;
        assert_eq!(case(&seen), "denied", "{host}: {seen}");
    }
    for url in [format!("http://127.0.0.1:{}/", port ^ 1), format!("https://127.0.0.1:{port}/"), "/metrics".to_owned()]
    {
        let seen = one(&attacker, get(url.clone())).await;
        assert_eq!(case(&seen), "denied", "{url}: {seen}");
    }
    let seen = one(&attacker, get(format!("http://127.0.0.1:{port}/metrics"))).await;
    assert_eq!(seen["text"], "metrics");
    assert_eq!(inside.seen.heads().len(), 1);
    attacker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_encoding_leads_out_of_the_granted_prefix() {
    let backend = Server::plain("200 OK", "", "fine").await;
    let grant = Grant {
        path_prefixes: vec!["/granted/deeper".to_owned()],
        ..Grant::new(Target::base(&format!("{}/base", backend.url())).unwrap())
    };
    let attacker = start(with("target", grant)).await;
    let inside = "/granted/deeper";
    for outside in [
        format!("{inside}/../secret"),
        format!("{inside}/%2e%2e/secret"),
        format!("{inside}/%2E%2E/secret"),
        format!("{inside}/.%2e/secret"),
        format!("{inside}/..%2fsecret"),
        format!("{inside}/..%5csecret"),
        format!("{inside}/..\\secret"),
        format!("{inside}/%252e%252e/secret"),
        format!("{inside}/%c0%ae%c0%ae/secret"),
        format!("{inside}/..;/secret"),
        format!("{inside}//../secret"),
        format!("{inside}/./../secret"),
        format!("{inside}/..%00/secret"),
        format!("{inside}/\u{ff0e}\u{ff0e}/secret"),
        format!("{inside}/..#/secret"),
        format!("//127.0.0.1{inside}"),
        format!("http://127.0.0.1{inside}"),
        "/granted/deeper-not".to_owned(),
        "/granted".to_owned(),
        "/other".to_owned(),
    ] {
        let seen = one(&attacker, fetch(&outside)).await;
        assert_eq!(case(&seen), "denied", "{outside}: {seen}");
    }
    assert!(backend.seen.heads().is_empty(), "{:?}", backend.seen.heads());
    assert_eq!(one(&attacker, fetch("/granted/deeper/x?y=..")).await["status"], 200);
    assert!(backend.seen.heads()[0].starts_with("GET /base/granted/deeper/x?y=.. HTTP/1.1\r\n"));
    attacker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_that_is_not_granted_is_refused_with_the_snippet_that_would_grant_it() {
    let backend = Server::plain("200 OK", "", "").await;
    let attacker = start(granted("target", &backend.url())).await;
    for method in ["DELETE", "PATCH", "CONNECT", "TRACE", "GET /evil HTTP/1.1\r\nhost: x\r\n\r\nGET", "get", ""] {
        let seen =
            one(&attacker, json!({"op": "fetch", "endpoint": "target", "target": "/granted/x", "method": method}))
                .await;
        assert_eq!(case(&seen), "denied", "{method:?}: {seen}");
    }
    let seen =
        one(&attacker, json!({"op": "fetch", "endpoint": "target", "target": "/granted/x", "method": "DELETE"})).await;
    assert!(text(&seen).contains("endpoints: { target: { methods: [DELETE] } }"), "{seen}");
    assert!(backend.seen.heads().is_empty());
    attacker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_header_smuggles_a_second_request() {
    let backend = Server::plain("200 OK", "", "").await;
    let attacker = start(granted("target", &backend.url())).await;
    let evil = [
        ["x-a", "b\r\n\r\nGET /secret HTTP/1.1\r\nhost: x"],
        ["x-a", "b\nhost: evil"],
        ["x-a\r\nhost", "evil"],
        ["x a", "b"],
        ["host", "evil.example"],
        ["Host", "evil.example"],
        ["content-length", "0"],
        ["transfer-encoding", "chunked"],
        ["transfer-encoding ", "chunked"],
        ["connection", "keep-alive, x-a"],
        ["upgrade", "h2c"],
        ["te", "trailers"],
        ["proxy-authorization", "Basic x"],
        ["expect", "100-continue"],
        ["x-http-method-override", "DELETE"],
    ];
    for header in evil {
        let request = json!({
            "op": "fetch", "endpoint": "target", "target": "/granted/x", "method": "POST", "headers": [header],
            "body": "0\r\n\r\nGET /secret HTTP/1.1\r\nhost: x\r\n\r\n",
        });
        let seen = one(&attacker, request).await;
        assert_eq!(case(&seen), "denied", "{header:?}: {seen}");
    }
    assert!(backend.seen.heads().is_empty(), "{:?}", backend.seen.heads());
    // A body that looks like a request is a body.
    let body = "0\r\n\r\nGET /secret HTTP/1.1\r\nhost: x\r\n\r\n";
    let post = json!({"op": "fetch", "endpoint": "target", "target": "/granted/x", "method": "POST", "body": body});
    let seen = perform(&attacker, &json!([post, fetch("/granted/y")])).await;
    assert_eq!((&seen[0]["status"], &seen[1]["status"]), (&json!(200), &json!(200)));
    let heads = backend.seen.heads();
    assert_eq!(heads.len(), 2, "{heads:?}");
    assert!(heads[0].contains(&format!("content-length: {}\r\n", body.len())), "{heads:?}");
    attacker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_trailer_smuggles_what_a_header_may_not() {
    let backend = Server::start(|_| crate::backend::Reply::Silence).await;
    let mut options = granted("target", &backend.url());
    options.grants.values_mut().for_each(|grant| grant.limits.timeout = std::time::Duration::from_secs(5));
    let attacker = start(options).await;
    for (trailer, why) in [
        (["host", "evil"], "`host` is the host's business"),
        (["content-length", "3"], "`content-length` is the host's business"),
        (["authorization", "Bearer x"], "`authorization` cannot be a trailer"),
        (["x-a", "b\r\nc: d"], "the value of the header `x-a` is not valid"),
    ] {
        let request = json!({
            "op": "send", "endpoint": "target", "target": "/granted/x", "method": "POST", "bodyBytes": 10, "trailers": [trailer],
        });
        let seen = one(&attacker, request).await;
        assert_eq!(case(&seen), "denied", "{trailer:?}: {seen}");
        assert!(text(&seen).contains(why), "{trailer:?}: {seen}");
    }
    attacker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_manifest_does_not_ask_for_is_not_there_whatever_the_operator_grants() {
    let backend = Server::plain("200 OK", "", "").await;
    let attacker = start(granted("left-over", &backend.url())).await;
    let seen = one(&attacker, json!({"op": "fetch", "endpoint": "left-over", "target": "/"})).await;
    assert_eq!(case(&seen), "denied");
    assert!(text(&seen).contains("manifest does not ask for it"), "{seen}");
    let seen = one(&attacker, json!({"op": "fetch", "endpoint": "never\n\"granted", "target": "/"})).await;
    assert!(text(&seen).contains("is not granted") && !text(&seen).contains('\n'), "{seen}");
    assert_eq!(backend.seen.connections.load(Ordering::SeqCst), 0);
    attacker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn websockets_and_upgrades_are_rights_of_their_own() {
    let backend = Server::plain("200 OK", "", "").await;
    let attacker = start(granted("target", &backend.url())).await;
    let upgrade =
        json!({"op": "upgrade", "endpoint": "target", "target": "/granted/x", "method": "POST", "protocol": "tcp"});
    let websocket = json!({"op": "websocket", "endpoint": "target", "target": "/granted/x"});
    for (instruction, right) in [(upgrade, "upgrade: true"), (websocket, "websocket: true")] {
        let seen = one(&attacker, instruction).await;
        assert_eq!(case(&seen), "denied", "{seen}");
        assert!(text(&seen).contains(right), "{seen}");
    }
    assert_eq!(backend.seen.connections.load(Ordering::SeqCst), 0);
    attacker.stop().await;
}
