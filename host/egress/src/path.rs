//! Paths: which are normal, and which of them are allowed.
//!
//! In: path and query as a provider wrote them; patterns of a manifest; prefixes of a grant. Out: yes or a [`PathError`]. Invariant: a path
//! that passes means the same to every server, proxy and library on the way, so that what was compared is what is asked for. Pure.
//!
//! Nothing is repaired. A path that would have to be normalised to be compared (dot segments, empty segments, encoded slashes) is refused,
//! because somebody on the way may normalise it in another way.

use std::fmt;

/// Longest path and query in bytes. Servers refuse more than 8 KiB as a rule.
const MAX_BYTES: usize = 16 << 10;

/// Why a path is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// A scheme and host, or nothing at all.
    #[error("a path must start with one `/`: the endpoint decides scheme and host")]
    NotAPath,
    /// Longer than [`MAX_BYTES`].
    #[error("the path is longer than {MAX_BYTES} bytes")]
    TooLong,
    /// Outside of what RFC 3986 allows: control characters, white space, anything beyond ASCII, quotes and braces.
    #[error("a path must not hold control characters, white space, `#`, or characters that need encoding")]
    Character,
    /// `//`.
    #[error("a path must not hold empty segments (`//`)")]
    EmptySegment,
    /// `.` or `..`, encoded or not.
    #[error("a path must not hold `.` or `..` segments, also not encoded ones")]
    DotSegment,
    /// `\`, `%5c`, `%2f`.
    #[error("a path must not hold backslashes or encoded slashes: some servers take them for slashes")]
    Slash,
    /// `%00`–`%1f`, `%7f`, `%25`, `%3f`, `%23`: what turns into something else when it is decoded once too often on the way.
    #[error("a path must not hold encoded control characters, an encoded percent sign, question mark or `#`")]
    Encoded,
    /// `%` without two hexadecimal digits.
    #[error("a path must not hold a `%` without two hexadecimal digits")]
    Percent,
    /// `;`, encoded or not, which some servers cut off together with what follows in the segment (`/..;/`).
    #[error("a path segment must not consist of dots and a parameter (`..;`)")]
    Parameter,
}

/// Whether path and query mean the same to everyone. Gives back the path alone.
pub(crate) fn check(target: &str) -> Result<&str, PathError> {
    if target.len() > MAX_BYTES {
        return Err(PathError::TooLong);
    }
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    if !path.starts_with('/') {
        return Err(PathError::NotAPath);
    }
    if path.contains('\\') {
        return Err(PathError::Slash);
    }
    if !target.bytes().all(is_allowed) {
        return Err(PathError::Character);
    }
    check_encoded(target, path)?;
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        // A last empty segment is a trailing slash, which is a path of its own.
        if segment.is_empty() && segments.peek().is_some() {
            return Err(PathError::EmptySegment);
        }
        check_segment(segment)?;
    }
    Ok(path)
}

/// The characters of RFC 3986's `pchar`, `/`, `?` and `%`; and in queries also `[`, `]` and `|`, which real APIs use there and nobody
/// takes for anything else.
fn is_allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?%[]|".contains(&byte)
}

/// Percent-encodings: well-formed everywhere, and in the path none that hides structure.
fn check_encoded(target: &str, path: &str) -> Result<(), PathError> {
    for (at, _) in target.match_indices('%') {
        let code = target.get(at + 1..at + 3).and_then(|digits| {
            digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u8::from_str_radix(digits, 16).ok())?
        });
        let code = code.ok_or(PathError::Percent)?;
        // CR and LF in a query have split headers of careless servers, and NUL has cut strings.
        if code < 0x20 || code == 0x7f {
            return Err(PathError::Encoded);
        }
        if at >= path.len() {
            continue;
        }
        match code {
            b'/' | b'\\' => return Err(PathError::Slash),
            b'.' => return Err(PathError::DotSegment),
            // The last two end the path where a proxy decodes it and passes it on (CVE-2024-38474 was that).
            b'%' | b'?' | b'#' => return Err(PathError::Encoded),
            // UTF-8 that is valid but overlong has been a slash before; non-ASCII is let through only where it decodes as UTF-8.
            _ => {}
        }
    }
    Ok(())
}

fn check_segment(segment: &str) -> Result<(), PathError> {
    // An overlong form (`%c0%ae` for a dot) is no text.
    let decoded = decoded(segment).ok_or(PathError::Encoded)?;
    // Servers that fold compatibility characters, or trim, would see dots and slashes here.
    if decoded.contains(LOOKALIKES) {
        return Err(PathError::Encoded);
    }
    match decoded.split_once(';') {
        None if matches!(decoded.trim(), "." | "..") => Err(PathError::DotSegment),
        Some((before, _)) if matches!(before.trim(), "." | "..") => Err(PathError::Parameter),
        _ => Ok(()),
    }
}

/// Characters that normalisation turns into dots, slashes and backslashes.
const LOOKALIKES: [char; 10] = [
    '\u{ff0e}', '\u{2024}', '\u{2025}', '\u{2026}', '\u{fe52}', '\u{ff0f}', '\u{2044}', '\u{2215}', '\u{ff3c}',
    '\u{fe68}',
];

/// What a server makes of a segment, if that is text.
fn decoded(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        let (digits, tail) = after.split_at_checked(2).unwrap_or((after, ""));
        bytes.push(u8::from_str_radix(digits, 16).unwrap_or(b'?'));
        rest = tail;
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).ok()
}

/// Whether `path` is `prefix` or below it, by whole segments.
pub(crate) fn is_below(path: &str, prefix: &str) -> bool {
    let prefix = prefix.trim_end_matches('/');
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Paths that a manifest asks for: literal segments, `*` for exactly one segment, `**` at the end for any rest, none included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// A pattern as the manifest has it.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Whether it covers the path.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        let mut segments = path.split('/');
        for wanted in self.0.split('/') {
            if wanted == "**" {
                return true;
            }
            match segments.next() {
                Some(segment) if wanted == segment || (wanted == "*" && !segment.is_empty()) => {}
                _ => return false,
            }
        }
        segments.next().is_none()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether any path is both below the prefix and covered by the pattern.
pub(crate) fn overlaps(prefix: &str, pattern: &Pattern) -> bool {
    let mut prefix = prefix.trim_end_matches('/').split('/');
    for wanted in pattern.0.split('/') {
        if wanted == "**" {
            return true;
        }
        match prefix.next() {
            // The prefix has ended: all that the pattern goes on to name is below it.
            None => return true,
            Some(segment) if wanted == segment || wanted == "*" => {}
            Some(_) => return false,
        }
    }
    // The pattern has ended: covered only when the prefix has, too.
    prefix.next().is_none()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ordinary_paths_pass() {
        for path in [
            "/",
            "/v1/pods?x=1&y=%2F..%2F",
            "/v1.2/a..b/...",
            "/images/library/busybox:1.36/json",
            "/subscriptions/a-b/resourceGroups/rg(1)/providers/Microsoft.X/y?api-version=2025-09-01",
            "/a%20b/%C3%A4",
            "/containers/json?filters=%7B%22label%22%3A%5B%22a%22%5D%7D",
            "/a/b/",
            "/p;v=1",
        ] {
            assert!(check(path).is_ok(), "{path}: {:?}", check(path));
        }
    }

    #[test]
    fn paths_that_could_mean_two_things_are_refused() {
        for (path, why) in [
            ("", PathError::NotAPath),
            ("v1", PathError::NotAPath),
            ("https://evil.example/", PathError::NotAPath),
            ("@evil.example", PathError::NotAPath),
            ("*", PathError::NotAPath),
            ("//evil.example/x", PathError::EmptySegment),
            ("/a//b", PathError::EmptySegment),
            ("/a/../b", PathError::DotSegment),
            ("/..", PathError::DotSegment),
            ("/a/./b", PathError::DotSegment),
            ("/a/%2e%2e/b", PathError::DotSegment),
            ("/a/%2E./b", PathError::DotSegment),
            ("/a/.%2e/b", PathError::DotSegment),
            ("/a/..%2f..%2fetc", PathError::Slash),
            ("/a%2Fb", PathError::Slash),
            ("/a\\..\\b", PathError::Slash),
            ("/a/%5c..%5cb", PathError::Slash),
            ("/a/%252e%252e/b", PathError::Encoded),
            ("/a/%c0%ae%c0%ae/b", PathError::Encoded),
            ("/a/%e0%80%af/b", PathError::Encoded),
            ("/a/%ef%bc%8e%ef%bc%8e/b", PathError::Encoded),
            ("/a/%ef%bc%8fb", PathError::Encoded),
            ("/a/..%20/b", PathError::DotSegment),
            ("/a/..;/b", PathError::Parameter),
            ("/a/..;x=1/b", PathError::Parameter),
            ("/a/..%3b/b", PathError::Parameter),
            ("/a/b%3f/c", PathError::Encoded),
            ("/a/b%23", PathError::Encoded),
            ("/a b", PathError::Character),
            ("/a\r\nhost: evil", PathError::Character),
            ("/a#b", PathError::Character),
            ("/ä", PathError::Character),
            ("/a\u{2215}..\u{2215}b", PathError::Character),
            ("/a\tb", PathError::Character),
            ("/a%0d%0ab", PathError::Encoded),
            ("/a%00b", PathError::Encoded),
            ("/a?x=%0d%0a", PathError::Encoded),
            ("/a?x=\n", PathError::Character),
            ("/a%2", PathError::Percent),
            ("/a%zz", PathError::Percent),
            ("/a%+1", PathError::Percent),
        ] {
            assert_eq!(check(path), Err(why), "{path:?}");
        }
        assert_eq!(check(&format!("/{}", "a".repeat(MAX_BYTES))), Err(PathError::TooLong));
    }

    #[test]
    fn prefixes_end_at_segments() {
        assert!(is_below("/v1", "/v1") && is_below("/v1/a", "/v1") && is_below("/v1/a", "/v1/") && is_below("/x", "/"));
        assert!(!is_below("/v10", "/v1") && !is_below("/v", "/v1"));
    }

    #[test]
    fn patterns_match_segment_by_segment() {
        let matches = |pattern: &str, path: &str| Pattern::new(pattern).matches(path);
        assert!(matches("/pods", "/pods") && !matches("/pods", "/pods/a") && !matches("/pods", "/pods/"));
        assert!(matches("/pods/*", "/pods/a") && !matches("/pods/*", "/pods/a/b") && !matches("/pods/*", "/pods/"));
        assert!(matches("/a/**", "/a") && matches("/a/**", "/a/b/c") && !matches("/a/**", "/b"));
        assert!(matches("/*/x/**", "/v1/x/y") && matches("/**", "/"));
    }

    #[test]
    fn a_pattern_and_a_prefix_overlap_when_some_path_is_in_both() {
        let overlap = |prefix: &str, pattern: &str| overlaps(prefix, &Pattern::new(pattern));
        assert!(
            overlap("/", "/a/b") && overlap("/a", "/a/**") && overlap("/a/b/c", "/a/**") && overlap("/a/b", "/a/*")
        );
        assert!(!overlap("/b", "/a/**") && !overlap("/a/b/c", "/a/*") && !overlap("/a/b", "/a"));
    }

    proptest! {
        /// What passes is left as it is by the library that most of the world parses URLs with.
        #[test]
        fn a_path_that_passes_is_normal_already(path in "/[a-z0-9./%;\\\\?#: -]{0,24}") {
            if let Ok(path) = check(&path) {
                let url = url::Url::parse(&format!("https://a.example{path}")).unwrap();
                prop_assert_eq!(url.path(), path);
                prop_assert_eq!(url.host_str(), Some("a.example"));
            }
        }
    }
}
