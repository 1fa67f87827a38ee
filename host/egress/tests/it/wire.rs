//! What a provider writes, and what of it gets onto the wire.

use bytes::Bytes;
use http::Method;
use pluglet_egress::{Egress, Grant, Refusal};

use crate::servers::Server;
use crate::support::{API, Setup, denied, egress, fetch, grant, request, text, with_header};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn below(server: &Server, prefix: &str) -> Egress {
    egress(Grant { path_prefixes: vec![prefix.to_owned()], ..grant(&server.url()) })
}

#[tokio::test]
async fn no_spelling_of_a_path_leads_out_of_the_granted_prefix() {
    let server = Server::saying(OK).await;
    let egress = below(&server, "/v1/pods");
    for path in [
        "/v1/pods/../secrets",
        "/v1/pods/..",
        "/v1/pods/./../secrets",
        "/v1/pods/%2e%2e/secrets",
        "/v1/pods/%2E%2E/secrets",
        "/v1/pods/.%2e/secrets",
        "/v1/pods/%2e./secrets",
        "/v1/pods/..%2fsecrets",
        "/v1/pods/..%2Fsecrets",
        "/v1/pods%2f..%2fsecrets",
        "/v1/pods/%252e%252e/secrets",
        "/v1/pods/%252e%252e%252fsecrets",
        "/v1/pods/..\\secrets",
        "/v1/pods/..%5csecrets",
        "/v1/pods/%c0%ae%c0%ae/secrets",
        "/v1/pods/..%c0%afsecrets",
        "/v1/pods/%e0%80%ae%e0%80%ae/secrets",
        "/v1/pods/..;/secrets",
        "/v1/pods/..;x=1/secrets",
        "/v1/pods/..%3b/secrets",
        "/v1/pods/..%3Bx=1/secrets",
        "/v1/pods/.%00./secrets",
        "/v1/pods/..%00/secrets",
        "/v1/pods/..%0d/secrets",
        "/v1/pods/..%u2215secrets",
        "/v1/pods/%ef%bc%8e%ef%bc%8e/secrets",
        "/v1/pods/..%ef%bc%8fsecrets",
        "/v1/pods/..%20/secrets",
        "/v1/pods/%u002e%u002e/secrets",
        "/v1/pods/..//secrets",
        "/v1/pods//../secrets",
        "//v1/secrets",
        "/v1/pods?/../../secrets#/../x",
        "/v1/pods#/../../secrets",
        "/v1/pods/../../v1/secrets",
        "/v1/pods\t/../secrets",
        "/v1/pods /secrets",
        "/v1/pods\r\n\r\nGET /v1/secrets HTTP/1.1\r\nhost: x\r\n\r\n",
        "/v1/podsecrets",
        "/v1/secrets",
        "/v1/Pods/x",
        "http://127.0.0.1/v1/pods",
        "@evil.example/v1/pods",
        "*",
        "",
    ] {
        denied(&egress, request("GET", path)).await;
    }
    assert_eq!(server.connections(), 0, "{:?}", server.heads());
    for path in ["/v1/pods", "/v1/pods/", "/v1/pods/a..b/...?x=..%2F..", "/v1/pods/%C3%A4%20b;v=1"] {
        text(&egress, path).await;
        assert!(server.heads().last().unwrap().starts_with(&format!("GET {path} HTTP/1.1\r\n")), "{path}");
    }
}

/// Apache and nginx have decoded these while passing a request on, which made of one segment two things.
#[tokio::test]
async fn an_encoded_question_mark_does_not_cut_the_path_that_was_compared() {
    let server = Server::saying(OK).await;
    let egress = below(&server, "/v1");
    for path in ["/v1/pods/x%3f/logs", "/v1/pods/x%3F/logs", "/v1/pods/x%23/logs"] {
        denied(&egress, request("GET", path)).await;
    }
    text(&egress, "/v1/pods?x=%3F%23").await;
    assert_eq!(server.heads().len(), 1);
}

#[tokio::test]
async fn methods_are_those_that_both_sides_name_and_never_a_tunnel() {
    let server = Server::saying(OK).await;
    let egress = egress(Grant { methods: Some(vec![Method::GET]), ..grant(&server.url()) });
    let refusal = denied(&egress, request("DELETE", "/")).await;
    assert!(refusal.explain(API).contains("endpoints: { api: { methods: [DELETE] } }"), "{}", refusal.explain(API));
    for method in ["POST", "get", "Get", "CONNECT", "TRACE", "GET ", "GET / HTTP/1.1\r\nx: ", "", "GÉT", "PURGE"] {
        denied(&egress, request(method, "/")).await;
    }
    text(&egress, "/").await;
    let all = crate::support::egress(grant(&server.url()));
    for method in ["CONNECT", "connect", "TRACE", "Trace", "TRACK"] {
        assert!(matches!(denied(&all, request(method, "/")).await, Refusal::BadMethod(_)));
    }
    assert_eq!((server.connections(), server.heads().len()), (1, 1));
}

#[tokio::test]
async fn headers_that_frame_the_message_or_say_who_asks_are_refused() {
    let server = Server::saying(OK).await;
    let egress = egress(grant(&server.url()));
    for name in [
        "Host",
        "hOsT",
        "Connection",
        "Keep-Alive",
        "Transfer-Encoding",
        "transfer_encoding",
        "Content-Length",
        "content_length",
        "TE",
        "Upgrade",
        "HTTP2-Settings",
        "Expect",
        "Proxy-Authorization",
        "Proxy-Connection",
        "Proxy-Anything",
        "Via",
        "Forwarded",
        "X-Forwarded-For",
        "x_forwarded_for",
        "X-Forwarded-Prefix",
        "X-Forwarded-User",
        "X-Real-IP",
        "X-HTTP-Method-Override",
        "X-Original-URL",
        "X-Rewrite-URL",
        "Sec-WebSocket-Key",
    ] {
        let refusal = denied(&egress, with_header(request("GET", "/"), name, "1")).await;
        assert!(matches!(refusal, Refusal::Header(_)), "{name}: {refusal:?}");
    }
    for (name, value) in [
        ("trailer", "x-a, host"),
        ("trailer", "content-length"),
        ("x-a", "1\r\nhost: evil.example"),
        ("x-a", "1\r\n\r\nGET /evil HTTP/1.1\r\n\r\n"),
        ("x-a", "1\n2"),
        ("x-a", "1\r2"),
        ("x-a", "1\0"),
        ("x-a\r\nhost", "evil.example"),
        ("x-a: 1\r\nhost", "evil.example"),
        ("x-a ", "1"),
        (" x-a", "1"),
        ("x-a:", "1"),
        ("transfer-encoding ", "chunked"),
        (":authority", "evil.example"),
        (":path", "/evil"),
        ("", "1"),
    ] {
        let refusal = denied(&egress, with_header(request("GET", "/"), name, value)).await;
        assert!(matches!(refusal, Refusal::Header(_)), "{name:?}: {refusal:?}");
    }
    assert_eq!(server.connections(), 0);
}

/// The whole of what one request is on the wire: nothing of the provider's bytes has become a line of its own.
#[tokio::test]
async fn one_request_is_exactly_these_bytes() {
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::raw(move |mut talk| {
        let told = told.clone();
        async move {
            let mut all = talk.head().await?;
            all.push_str(&String::from_utf8(talk.bytes(45).await?).unwrap());
            talk.say("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await?;
            all.push_str(&String::from_utf8(talk.rest().await).unwrap());
            told.send(all).unwrap();
            Ok(())
        }
    })
    .await;
    let egress = egress(grant(&format!("{}/base", server.url())));
    let body = Bytes::from_static(b"0\r\n\r\nGET /evil HTTP/1.1\r\nhost: e\r\nx: 1\r\n\r\n....");
    let outgoing = with_header(request("POST", "/a%20b?c=d"), "X-One", "1 ; \"two\"");
    let outgoing = with_header(outgoing, "Accept", "*/*");
    assert_eq!(egress.fetch(outgoing, body.clone(), 10).await.unwrap().status, 200);
    let (address, version) = (server.address, env!("CARGO_PKG_VERSION"));
    let expected = format!(
        "POST /base/a%20b?c=d HTTP/1.1\r\nx-one: 1 ; \"two\"\r\naccept: */*\r\nuser-agent: pluglet/{version}\r\n\
         host: {address}\r\ncontent-length: {}\r\n\r\n{}",
        body.len(),
        String::from_utf8(body.to_vec()).unwrap()
    );
    assert_eq!(heard.recv().await.unwrap(), expected);
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn what_a_manifest_does_not_name_is_refused_however_the_name_is_spelt() {
    let server = Server::saying(OK).await;
    let egress =
        Setup::new().endpoint(API, grant(&server.url())).granted_in_vain("spare", grant(&server.url())).egress();
    for (name, expected) in [
        ("other", Refusal::Endpoint("other".to_owned())),
        ("API", Refusal::Endpoint("API".to_owned())),
        ("", Refusal::Endpoint(String::new())),
        ("spare", Refusal::NotInManifest("spare".to_owned())),
    ] {
        let mut outgoing = request("GET", "/");
        name.clone_into(&mut outgoing.endpoint);
        assert_eq!(denied(&egress, outgoing).await, expected);
    }
    assert_eq!(server.connections(), 0);
}

/// An operator pastes what the log says; a provider chooses part of it.
#[tokio::test]
async fn the_yaml_to_paste_has_only_words_that_cannot_be_anything_else() {
    let server = Server::saying(OK).await;
    let egress = egress(grant(&server.url()));
    for name in ["api: { url: http://evil.example }, x", "a\nb", "a #", "a\\\"b", "{}", "a, b", "&a", "*"] {
        let mut outgoing = request("GET", "/");
        name.clone_into(&mut outgoing.endpoint);
        let refusal = denied(&egress, outgoing).await;
        assert_eq!(refusal.snippet(name), None, "{name}");
    }
    assert!(Refusal::Endpoint("aci-exec_2.x".to_owned()).snippet("aci-exec_2.x").is_some());
}

#[tokio::test]
async fn an_answer_shows_nothing_of_the_connection() {
    let server = Server::saying(
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: keep-alive, x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\n\
         proxy-authenticate: Basic\r\nupgrade: h2c\r\nx-kept: 1\r\nx-kept: 2\r\nx-latin: caf\u{e9}\r\n\r\nok",
    )
    .await;
    let answer = fetch(&egress(grant(&server.url())), request("GET", "/")).await.unwrap();
    let mut names: Vec<&str> = answer.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-length", "x-kept", "x-kept", "x-latin"]);
}
