use super::*;
use crate::Secret;
use crate::secret::header_value;

const HOUR: Duration = Duration::from_secs(3600);

fn granted(token: &str, life: Duration) -> Granted {
    Granted { secret: Secret::new(token), header: header_value("Bearer ", token.as_bytes()).unwrap(), life }
}

fn failure(retry_after: Option<u64>) -> CredentialError {
    CredentialError::Transient {
        url: "https://login.example.com/token".to_owned(),
        status: http::StatusCode::SERVICE_UNAVAILABLE,
        error: "temporarily_unavailable".to_owned(),
        retry_after: retry_after.map(Duration::from_secs),
    }
}

#[test]
fn a_token_of_an_hour_is_renewed_five_minutes_before_its_end_or_up_to_a_minute_earlier() {
    assert_eq!(schedule(HOUR, 0.0).0, Duration::from_secs(3300));
    assert_eq!(schedule(HOUR, 1.0).0, Duration::from_secs(3240));
    assert_eq!(schedule(HOUR, 0.0).1, Duration::from_secs(3590));
}

#[test]
fn a_short_token_is_renewed_after_four_fifths_and_an_absurd_one_is_bounded() {
    assert_eq!(schedule(Duration::from_secs(100), 0.0), (Duration::from_secs(80), Duration::from_secs(90)));
    assert_eq!(schedule(Duration::ZERO, 0.0).1, Duration::from_millis(900));
    assert!(schedule(Duration::MAX, 0.0).1 < LONGEST);
}

#[test]
fn one_asks_and_the_others_wait() {
    let (mut state, now) = (State::default(), Instant::now());
    assert!(matches!(state.decide(now), Decision::Refresh));
    assert!(matches!(state.decide(now), Decision::Wait));
    state.granted(now, granted("one", HOUR), 0.0);
    assert!(matches!(state.decide(now), Decision::Use(_)));
}

#[test]
fn while_a_token_is_good_one_renews_it_and_nobody_waits() {
    let (mut state, start) = (State::default(), Instant::now());
    state.granted(start, granted("one", HOUR), 0.0);
    let late = start + Duration::from_secs(3300);
    assert!(matches!(state.decide(late), Decision::UseAndRefresh(_)));
    assert!(matches!(state.decide(late), Decision::Use(_)));
    assert!(matches!(state.decide(start + HOUR), Decision::Wait));
}

#[test]
fn a_failed_renewal_keeps_the_token_and_is_tried_again_after_the_pause() {
    let (mut state, start) = (State::default(), Instant::now());
    state.granted(start, granted("one", HOUR), 0.0);
    let late = start + Duration::from_secs(3300);
    assert!(matches!(state.decide(late), Decision::UseAndRefresh(_)));
    assert_eq!(state.failed(late, failure(None)), (FIRST_PAUSE, true));
    assert!(matches!(state.decide(late), Decision::Use(_)));
    assert!(matches!(state.decide(late + FIRST_PAUSE), Decision::UseAndRefresh(_)));
}

#[test]
fn failures_are_told_for_a_second_then_twice_as_long_up_to_half_a_minute() {
    let (mut state, mut now) = (State::default(), Instant::now());
    for seconds in [1, 2, 4, 8, 16, 30, 30] {
        let pause = Duration::from_secs(seconds);
        assert!(matches!(state.decide(now), Decision::Refresh));
        assert_eq!(state.failed(now, failure(None)), (pause, false));
        assert!(matches!(state.decide(now + pause - Duration::from_millis(1)), Decision::Fail(_)));
        now += pause;
    }
    state.granted(now, granted("one", HOUR), 0.0);
    assert_eq!(state.failed(now, failure(None)).0, FIRST_PAUSE);
}

#[test]
fn a_token_server_may_ask_for_a_longer_pause_but_not_for_a_day() {
    let (mut state, now) = (State::default(), Instant::now());
    assert_eq!(state.failed(now, failure(Some(60))).0, Duration::from_secs(60));
    assert_eq!(state.failed(now, failure(Some(86_400))).0, LONGEST_RETRY_AFTER);
    assert_eq!(state.failed(now, failure(Some(0))).0, Duration::from_secs(4));
}

#[test]
fn a_rejected_token_is_thrown_away_but_not_a_newer_one() {
    let (mut state, now) = (State::default(), Instant::now());
    let old = state.granted(now, granted("one", HOUR), 0.0);
    assert!(state.rejected(old.serial, now));
    assert!(matches!(state.decide(now), Decision::Refresh));
    assert!(state.rejected(old.serial, now), "a new token is on its way");
    state.granted(now, granted("two", HOUR), 0.0);
    assert!(state.rejected(old.serial, now), "a retry carries the new token");
    assert!(matches!(state.decide(now), Decision::Use(token) if token.secret.as_bytes() == b"two"));
}

#[test]
fn a_backend_that_refuses_every_token_costs_one_token_request_in_ten_seconds() {
    let (mut state, now) = (State::default(), Instant::now());
    let first = state.granted(now, granted("one", HOUR), 0.0);
    assert!(state.rejected(first.serial, now));
    let second = state.granted(now, granted("two", HOUR), 0.0);
    assert!(!state.rejected(second.serial, now));
    assert!(matches!(state.decide(now), Decision::Use(_)));
    assert!(state.rejected(second.serial, now + REJECTION_EVERY));
}

#[test]
fn a_rejection_while_no_token_can_be_had_is_not_worth_a_retry() {
    let (mut state, now) = (State::default(), Instant::now());
    let token = state.granted(now, granted("one", HOUR), 0.0);
    state.failed(now, failure(None));
    assert!(!state.rejected(token.serial, now));
    assert!(matches!(state.decide(now), Decision::Fail(_)));
}
