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
    assert_eq!(all.names().len(), 7);
    let logs = features(lifecycle::Features::LOGS | lifecycle::Features::PORT_FORWARD);
    assert_eq!(logs.names(), ["logs", "port-forward"]);
}
