//! The API server's query.

use pluglet_model::provider::LogItem;

use super::*;

fn now() -> Timestamp {
    Timestamp::from_second(1000).unwrap()
}

fn parse(text: &str) -> Result<Query, StatusCode> {
    Query::parse(text, now()).map_err(|(status, _)| status)
}

#[test]
fn every_option_of_the_api_server_is_understood() {
    let query = parse("follow=true&previous=true&timestamps=true&tailLines=0&limitBytes=9&sinceSeconds=10").unwrap();
    assert!(query.follow && query.previous);
    let options = Options {
        timestamps: true,
        tail_lines: Some(0),
        limit_bytes: Some(9),
        since_unix_ns: Some(990 * 1_000_000_000),
    };
    assert_eq!(query.filter, options);
}

#[test]
fn an_escaped_time_is_read() {
    let query = parse("sinceTime=1970-01-01T00%3A00%3A05Z").unwrap();
    assert_eq!(query.filter.since_unix_ns, Some(5_000_000_000));
}

#[test]
fn a_time_in_the_far_future_matches_nothing_instead_of_everything() {
    assert_eq!(parse("sinceTime=2999-01-01T00:00:00Z").unwrap().filter.since_unix_ns, Some(u64::MAX));
    assert_eq!(parse("sinceTime=1800-01-01T00:00:00Z").unwrap().filter.since_unix_ns, Some(0));
}

#[test]
fn wrong_values_are_refused_with_the_kubelets_codes() {
    assert_eq!(parse("tailLines=-1"), Err(StatusCode::UNPROCESSABLE_ENTITY));
    assert_eq!(parse("limitBytes=0"), Err(StatusCode::UNPROCESSABLE_ENTITY));
    assert_eq!(parse("sinceSeconds=5&sinceTime=1970-01-01T00:00:05Z"), Err(StatusCode::UNPROCESSABLE_ENTITY));
    assert_eq!(parse("follow=perhaps"), Err(StatusCode::BAD_REQUEST));
    assert_eq!(parse("stream=Stdout"), Err(StatusCode::BAD_REQUEST));
}

/// The whole text of a log whose items are all there already.
async fn text_of(items: Vec<Result<LogItem, Error>>, options: Options) -> Result<String, axum::Error> {
    let response = text(stream::iter(items).boxed(), options);
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await?;
    Ok(String::from_utf8(bytes.to_vec()).unwrap())
}

fn line(text: &str) -> Result<LogItem, Error> {
    Ok(LogItem::Line { time_unix_ns: None, stderr: false, bytes: text.to_owned().into() })
}

#[tokio::test]
async fn of_lines_that_go_out_together_none_is_lost_wherever_the_batch_ends() {
    for count in [0, 1, LINES_TOGETHER - 1, LINES_TOGETHER, LINES_TOGETHER + 1, 3 * LINES_TOGETHER] {
        let lines = || (0..count).map(|_| line("x\n")).collect::<Vec<_>>();
        assert_eq!(text_of(lines(), Options::default()).await.unwrap().len(), 2 * count, "{count}");
        let long = (0..count).map(|_| line(&"x".repeat(1000))).collect();
        assert_eq!(text_of(long, Options::default()).await.unwrap().len(), 1000 * count, "{count} long ones");
        // What ends a tail, and what breaks a log off, are items too.
        let tail = Options { tail_lines: Some(1), ..Options::default() };
        let followed = [lines(), vec![Ok(LogItem::CaughtUp), line("new\n")]].concat();
        let old = if count > 0 { "x\n" } else { "" };
        assert_eq!(text_of(followed, tail).await.unwrap(), format!("{old}new\n"), "{count}");
        let broken = [lines(), vec![Err(Error::NotFound)]].concat();
        assert!(text_of(broken, Options::default()).await.is_err(), "{count}");
    }
}

#[test]
fn a_container_without_a_log_says_why_in_the_kubelets_words() {
    let said = |state: serde_json::Value| {
        let status = serde_json::json!({"containerStatuses": [
            {"name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state},
        ]});
        let text = unavailable(&serde_json::from_value(status).unwrap(), "p", "c");
        text.strip_prefix("container \"c\" in pod \"p\" is ").unwrap().to_owned()
    };
    let waiting = |reason: &str| said(serde_json::json!({"waiting": {"reason": reason}}));
    assert_eq!(waiting("ContainerCreating"), "waiting to start: ContainerCreating");
    assert_eq!(waiting("ErrImagePull"), "waiting to start: image can't be pulled");
    assert_eq!(waiting("ImagePullBackOff"), "waiting to start: trying and failing to pull image");
    assert_eq!(said(serde_json::json!({"terminated": {"exitCode": 0}})), "terminated");
    assert_eq!(said(serde_json::json!({"running": {}})), "waiting to start - no logs yet");
}
