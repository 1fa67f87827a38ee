//! The words of a manifest that decide what a provider may do.
//!
//! In: endpoints of a manifest. Out: nothing, or an [`InspectError`] that names the field and what would be right. Invariant: what passes
//! here means one thing to the operator who reads it and to the code that compares it. Pure.

use std::collections::HashSet;

use pluglet_egress::Need;

use super::InspectError;
use crate::capabilities::log::clean;

/// Longest name of an endpoint in bytes. Operators write it into their configuration.
const MAX_NAME_BYTES: usize = 64;

/// Bytes of a wrong word that are shown.
const SHOWN_BYTES: usize = 80;

const NAME: &str = "it must be 1 to 64 of letters, digits, `.`, `_` and `-`";
const UNIQUE: &str = "another endpoint has that name";
const METHOD: &str = "it must be a method's name, such as GET";
const PATTERN: &str = "it must start with `/`, and have `*` only as a whole segment and `**` only as the last one";

/// Check them all.
pub(super) fn check(endpoints: &[Need]) -> Result<(), InspectError> {
    let mut seen = HashSet::new();
    for (at, need) in endpoints.iter().enumerate() {
        let place = format!("endpoints[{at}]");
        require(is_name(&need.name), &need.name, NAME, || format!("{place}.name"))?;
        // Two of one name would be two wishes for one grant, and an operator would have read only the first.
        require(seen.insert(&need.name), &need.name, UNIQUE, || format!("{place}.name"))?;
        for (n, method) in need.methods.iter().enumerate() {
            require(is_token(method), method, METHOD, || format!("{place}.methods[{n}]"))?;
        }
        for (n, path) in need.paths.iter().enumerate() {
            require(is_pattern(path), path, PATTERN, || format!("{place}.paths[{n}]"))?;
        }
    }
    Ok(())
}

fn require(good: bool, word: &str, rule: &'static str, field: impl FnOnce() -> String) -> Result<(), InspectError> {
    if good { Ok(()) } else { Err(InspectError::ManifestWord { field: field(), word: clean(word, SHOWN_BYTES), rule }) }
}

fn is_name(text: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// A token of RFC 9110 section 5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// Whether it means what it seems to. A `**` in the middle would give the rest away, whatever stands behind it; a `*` in a segment would
/// be a letter like any other.
fn is_pattern(text: &str) -> bool {
    let Some(segments) = text.strip_prefix('/') else { return false };
    let mut segments = segments.split('/').peekable();
    while let Some(segment) = segments.next() {
        let fits = match segment {
            "*" => true,
            "**" => segments.peek().is_none(),
            other => !other.contains('*'),
        };
        if !fits {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn need(name: &str, method: &str, path: &str) -> Need {
        Need {
            name: name.to_owned(),
            methods: vec![method.to_owned()],
            paths: vec![path.to_owned()],
            ..Need::default()
        }
    }

    fn told(needs: &[Need]) -> String {
        check(needs).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn good_words_pass() {
        for path in ["/", "/**", "/pods/*", "/a/*/b/**"] {
            assert_eq!(told(&[need("api.v1_x-y", "GET", path), need(&"n".repeat(64), "M-SEARCH", path)]), "");
        }
    }

    #[test]
    fn names_that_could_be_something_else_are_refused_with_their_field() {
        for name in ["", "a b", "a\nb", "ä", "a/b", &"n".repeat(65)] {
            let text = told(&[need("ok", "GET", "/"), need(name, "GET", "/")]);
            assert!(text.contains("endpoints[1].name") && text.contains("1 to 64"), "{text}");
            assert!(!text.contains('\n'), "{text}");
        }
        assert!(told(&[need("a", "GET", "/"), need("a", "PUT", "/")]).contains("another endpoint has that name"));
    }

    #[test]
    fn methods_that_are_no_tokens_are_refused() {
        for method in ["", "G T", "GET\r\n", "GÄT", "GET,PUT"] {
            assert!(told(&[need("a", method, "/")]).contains("endpoints[0].methods[0]"), "{method:?}");
        }
    }

    #[test]
    fn patterns_that_give_more_or_less_than_they_seem_to_are_refused() {
        for path in ["", "pods", "*", "**", "https://x/", "/**/secrets", "/pods*", "/pods/*.json", "/a/***"] {
            assert!(told(&[need("a", "GET", path)]).contains("endpoints[0].paths[0]"), "{path:?}");
        }
    }
}
