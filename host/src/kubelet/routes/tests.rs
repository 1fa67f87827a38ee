//! Who gets in, and what the paths answer, without a socket.

use async_trait::async_trait;
use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::*;
use crate::kubelet::auth::Caller;
use crate::kubelet::streaming::fake::Pod;

/// Lets only the user `good` in; for `broken` no review can be made.
struct Reviews;

#[async_trait]
impl Authorizer for Reviews {
    async fn allows(&self, caller: &Caller, _: &str, _: &str) -> Result<bool, String> {
        if caller.user == "broken" { Err("away".to_owned()) } else { Ok(caller.user == "good") }
    }
    async fn owner(&self, token: &str) -> Result<Option<Caller>, String> {
        if token == "broken" {
            return Err("away".to_owned());
        }
        Ok((token != "made-up").then(|| Caller { user: token.to_owned(), ..Caller::default() }))
    }
}

fn rooms() -> Rooms {
    Rooms {
        provider: Arc::new(Pod::default()),
        pods: Arc::default(),
        metrics: Arc::default(),
        probe_metrics: Arc::default(),
        tasks: Tasks::new(),
        places: Places::default(),
        usage: Usage::default(),
        node_name: "node".to_owned(),
        port: 10250,
    }
}

async fn answer(user: Option<&str>, path: &str) -> (u16, String) {
    let mut request = Request::get(path).body(Body::empty()).unwrap();
    if let Some(user) = user {
        request.extensions_mut().insert(Caller { user: user.to_owned(), ..Caller::default() });
    }
    let response = router(rooms(), Arc::new(Reviews)).oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn without_a_certificate_every_path_is_unauthorized() {
    for path in ["/healthz", "/containerLogs/n/p/c", "/no/such"] {
        assert_eq!(answer(None, path).await, (401, "Unauthorized".to_owned()), "{path}");
    }
}

/// With a token instead of a certificate.
async fn with_token(token: &str, path: &str) -> u16 {
    let request = Request::get(path).header("Authorization", format!("Bearer {token}")).body(Body::empty()).unwrap();
    router(rooms(), Arc::new(Reviews)).oneshot(request).await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_token_is_as_good_as_a_certificate_if_the_api_server_knows_it() {
    assert_eq!(with_token("good", "/healthz").await, 200);
    assert_eq!(with_token("bad", "/healthz").await, 403);
    assert_eq!(with_token("made-up", "/healthz").await, 401);
    assert_eq!(with_token("broken", "/healthz").await, 401);
}

#[tokio::test]
async fn figures_that_a_provider_has_not_are_501_and_what_the_host_knows_is_told() {
    for path in ["/stats/summary", "/metrics/resource", "/metrics/cadvisor"] {
        let (status, text) = answer(Some("good"), path).await;
        assert_eq!(status, 501, "{path}");
        assert!(text.contains("does not report resource use"), "{text}");
    }
    let (status, text) = answer(Some("good"), "/pods").await;
    assert_eq!((status, text.as_str()), (200, r#"{"apiVersion":"v1","items":[],"kind":"PodList","metadata":{}}"#));
    let (status, text) = answer(Some("good"), "/configz").await;
    assert!(status == 200 && text.contains(r#""anonymous":{"enabled":false}"#), "{text}");
}

#[tokio::test]
async fn who_may_not_is_told_which_right_is_missing() {
    let (status, text) = answer(Some("bad"), "/healthz").await;
    assert_eq!(status, 403);
    assert_eq!(text, "Forbidden (user=bad, verb=get, resource=nodes, subresource(s)=[healthz proxy])\n");
}

#[tokio::test]
async fn a_review_that_cannot_be_made_is_no_permission() {
    assert_eq!(answer(Some("broken"), "/healthz").await.0, 500);
}

#[tokio::test]
async fn what_a_kubelet_has_and_pluglet_does_not_is_501_with_the_reason() {
    for path in ["/run/n/p/c", "/runningpods/", "/metrics/slis", "/logs/", "/checkpoint/n/p/c"] {
        let (status, text) = answer(Some("good"), path).await;
        assert_eq!(status, 501, "{path}");
        assert!(text.starts_with("this version of pluglet does not serve "), "{text}");
    }
    assert_eq!(answer(Some("good"), "/no/such").await.0, 404);
    assert_eq!(answer(Some("good"), "/healthz").await, (200, "ok".to_owned()));
}

#[tokio::test]
async fn sessions_in_an_unknown_pod_are_not_found_in_words_that_the_api_server_passes_on() {
    for path in
        ["/exec/n/p/c", "/exec/n/p/uid/c", "/exec/n", "/attach/n/p/c", "/portForward/n/p", "/portForward/n/p/uid"]
    {
        let (status, text) = answer(Some("good"), path).await;
        let told: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (status, &told["kind"], &told["message"]),
            (404, &"Status".into(), &"pod does not exist".into()),
            "{path}"
        );
    }
}

#[tokio::test]
async fn the_log_of_an_unknown_pod_is_not_found() {
    assert_eq!(answer(Some("good"), "/containerLogs/n/p/c").await, (404, "pod \"p\" does not exist\n".to_owned()));
}

#[tokio::test]
async fn metrics_are_open_metrics_text() {
    let (status, text) = answer(Some("good"), "/metrics").await;
    assert_eq!((status, text.as_str()), (200, "# EOF\n"));
    assert_eq!(answer(Some("bad"), "/metrics").await.0, 403);
}
