//! Token servers that fail, refuse or misbehave.

use std::time::Duration;

use futures::future::join_all;
use pluglet_credentials::{Auth, Credential, CredentialError, FileError, OAuth2};
use tokio::net::TcpListener;

use crate::support::{Files, TokenServer, authorization, authorize, azure_client_secret, oauth2, pass};

#[tokio::test]
async fn one_failure_is_shared_by_all_who_wait_and_stands_for_a_second() {
    let (server, files) = (TokenServer::start().await, Files::new());
    let credential = Credential::new(&oauth2(&server, &files)).unwrap();
    server.script(503, None, "");
    let all = join_all((0..1000).map(|_| authorize(&credential))).await;
    assert!(all.iter().all(|result| result.as_ref().is_err_and(CredentialError::is_transient)));
    assert!(authorize(&credential).await.is_err());
    assert_eq!(server.count(), 1);
    pass(Duration::from_secs(1)).await;
    assert_eq!(authorization(&credential).await, "Bearer token-2");
}

#[tokio::test]
async fn a_pause_that_the_token_server_asks_for_is_kept() {
    let (server, files) = (TokenServer::start().await, Files::new());
    let credential = Credential::new(&oauth2(&server, &files)).unwrap();
    server.script(429, Some(("retry-after", "120")), r#"{"error":"slow_down"}"#);
    let error = authorize(&credential).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(120)));
    pass(Duration::from_secs(100)).await;
    assert!(authorize(&credential).await.is_err());
    assert_eq!(server.count(), 1);
    pass(Duration::from_secs(20)).await;
    authorize(&credential).await.unwrap();
}

#[tokio::test]
async fn a_renewal_that_fails_keeps_the_token_and_is_tried_again_later() {
    let (server, files) = (TokenServer::start().await, Files::new());
    let credential = Credential::new(&oauth2(&server, &files)).unwrap();
    authorize(&credential).await.unwrap();
    pass(Duration::from_secs(3600 - 300)).await;
    server.script(500, None, "");
    assert_eq!(authorization(&credential).await, "Bearer token-1");
    server.came(2).await;
    // Far more turns than the answer needs on its way.
    for _ in 0..1000 {
        assert_eq!(authorization(&credential).await, "Bearer token-1");
        tokio::task::yield_now().await;
    }
    assert_eq!(server.count(), 2);
    pass(Duration::from_secs(1)).await;
    while authorization(&credential).await == "Bearer token-1" {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.count(), 3);
}

#[tokio::test]
async fn a_refusal_is_told_without_the_secret_and_is_not_transient() {
    let (server, files) = (TokenServer::start().await, Files::new());
    let credential = Credential::new(&azure_client_secret(&server, &files)).unwrap();
    let body = r#"{"error":"invalid_client","error_description":"AADSTS7000215: abc~Def.8Q or abc%7EDef.8Q is wrong"}"#;
    server.script(401, None, body);
    let error = authorize(&credential).await.unwrap_err();
    assert!(!error.is_transient());
    let CredentialError::TokenRefused { status, error, .. } = error else { panic!("{error:?}") };
    assert_eq!(status, 401);
    assert_eq!(error, "invalid_client: AADSTS7000215: [masked] or [masked] is wrong");
}

#[tokio::test]
async fn a_redirect_is_not_followed_with_the_secret() {
    let (server, elsewhere, files) = (TokenServer::start().await, TokenServer::start().await, Files::new());
    let credential = Credential::new(&oauth2(&server, &files)).unwrap();
    server.script(307, Some(("location", &elsewhere.url)), "");
    assert!(matches!(authorize(&credential).await, Err(CredentialError::TokenRefused { .. })));
    assert_eq!(elsewhere.count(), 0);
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let (server, files) = (TokenServer::start().await, Files::new());
    let credential = Credential::new(&oauth2(&server, &files)).unwrap();
    let body = format!(r#"{{"access_token":"{}"}}"#, "x".repeat(256 << 10));
    server.script(200, None, &body);
    assert!(matches!(authorize(&credential).await, Err(CredentialError::TokenAnswer { .. })));
}

#[tokio::test]
async fn a_token_server_that_is_not_there_is_transient() {
    let files = Files::new();
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let auth = options(&files, &format!("http://{address}/token"));
    let error = authorize(&Credential::new(&auth).unwrap()).await.unwrap_err();
    assert!(matches!(error, CredentialError::TokenRequest { .. }) && error.is_transient(), "{error:?}");
}

#[test]
fn what_can_be_known_to_be_wrong_is_refused_at_the_start() {
    let files = Files::new();
    let refused = |url: &str| Credential::new(&options(&files, url)).unwrap_err();
    assert!(matches!(refused("http://login.example.com/token"), CredentialError::Url { .. }));
    assert!(matches!(refused("https://user:pw@login.example.com/"), CredentialError::Url { .. }));

    let missing = Auth::Bearer { token_file: files.0.path().join("missing") };
    let error = Credential::new(&missing).unwrap_err();
    assert!(matches!(error, CredentialError::File(FileError::Read { .. })) && !error.is_transient());
    let empty = Auth::Bearer { token_file: files.write("empty", "\n") };
    assert!(matches!(Credential::new(&empty).unwrap_err(), CredentialError::File(FileError::Empty { .. })));
    let framing = Auth::Header { name: http::header::HOST, value_file: files.write("value", "abcd") };
    assert!(matches!(Credential::new(&framing).unwrap_err(), CredentialError::Setting { .. }));
}

fn options(files: &Files, token_url: &str) -> Auth {
    Auth::OAuth2(OAuth2 {
        token_url: token_url.to_owned(),
        client_id: "client".to_owned(),
        client_secret_file: files.write("secret", "secret"),
        scopes: vec![],
        audience: None,
        ca_file: None,
    })
}
