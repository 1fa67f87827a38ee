use std::time::UNIX_EPOCH;

use super::*;

fn read_body(status: u16, body: &str) -> Result<Granted, CredentialError> {
    read_all(status, None, body, false)
}

fn read_all(status: u16, retry_after: Option<&str>, body: &str, metadata: bool) -> Result<Granted, CredentialError> {
    let retry_after = retry_after.map(|value| HeaderValue::from_str(value).unwrap());
    let answer = Answer {
        url: "https://login.example.com/token",
        status: StatusCode::from_u16(status).unwrap(),
        retry_after: retry_after.as_ref(),
        body: body.as_bytes(),
        sent: &[Secret::new("hunter2")],
        metadata,
    };
    // 2026-01-01T00:00:00Z
    read(&answer, UNIX_EPOCH + Duration::from_secs(1_767_225_600))
}

#[test]
fn expires_in_may_be_a_number_a_string_or_missing() {
    for (expires_in, seconds) in [
        (r#","expires_in":3599"#, 3599),
        (r#","expires_in":"86399""#, 86_399),
        (r#","expires_in":3599.0"#, 3599),
        (r#","expires_in":-5"#, 0),
        (r#","expires_in":null"#, 300),
        (r#","expires_in":"soon""#, 300),
        ("", 300),
    ] {
        let body = format!(r#"{{"token_type":"bearer","access_token":"abcd"{expires_in}}}"#);
        let granted = read_body(200, &body).ok().unwrap();
        assert_eq!(granted.life, Duration::from_secs(seconds), "{expires_in}");
        assert_eq!(granted.header, "Bearer abcd");
    }
}

#[test]
fn a_success_without_a_usable_token_is_told_without_repeating_it() {
    for body in [
        "",
        "<html>",
        "{}",
        r#"{"access_token":""}"#,
        r#"{"access_token":12345678}"#,
        r#"{"access_token":"leaked\r\nx: y"}"#,
        r#"{"access_token":"leaked","token_type":"mac"}"#,
    ] {
        let error = read_body(200, body).err().unwrap();
        assert!(matches!(error, CredentialError::TokenAnswer { .. }), "{body}");
        assert!(error.is_transient() && !format!("{error} {error:?}").contains("leaked"), "{error:?}");
    }
}

#[test]
fn a_refusal_is_final_and_tells_what_the_server_said_without_the_secret() {
    let body = r#"{"error":"invalid_client","error_description":"AADSTS7000215:\r\nhunter2 is wrong"}"#;
    let error = read_body(401, body).err().unwrap();
    assert!(!error.is_transient());
    let CredentialError::TokenRefused { status, error, .. } = error else { panic!("{error:?}") };
    assert_eq!((status.as_u16(), error.as_str()), (401, "invalid_client: AADSTS7000215:  [masked] is wrong"));
}

#[test]
fn a_body_that_is_no_error_of_oauth_is_not_repeated() {
    for body in ["<html>hunter2</html>", r#"{"error":{"code":1}}"#, ""] {
        let text = read_body(400, body).err().unwrap().to_string();
        assert!(text.ends_with("it gave no reason"), "{text}");
    }
}

#[test]
fn overload_and_maintenance_are_transient() {
    for (status, body, metadata) in [
        (429, "", false),
        (408, "", false),
        (503, "", false),
        (500, r#"{"error":"invalid_client"}"#, false),
        (400, r#"{"error":"temporarily_unavailable"}"#, false),
        (404, "", true),
        (410, "", true),
    ] {
        assert!(read_all(status, None, body, metadata).err().unwrap().is_transient(), "{status} {body}");
    }
    assert!(!read_body(404, "").err().unwrap().is_transient());
    assert!(!read_body(302, "").err().unwrap().is_transient());
}

#[test]
fn retry_after_is_seconds_or_a_date() {
    for (value, seconds) in [
        ("17", Some(17)),
        ("Thu, 01 Jan 2026 00:01:00 GMT", Some(60)),
        ("Wed, 31 Dec 2025 00:00:00 GMT", Some(0)),
        ("later", None),
    ] {
        let error = read_all(503, Some(value), "", false).err().unwrap();
        assert_eq!(error.retry_after(), seconds.map(Duration::from_secs), "{value}");
    }
}
