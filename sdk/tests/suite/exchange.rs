//! Requests and answers whose bodies flow.

use std::time::Duration;

use futures::future::join;
use futures::stream;
use pluglet_sdk::testing::Harness;
use pluglet_sdk::{
    Body, Error, Headers, Host, HttpError, Info, Init, PodRef, Provider, ResolvedPod, Response, Result, Status,
};

/// Runs nothing: the tests use its host.
pub(crate) struct Client(pub(crate) Host);

impl Provider for Client {
    async fn start(host: Host, _init: Init) -> Result<Self> {
        Ok(Self(host))
    }

    fn info(&self) -> Info {
        Info::default()
    }

    async fn create(&self, _pod: PodRef, spec: ResolvedPod) -> Result<Status> {
        Ok(Status::from_json(spec.json))
    }

    async fn delete(&self, _pod: PodRef, _grace: Duration) -> Result<()> {
        Ok(())
    }

    async fn list(&self) -> Result<Vec<(PodRef, Status)>> {
        Ok(Vec::new())
    }
}

pub(crate) fn start() -> Harness<Client> {
    Harness::start("{}").unwrap()
}

pub(crate) fn header(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// An endpoint that sends back each chunk, then the trailers.
fn echoing() -> Harness<Client> {
    let harness = start();
    harness.world().serve_stream("api", async |request, responder| {
        let (mut writer, mut body) = responder.respond(200, vec![header("x-method", &request.method)]);
        loop {
            match body.chunk().await {
                Ok(Some(chunk)) => {
                    writer.send(chunk).await;
                }
                Ok(None) => return writer.finish_with(body.trailers().to_vec()).await,
                Err(error) => return writer.fail(error).await,
            }
        }
    });
    harness
}

#[test]
fn chunks_and_trailers_flow_both_ways_at_once() {
    let harness = echoing();
    let (answered, chunks, trailers) = harness
        .call(async |client| {
            let (mut writer, body) = Body::channel(0);
            let mut answer = client.0.endpoint("api").put("/echo").stream_with(body).await?;
            let answered = answer.header("X-METHOD").map(str::to_owned);
            let write = async {
                assert!(writer.send("one").await && writer.send("two").await);
                writer.finish_with(vec![header("x-sum", "6")]).await;
            };
            let read = async {
                let mut chunks = Vec::new();
                while let Some(chunk) = answer.body.chunk().await? {
                    chunks.push(String::from_utf8(chunk).unwrap());
                }
                Ok::<_, HttpError>((chunks, answer.body.trailers().to_vec()))
            };
            let (read, ()) = join(read, write).await;
            let (chunks, trailers) = read?;
            Ok((answered, chunks, trailers))
        })
        .unwrap();
    assert_eq!(answered.as_deref(), Some("PUT"), "the head comes before the body has been written");
    assert_eq!(chunks, ["one", "two"]);
    assert_eq!(trailers, [header("x-sum", "6")]);
}

#[test]
fn a_writer_may_run_in_a_task_of_its_own() {
    let text = echoing().call(async |client| {
        let (mut writer, body) = Body::channel(1);
        client.0.spawn(async move {
            for n in 0..100 {
                writer.send(format!("{n},")).await;
            }
            writer.finish().await;
        });
        let answer = client.0.endpoint("api").post("/").stream_with(body).await?.ok().await?;
        Ok(String::from_utf8(answer.body.collect(1000).await?).unwrap())
    });
    assert!(text.unwrap().ends_with(",98,99,"));
}

#[test]
fn a_body_that_is_there_is_sent_whole_and_one_of_a_get_is_not() {
    let harness = echoing();
    let sent = |method: &'static str| {
        harness
            .call(async move |client| {
                let answer = client.0.endpoint("api").request(method, "/").body("text").stream().await?;
                Ok(answer.body.collect(10).await?)
            })
            .unwrap()
    };
    assert_eq!(sent("PUT"), b"text");
    assert_eq!(sent("GET"), b"");
}

#[test]
fn half_a_body_is_never_taken_for_the_whole() {
    let harness = echoing();
    let dropped = harness.call(async |client| {
        let (mut writer, body) = Body::channel(4);
        writer.send("half").await;
        drop(writer);
        let answer = client.0.endpoint("api").put("/").stream_with(body).await?;
        Ok(answer.body.collect(100).await?)
    });
    assert!(matches!(&dropped, Err(Error::Unavailable(retry)) if retry.message.contains("dropped")), "{dropped:?}");
    let failed = harness.call(async |client| {
        let body = Body::from_stream(stream::iter([Ok(b"half".to_vec()), Err(HttpError::Timeout)]));
        let mut answer = client.0.endpoint("api").put("/").stream_with(body).await?;
        let (first, second, third) = (answer.body.chunk().await, answer.body.chunk().await, answer.body.chunk().await);
        Ok((first, second, third))
    });
    assert_eq!(failed, Ok((Ok(Some(b"half".to_vec())), Err(HttpError::Timeout), Ok(None))));
}

#[test]
fn dropping_the_answer_ends_the_exchange() {
    let harness = start();
    harness.world().serve_stream("api", async |_, responder| {
        let (mut writer, body) = responder.respond(200, Headers::new());
        drop(body);
        while writer.send("line\n").await {}
        writer.finish().await;
    });
    let left = harness.call(async |client| {
        let (mut writer, body) = Body::channel(0);
        let mut answer = client.0.endpoint("api").put("/").stream_with(body).await?;
        answer.body.chunk().await?;
        drop(answer);
        Ok(!writer.send("nobody reads this").await)
    });
    assert_eq!(left, Ok(true), "a peer that would go on for ever has stopped, and so must the writer");
}

#[test]
fn what_answers_plain_requests_answers_streamed_ones_too() {
    let harness = start();
    harness
        .world()
        .serve("api", |request| Ok(Response { status: 200, body: request.body.clone(), ..Response::default() }));
    let body = harness.call(async |client| {
        let answer = client.0.endpoint("api").put("/").body("text").stream().await?;
        Ok(answer.body.collect(4).await?)
    });
    assert_eq!(body, Ok(b"text".to_vec()));
    assert_eq!(harness.world().requests()[0].body, b"text");
}

#[test]
fn a_streamed_answer_that_is_an_error_carries_its_text() {
    let harness = start();
    harness.world().serve_stream("api", async |_, responder| {
        let (mut writer, _body) = responder.respond(422, Headers::new());
        writer.send("why").await;
        writer.finish().await;
    });
    let answer = harness.call(async |client| {
        client.0.endpoint("api").get("/").stream().await?.ok().await?;
        Ok(())
    });
    assert_eq!(answer, Err(Error::Invalid("HTTP 422: why".to_owned())));
    let long = harness.call(async |client| {
        let answer = client.0.endpoint("api").get("/").stream().await?;
        Ok(answer.body.collect(2).await)
    });
    assert_eq!(long, Ok(Err(HttpError::TooLarge)));
}

#[test]
fn no_answer_is_an_error_of_the_transport() {
    let harness = start();
    let ask = || harness.call(async |client| Ok(client.0.endpoint("api").get("/").stream().await.err()));
    assert!(matches!(ask(), Ok(Some(HttpError::Denied(_)))));
    harness.world().serve_stream("api", async |_, responder| responder.fail(HttpError::Timeout));
    assert_eq!(ask(), Ok(Some(HttpError::Timeout)));
    harness.world().serve_stream("api", async |_, _| {});
    assert!(matches!(ask(), Ok(Some(HttpError::Connect(_)))));
}
