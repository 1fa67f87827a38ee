//! Secrets in files that change.

use std::time::Duration;

use pluglet_credentials::{Auth, Credential};

use crate::support::{Files, authorization, authorize, pass};

#[tokio::test]
async fn a_bearer_token_is_read_again_when_its_file_changes() {
    let files = Files::new();
    let credential = Credential::new(&Auth::Bearer { token_file: files.write("token", "first") }).unwrap();
    assert_eq!(authorization(&credential).await, "Bearer first");
    files.write("token", "second");
    pass(Duration::from_secs(1)).await;
    assert_eq!(authorization(&credential).await, "Bearer second");
}

#[tokio::test]
async fn a_401_is_worth_a_retry_when_the_file_holds_another_token_by_then() {
    let files = Files::new();
    let credential = Credential::new(&Auth::Bearer { token_file: files.write("token", "first") }).unwrap();
    let (_, applied) = authorize(&credential).await.unwrap();
    assert!(!credential.rejected(&applied));
    files.write("token", "second");
    assert!(credential.rejected(&applied));
    assert_eq!(authorization(&credential).await, "Bearer second");
}

#[tokio::test]
async fn a_file_that_vanishes_does_not_take_the_credential_with_it() {
    let files = Files::new();
    let path = files.write("token", "first");
    let credential = Credential::new(&Auth::Bearer { token_file: path.clone() }).unwrap();
    std::fs::remove_file(path).unwrap();
    pass(Duration::from_secs(1)).await;
    let (head, applied) = authorize(&credential).await.unwrap();
    assert_eq!(head.headers["authorization"], "Bearer first");
    assert!(!credential.rejected(&applied));
}
