//! The options of `kubectl logs`, one by one and together.

use bytes::Bytes;

use super::*;

const SECOND: u64 = 1_000_000_000;

fn line(second: u64, text: &str) -> LogItem {
    LogItem::Line { time_unix_ns: Some(second * SECOND), stderr: false, bytes: Bytes::copy_from_slice(text.as_bytes()) }
}

fn filtered(options: Options, items: Vec<LogItem>) -> String {
    let mut filter = LogFilter::new(options);
    let mut out = vec![];
    for item in items {
        filter.take(item, &mut out);
    }
    filter.finish(&mut out);
    String::from_utf8(out).unwrap()
}

fn three() -> Vec<LogItem> {
    vec![line(1, "one\n"), line(2, "two\n"), line(3, "three\n")]
}

#[test]
fn without_options_everything_passes() {
    assert_eq!(filtered(Options::default(), three()), "one\ntwo\nthree\n");
}

#[test]
fn tail_keeps_the_last_lines_and_zero_keeps_none() {
    let tail = |lines| Options { tail_lines: Some(lines), ..Options::default() };
    assert_eq!(filtered(tail(2), three()), "two\nthree\n");
    assert_eq!(filtered(tail(0), three()), "");
    assert_eq!(filtered(tail(9), three()), "one\ntwo\nthree\n");
}

#[test]
fn with_follow_tail_counts_only_what_was_there_at_first() {
    let mut filter = LogFilter::new(Options { tail_lines: Some(1), ..Options::default() });
    let mut taken = |item| {
        let mut out = vec![];
        filter.take(item, &mut out);
        String::from_utf8(out).unwrap()
    };
    for item in three() {
        assert_eq!(taken(item), "");
    }
    assert_eq!(taken(LogItem::CaughtUp), "three\n");
    assert_eq!(taken(line(4, "four\n")), "four\n");
}

#[test]
fn tail_counts_lines_not_pieces() {
    let pieces = vec![line(1, "a\n"), line(2, "b1 "), line(2, "b2\n"), line(3, "c\n")];
    let options = Options { tail_lines: Some(2), ..Options::default() };
    assert_eq!(filtered(options, pieces), "b1 b2\nc\n");
}

#[test]
fn since_drops_older_lines_with_all_their_pieces() {
    let pieces = vec![line(1, "old "), line(3, "still old\n"), line(3, "new\n")];
    let options = Options { since_unix_ns: Some(2 * SECOND), ..Options::default() };
    assert_eq!(filtered(options, pieces), "new\n");
}

#[test]
fn timestamps_stand_once_before_each_line_with_nine_digits() {
    let pieces = vec![line(1, "a "), line(1, "b\n"), line(2, "c\n")];
    let options = Options { timestamps: true, ..Options::default() };
    assert_eq!(filtered(options, pieces), "1970-01-01T00:00:01.000000000Z a b\n1970-01-01T00:00:02.000000000Z c\n");
}

#[test]
fn the_limit_counts_every_byte_and_then_the_filter_is_full() {
    let options = Options { limit_bytes: Some(6), ..Options::default() };
    let mut filter = LogFilter::new(options.clone());
    assert_eq!(filtered(options, three()), "one\ntw");
    filter.take(line(1, "sixsix"), &mut vec![]);
    assert!(filter.is_full());
}

#[test]
fn a_tail_that_is_too_long_says_that_it_is_cut_and_one_that_fits_does_not() {
    let tail = |lines, wanted| {
        let items = (0..lines).map(|_| line(1, "x\n")).collect();
        filtered(Options { tail_lines: Some(wanted), ..Options::default() }, items)
    };
    let fit = LONGEST_TAIL / (PIECE_COST + 2);
    let told = tail(fit + 10, u64::MAX);
    assert!(told.starts_with("pluglet: older lines are left out"), "{}", &told[..80]);
    assert_eq!(told.lines().count(), 1 + fit);
    assert_eq!(tail(fit, u64::MAX).lines().count(), fit);
    assert_eq!(tail(fit + 10, 5), "x\n".repeat(5));
}
