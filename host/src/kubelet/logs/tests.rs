//! The API server's query.

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
