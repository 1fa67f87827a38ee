//! Requests, answers and the errors they turn into.

use std::cell::RefCell;
use std::time::Duration;

use pluglet_sdk::testing::Harness;
use pluglet_sdk::{
    Error, Host, HttpError, Info, Init, KvError, PodRef, Provider, Request, ResolvedPod, Response, Result, Status,
};

struct Client {
    host: Host,
    started: RefCell<Option<Vec<u8>>>,
}

impl Provider for Client {
    async fn start(host: Host, init: Init) -> Result<Self> {
        Ok(Self { host, started: RefCell::new(init.handoff) })
    }

    fn info(&self) -> Info {
        Info::default()
    }

    async fn create(&self, _pod: PodRef, _spec: ResolvedPod) -> Result<Status> {
        let request = self.host.endpoint("api").post("/v1/things?x=1").header("x-a", "b").json(&["body"])?;
        let answer = request.timeout(Duration::from_secs(3)).max_bytes(20).send().await?.ok()?;
        Ok(Status::from_json(answer.text()?))
    }

    async fn delete(&self, _pod: PodRef, _grace: Duration) -> Result<()> {
        self.host.kv().put("key", "value").await?;
        Ok(())
    }

    async fn list(&self) -> Result<Vec<(PodRef, Status)>> {
        Ok(Vec::new())
    }

    async fn stop(&self, _grace: Duration) -> Option<Vec<u8>> {
        self.started.take()
    }
}

fn failure(answer: impl Fn(&Request) -> Result<Response, HttpError> + 'static) -> Error {
    let harness = Harness::<Client>::start("{}").unwrap();
    harness.world().serve("api", answer);
    harness.create(&pluglet_sdk::testing::pod(pluglet_sdk::testing::json!({}))).unwrap_err()
}

#[test]
fn a_request_says_what_was_built() {
    let harness = Harness::<Client>::start("{}").unwrap();
    harness.world().reply("api", 200, "{}");
    harness.create(&pluglet_sdk::testing::pod(pluglet_sdk::testing::json!({}))).unwrap();
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let expected = Request {
        endpoint: "api".to_owned(),
        method: "POST".to_owned(),
        target: "/v1/things?x=1".to_owned(),
        headers: vec![header("x-a", "b"), header("content-type", "application/json")],
        body: b"[\"body\"]".to_vec(),
        timeout: Some(Duration::from_secs(3)),
        max_bytes: 20,
    };
    assert_eq!(harness.world().requests(), [expected]);
}

#[test]
fn a_broken_transport_is_unavailable_and_a_missing_grant_is_denied() {
    for error in [HttpError::Timeout, HttpError::Connect("x".into()), HttpError::Protocol("x".into())] {
        let failure = failure(move |_| Err(error.clone()));
        assert!(matches!(failure, Error::Unavailable(_)), "{failure}");
    }
    assert!(matches!(failure(|_| Err(HttpError::Denied("no".into()))), Error::Denied(_)));
    assert!(matches!(failure(|_| Err(HttpError::Unsupported("no".into()))), Error::Unsupported(_)));
    let long = Response { status: 200, body: vec![b' '; 21], ..Response::default() };
    assert!(matches!(failure(move |_| Ok(long.clone())), Error::Internal(_)));
}

#[test]
fn an_answer_that_is_an_error_carries_its_text_and_when_to_come_back() {
    let answer = |status: u16, after: &str| {
        let headers = vec![("RETRY-AFTER".to_owned(), after.to_owned())];
        Response { status, headers, body: b"  why  ".to_vec() }.ok().unwrap_err()
    };
    assert_eq!(answer(400, ""), Error::Invalid("HTTP 400: why".to_owned()));
    assert_eq!((answer(404, ""), answer(409, "")), (Error::NotFound, Error::AlreadyExists));
    assert!(matches!(answer(501, ""), Error::Unsupported(_)));
    assert!(matches!(answer(302, ""), Error::Internal(_)));
    let Error::Quota(quota) = answer(429, "120") else { panic!("not a quota") };
    assert_eq!(quota.after, Some(Duration::from_secs(120)));
    let Error::Unavailable(retry) = answer(503, "Wed, 21 Oct 2026 07:28:00 GMT") else { panic!("not unavailable") };
    assert_eq!(retry.after, None, "a date is not understood, and that is no failure");
}

#[test]
fn trouble_with_the_memory_is_tried_again() {
    assert!(matches!(Error::from(KvError::Io("x".into())), Error::Unavailable(_)));
    assert!(matches!(Error::from(KvError::TooLarge("x".into())), Error::Quota(_)));
    let harness = Harness::<Client>::start("{}").unwrap();
    let pod = pluglet_sdk::testing::pod(pluglet_sdk::testing::json!({}));
    harness.world().break_kv(true);
    assert!(matches!(harness.delete(&pod, 0), Err(Error::Unavailable(_))));
    harness.world().break_kv(false);
    harness.delete(&pod, 0).unwrap();
    let harness = harness.restart("{}").unwrap();
    assert_eq!(harness.world().kv()["key"], b"value");
}

#[test]
fn a_handoff_reaches_the_next_incarnation() {
    let init = Init { config_json: "{}".into(), handoff: Some(b"state".to_vec()), ..Init::default() };
    let harness = Harness::<Client>::start_in(pluglet_sdk::testing::World::new(), init).unwrap();
    assert_eq!(harness.stop(Duration::ZERO), Ok(Some(b"state".to_vec())));
}
