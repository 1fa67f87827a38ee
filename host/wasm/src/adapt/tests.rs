//! Conversions that could go wrong; those that only rename fields are checked by the compiler.

use super::*;

#[test]
fn a_status_that_is_not_json_is_the_providers_fault_and_names_the_problem() {
    let Err(Error::Internal(text)) = status("phase: Running") else { panic!("not internal") };
    assert!(text.contains("not a v1.PodStatus") && text.contains("line 1"), "{text}");
    assert!(matches!(status(r#"{"phase":7}"#), Err(Error::Internal(_))));
}

#[test]
fn a_status_over_a_mebibyte_is_invalid() {
    let json = format!(r#"{{"message":"{}"}}"#, "x".repeat(MAX_STATUS_BYTES));
    assert!(matches!(status(&json), Err(Error::Invalid(_))));
}

#[test]
fn text_of_the_guest_cannot_break_lines_and_delays_are_bounded() {
    let retry = types::Retry { message: "busy\nERROR forged".to_owned(), retry_after_ms: Some(u64::MAX) };
    let Error::Unavailable { message, retry_after } = error(types::Error::Unavailable(retry)) else {
        panic!("not unavailable")
    };
    assert_eq!(message, "busy ERROR forged");
    assert_eq!(retry_after, Some(MAX_RETRY_AFTER));
}

#[test]
fn a_code_that_we_do_not_know_is_internal() {
    let Error::Internal(text) = error(types::Error::Other(("E42".to_owned(), "odd".to_owned()))) else {
        panic!("not internal")
    };
    assert_eq!(text, "E42: odd");
}

#[test]
fn features_keep_their_names() {
    let all = features(lifecycle::Features::all());
    assert_eq!(all.names().len(), 11);
    let some = lifecycle::Features::LOGS | lifecycle::Features::PORT_FORWARD | lifecycle::Features::PROBES;
    assert_eq!(features(some).names(), ["logs", "port-forward", "probes"]);
    let new = lifecycle::Features::REFRESH | lifecycle::Features::RESTART;
    assert_eq!(features(new).names(), ["refresh", "restart"]);
}

#[test]
fn a_grace_period_is_never_shortened_by_rounding() {
    let seconds = [0, 1, 999, 1000, 1001, u64::MAX].map(|ms| grace_seconds(Duration::from_millis(ms)));
    assert_eq!(seconds, [0, 1, 1, 1, 2, u32::MAX]);
}

#[test]
fn a_key_cannot_forge_a_line_and_is_as_long_as_a_name_may_be() {
    let long = "n".repeat(MAX_NAME_BYTES);
    let pod = |uid: &str| types::PodRef {
        uid: uid.to_owned(),
        namespace: "a\nERROR forged".to_owned(),
        name: "\u{1b}[31m".to_owned(),
        generation: 1,
    };
    let key = key(&pod(&long));
    assert_eq!((&*key.uid, &*key.namespace, &*key.name), (long.as_str(), "a ERROR forged", " [31m"));
    let cut = super::key(&pod(&format!("{long}n")));
    assert!(cut.uid.len() <= MAX_NAME_BYTES && cut.uid.ends_with('…'), "{}", cut.uid);
}

#[test]
fn a_long_piece_of_a_log_becomes_several_and_nothing_is_lost() {
    let bytes: Vec<u8> = (0..=255).cycle().take(MAX_PIECE_BYTES * 2 + 1).collect();
    let line = sessions::LogLine { time_unix_ns: Some(7), source: sessions::LogSource::Stderr, bytes: bytes.clone() };
    let mut out = VecDeque::new();
    log_pieces(sessions::LogItem::Line(line), &mut out);
    log_pieces(sessions::LogItem::CaughtUp, &mut out);
    assert!(matches!(out.pop_back(), Some(LogItem::CaughtUp)));
    let mut whole = Vec::new();
    for piece in out {
        let LogItem::Line { time_unix_ns: Some(7), stderr: true, bytes } = piece else { panic!("not a piece of it") };
        assert!(bytes.len() <= MAX_PIECE_BYTES);
        whole.extend_from_slice(&bytes);
    }
    assert!(whole == bytes);
}

#[test]
fn bounded_text_is_cut_between_characters_and_still_seen_to_be_too_long() {
    let mut text = "ä".repeat(1000);
    bound(&mut text, 5);
    assert_eq!((text.as_str(), text.capacity()), ("äää", 6));
    let mut fits = "abcde".to_owned();
    bound(&mut fits, 5);
    assert_eq!(fits, "abcde");
}

#[test]
fn a_status_that_is_small_as_json_and_large_in_memory_is_refused() {
    let bomb = format!("{{\"containerStatuses\":[{}]}}", ["{}"; 5000].join(","));
    assert!(matches!(status(&bomb), Err(Error::Invalid(_))));
}
