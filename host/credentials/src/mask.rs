//! What another party said, made fit for an error text.
//!
//! In: text of a token server, and the secrets that went to it. Out: one line. Invariant: none of the secrets is in it, not even in
//! part; no control characters; at most [`LONGEST`] bytes.

use crate::Secret;

/// Enough for what identity providers say before they get to trace identifiers. More would let a hostile server fill the logs.
const LONGEST: usize = 300;

/// Stands where a secret was.
const MASK: &str = "[masked]";

/// `text` without the secrets, on one line, cut.
///
/// Masking comes before cutting (a cut could leave half a secret that no longer matches) and once more after cleaning (removing a
/// character can join the halves of one).
pub(crate) fn clean(text: &str, secrets: &[Secret]) -> String {
    let masked = mask(text, secrets);
    let line: String =
        masked.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).filter(|c| visible(*c)).collect();
    let mut line = mask(line.trim(), secrets);
    if line.len() > LONGEST {
        let end = (0..=LONGEST).rev().find(|end| line.is_char_boundary(*end)).unwrap_or(0);
        line.truncate(end);
        line.push('…');
    }
    line
}

/// Neither a control character nor one that reorders or hides what stands around it.
fn visible(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

fn mask(text: &str, secrets: &[Secret]) -> String {
    let mut secrets: Vec<&str> = secrets
        .iter()
        .filter_map(|secret| std::str::from_utf8(secret.as_bytes()).ok())
        .filter(|secret| !secret.is_empty())
        .collect();
    // The longest first: a secret that contains another must not lose its middle and keep its ends.
    secrets.sort_unstable_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets.into_iter().fold(text.to_owned(), |text, secret| text.replace(secret, MASK))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(values: &[&str]) -> Vec<Secret> {
        values.iter().map(|value| Secret::new(*value)).collect()
    }

    #[test]
    fn secrets_are_masked_wherever_they_stand() {
        let text = clean("bad secret hunter2: hunter2hunter2", &secrets(&["hunter2"]));
        assert_eq!(text, "bad secret [masked]: [masked][masked]");
    }

    #[test]
    fn of_two_secrets_the_one_that_contains_the_other_goes_whole() {
        assert_eq!(clean("x prefix-abcd-suffix x", &secrets(&["abcd", "prefix-abcd-suffix"])), "x [masked] x");
    }

    #[test]
    fn a_secret_that_a_control_character_splits_is_masked_too() {
        assert_eq!(clean("got hun\u{0}ter2", &secrets(&["hunter2"])), "got [masked]");
    }

    #[test]
    fn the_text_becomes_one_line_without_control_characters() {
        assert_eq!(clean("a\r\nb\tc\u{1b}[31m\u{202e}d\n", &[]), "a  b c[31md");
    }

    #[test]
    fn a_long_text_is_cut_between_characters_and_after_masking() {
        let text = format!("{}hunter2{}", "é".repeat(147), "z".repeat(400));
        let cleaned = clean(&text, &secrets(&["hunter2"]));
        assert!(cleaned.len() <= LONGEST + '…'.len_utf8() && !cleaned.contains("hunt"), "{cleaned}");
        assert!(clean(&"é".repeat(400), &[]).ends_with("é…"));
    }
}
