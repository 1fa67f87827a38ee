//! The vectors are AWS's own: those of the Signature Version 4 test suite (service `service`), and the examples of the S3 API
//! reference, "Signature Calculations for the Authorization Header: Transferring Payload in a Single Chunk".

use std::time::{Duration, UNIX_EPOCH};

use http::Request;

use super::*;

const SUITE_KEY: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
/// 2015-08-30T12:36:00Z
const SUITE_TIME: u64 = 1_440_938_160;
const S3_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
/// 2013-05-24T00:00:00Z
const S3_TIME: u64 = 1_369_353_600;
const SESSION_TOKEN: &str = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";

struct Case {
    service: &'static str,
    id: &'static str,
    key: &'static str,
    token: Option<&'static str>,
    time: u64,
    checksum: PayloadChecksumKind,
}

const SUITE: Case = Case {
    service: "service",
    id: "AKIDEXAMPLE",
    key: SUITE_KEY,
    token: None,
    time: SUITE_TIME,
    checksum: PayloadChecksumKind::NoHeader,
};

const S3: Case = Case {
    service: "s3",
    id: "AKIAIOSFODNN7EXAMPLE",
    key: S3_KEY,
    token: None,
    time: S3_TIME,
    checksum: PayloadChecksumKind::XAmzSha256,
};

fn signed(case: &Case, request: Request<&'static str>, streamed: bool) -> (Parts, Vec<Secret>) {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, format!("{content}\n")).unwrap();
        path
    };
    let signer = SigV4::new(&AwsSigV4 {
        region: "us-east-1".to_owned(),
        service: case.service.to_owned(),
        access_key_id_file: file("id", case.id),
        secret_access_key_file: file("key", case.key),
        session_token_file: case.token.map(|token| file("token", token)),
    })
    .unwrap();
    let (mut head, body) = request.into_parts();
    let payload = if streamed { Payload::Streamed } else { Payload::Bytes(body.as_bytes()) };
    let time = UNIX_EPOCH + Duration::from_secs(case.time);
    let keys = signer.keys.current().0;
    let secrets = signer.sign(&keys, &mut head, payload, time, case.checksum).unwrap();
    (head, secrets)
}

fn get(uri: &str) -> Request<&'static str> {
    Request::get(uri).body("").unwrap()
}

fn authorization(head: &Parts) -> &str {
    head.headers[header::AUTHORIZATION].to_str().unwrap()
}

#[test]
fn the_vector_get_vanilla() {
    let (head, _) = signed(&SUITE, get("https://example.amazonaws.com/"), false);
    assert_eq!(head.headers["x-amz-date"], "20150830T123600Z");
    assert_eq!(
        authorization(&head),
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
         SignedHeaders=host;x-amz-date, \
         Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
    );
}

#[test]
fn the_vector_get_vanilla_query_order_key_case() {
    let (head, _) = signed(&SUITE, get("https://example.amazonaws.com/?Param2=value2&Param1=value1"), false);
    let expected = "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500";
    assert!(authorization(&head).ends_with(expected), "{}", authorization(&head));
}

#[test]
fn the_vector_post_x_www_form_urlencoded() {
    let request = Request::post("https://example.amazonaws.com/")
        .header("content-type", "application/x-www-form-urlencoded")
        .body("Param1=value1")
        .unwrap();
    let (head, _) = signed(&SUITE, request, false);
    assert_eq!(
        authorization(&head),
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
         SignedHeaders=content-type;host;x-amz-date, \
         Signature=ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"
    );
}

#[test]
fn the_vector_post_sts_header_before_signs_the_session_token_and_tells_it_as_a_secret() {
    let case = Case { token: Some(SESSION_TOKEN), ..SUITE };
    let (head, secrets) = signed(&case, Request::post("https://example.amazonaws.com/").body("").unwrap(), false);
    let expected = "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead";
    assert!(authorization(&head).ends_with(expected), "{}", authorization(&head));
    assert_eq!(head.headers[TOKEN], SESSION_TOKEN);
    assert!(head.headers[TOKEN].is_sensitive());
    let secrets: Vec<&[u8]> = secrets.iter().map(Secret::as_bytes).collect();
    assert_eq!(secrets, [SESSION_TOKEN.as_bytes(), expected.as_bytes()]);
}

#[test]
fn the_examples_of_the_s3_reference_with_the_checksum_header() {
    for (query, signature) in [
        ("lifecycle", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        ("max-keys=2&prefix=J", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
    ] {
        let (head, _) = signed(&S3, get(&format!("https://examplebucket.s3.amazonaws.com/?{query}")), false);
        assert!(authorization(&head).ends_with(signature), "{query}: {}", authorization(&head));
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(head.headers[CONTENT_SHA256], empty);
    }
}

#[test]
fn a_streamed_body_is_not_signed_and_says_so() {
    let (head, _) = signed(&S3, Request::put("https://examplebucket.s3.amazonaws.com/key").body("").unwrap(), true);
    assert_eq!(head.headers[CONTENT_SHA256], "UNSIGNED-PAYLOAD");
    assert!(authorization(&head).contains("x-amz-content-sha256"));
}

#[test]
fn what_a_provider_put_into_our_headers_is_gone() {
    let request = Request::get("https://example.amazonaws.com/")
        .header("authorization", "mine")
        .header("x-amz-date", "20000101T000000Z")
        .header("x-amz-security-token", "mine")
        .header("x-amz-target", "Service.Action")
        .header("accept", "*/*")
        .body("")
        .unwrap();
    let (head, _) = signed(&SUITE, request, false);
    assert!(!head.headers.contains_key(TOKEN));
    assert_eq!(head.headers["x-amz-date"], "20150830T123600Z");
    assert!(authorization(&head).contains("SignedHeaders=host;x-amz-date;x-amz-target,"), "{}", authorization(&head));
}

#[test]
fn a_uri_without_a_host_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, "abcd").unwrap();
    let signer = SigV4::new(&AwsSigV4 {
        region: "us-east-1".to_owned(),
        service: "s3".to_owned(),
        access_key_id_file: path.clone(),
        secret_access_key_file: path,
        session_token_file: None,
    });
    let (mut head, ()) = Request::get("/path").body(()).unwrap().into_parts();
    let error = signer.unwrap().apply(&mut head, Payload::Streamed).err().unwrap();
    assert!(matches!(error, CredentialError::Request { .. }));
}
