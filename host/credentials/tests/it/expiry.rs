//! The life of a token, against a server that counts.

use std::time::Duration;

use futures::future::join_all;
use pluglet_credentials::Credential;

use crate::support::{Files, TokenServer, authorization, authorize, oauth2, pass};

#[tokio::test]
async fn a_thousand_calls_over_an_expiry_make_one_token_request_and_none_fails() {
    let (server, files) = (TokenServer::start().await, Files::new());
    let credential = Credential::new(&oauth2(&server, &files)).unwrap();
    assert_eq!(authorization(&credential).await, "Bearer token-1");
    pass(Duration::from_secs(3600)).await;
    let all = join_all((0..1000).map(|_| authorization(&credential))).await;
    assert!(all.iter().all(|authorization| authorization == "Bearer token-2"));
    assert_eq!(server.count(), 2);
}

#[tokio::test]
async fn before_the_expiry_one_request_renews_and_everybody_uses_the_old_token() {
    let (server, files) = (TokenServer::start().await, Files::new());
    let credential = Credential::new(&oauth2(&server, &files)).unwrap();
    authorize(&credential).await.unwrap();
    pass(Duration::from_secs(3600 - 300)).await;
    server.set_open(false);
    let all = join_all((0..1000).map(|_| authorization(&credential))).await;
    assert!(all.iter().all(|authorization| authorization == "Bearer token-1"));
    server.came(2).await;
    server.set_open(true);
    while authorization(&credential).await == "Bearer token-1" {
        tokio::task::yield_now().await;
    }
    assert_eq!(authorization(&credential).await, "Bearer token-2");
    assert_eq!(server.count(), 2);
}

#[tokio::test]
async fn long_before_the_expiry_nothing_is_asked() {
    let (server, files) = (TokenServer::start().await, Files::new());
    let credential = Credential::new(&oauth2(&server, &files)).unwrap();
    authorize(&credential).await.unwrap();
    pass(Duration::from_secs(3600 - 361)).await;
    assert_eq!(authorization(&credential).await, "Bearer token-1");
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn a_call_that_is_dropped_in_the_middle_of_a_token_request_leaves_it_to_the_others() {
    let (server, files) = (TokenServer::start().await, Files::new());
    let credential = Credential::new(&oauth2(&server, &files)).unwrap();
    server.set_open(false);
    tokio::select! {
        // Dropping it is what is tested.
        _ = authorize(&credential) => panic!("there is no token yet"),
        () = server.came(1) => {}
    }
    let (all, ()) =
        tokio::join!(join_all((0..10).map(|_| authorization(&credential))), async { server.set_open(true) });
    assert!(all.iter().all(|authorization| authorization == "Bearer token-1"));
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn after_a_401_there_is_a_new_token_and_a_late_401_does_not_cost_it() {
    let (server, files) = (TokenServer::start().await, Files::new());
    let credential = Credential::new(&oauth2(&server, &files)).unwrap();
    let (_, early) = authorize(&credential).await.unwrap();
    let (_, late) = authorize(&credential).await.unwrap();
    assert!(credential.rejected(&early));
    assert_eq!(authorization(&credential).await, "Bearer token-2");
    assert!(credential.rejected(&late), "a retry carries the newer token");
    assert_eq!(authorization(&credential).await, "Bearer token-2");
    assert_eq!(server.count(), 2);
}

#[tokio::test]
async fn a_backend_that_refuses_every_token_does_not_make_us_hammer_the_token_server() {
    let (server, files) = (TokenServer::start().await, Files::new());
    let credential = Credential::new(&oauth2(&server, &files)).unwrap();
    for _ in 0..100 {
        let (_, applied) = authorize(&credential).await.unwrap();
        credential.rejected(&applied);
    }
    assert_eq!(server.count(), 2);
}
