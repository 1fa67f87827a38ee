//! The paths that both sides allow.
//!
//! In: patterns of a manifest, prefixes of a grant. Out: patterns. Invariant: a path is covered by one of them exactly when it is covered by a
//! pattern and is below a prefix. Pure.

use pluglet_egress::Pattern;

/// Both sides together. Empty: every path. None: no path at all.
pub(super) fn effective(patterns: &[Pattern], prefixes: &[String]) -> Option<Vec<String>> {
    let patterns: Vec<String> = patterns.iter().map(ToString::to_string).collect();
    let mut all: Vec<String> = match (patterns.is_empty(), prefixes.is_empty()) {
        (_, true) => patterns,
        (true, false) => prefixes.iter().map(|prefix| format!("{}/**", prefix.trim_end_matches('/'))).collect(),
        (false, false) => {
            let both =
                |pattern: &String| prefixes.iter().filter_map(|prefix| narrowed(pattern, prefix)).collect::<Vec<_>>();
            let all: Vec<String> = patterns.iter().flat_map(both).collect();
            if all.is_empty() {
                return None;
            }
            all
        }
    };
    // The same twice says nothing more.
    let mut seen = vec![];
    all.retain(|path| {
        !seen.contains(path) && {
            seen.push(path.clone());
            true
        }
    });
    Some(all)
}

/// The part of a pattern that is below a prefix.
fn narrowed(pattern: &str, prefix: &str) -> Option<String> {
    let mut prefix = prefix.trim_end_matches('/').split('/');
    let mut kept: Vec<&str> = vec![];
    let mut pattern = pattern.split('/');
    while let Some(wanted) = pattern.next() {
        if wanted == "**" {
            kept.extend(prefix);
            kept.push("**");
            return Some(kept.join("/"));
        }
        match prefix.next() {
            None => {
                kept.push(wanted);
                kept.extend(pattern);
                return Some(kept.join("/"));
            }
            Some(segment) if wanted == segment || wanted == "*" => kept.push(segment),
            Some(_) => return None,
        }
    }
    // The pattern names single paths; those of a longer prefix are others.
    prefix.next().is_none().then(|| kept.join("/"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn both(patterns: &[&str], prefixes: &[&str]) -> Option<Vec<String>> {
        let patterns: Vec<Pattern> = patterns.iter().map(|pattern| Pattern::new(pattern)).collect();
        let prefixes: Vec<String> = prefixes.iter().map(|prefix| (*prefix).to_owned()).collect();
        effective(&patterns, &prefixes)
    }

    #[test]
    fn the_narrower_side_counts() {
        for (patterns, prefixes, expected) in [
            (vec![], vec![], Some(vec![])),
            (vec!["/pods/*"], vec![], Some(vec!["/pods/*"])),
            (vec![], vec!["/v1", "/v2/"], Some(vec!["/v1/**", "/v2/**"])),
            (vec!["/pods/*", "/nodes"], vec!["/pods"], Some(vec!["/pods/*"])),
            (vec!["/a/**"], vec!["/a/b/c"], Some(vec!["/a/b/c/**"])),
            (vec!["/*/x/**"], vec!["/v1"], Some(vec!["/v1/x/**"])),
            (vec!["/**"], vec!["/"], Some(vec!["/**"])),
            (vec!["/a"], vec!["/b"], None),
            (vec!["/a"], vec!["/a/b"], None),
            (vec!["/pods/**"], vec!["/pods", "/pods/"], Some(vec!["/pods/**"])),
        ] {
            let expected: Option<Vec<String>> =
                expected.map(|all: Vec<&str>| all.into_iter().map(str::to_owned).collect());
            assert_eq!(both(&patterns, &prefixes), expected, "{patterns:?} {prefixes:?}");
        }
    }

    proptest! {
        #[test]
        fn a_path_is_covered_when_both_sides_cover_it(
            pattern in "(/[abc*]){1,3}(/\\*\\*)?", prefix in "(/[abc]){1,3}", path in "(/[abc]){1,4}"
        ) {
            let shown = both(&[&pattern], &[&prefix]);
            let covered = shown.iter().flatten().any(|shown| Pattern::new(shown).matches(&path));
            let below = path.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            prop_assert_eq!(covered, below && Pattern::new(&pattern).matches(&path), "{:?}", shown);
        }
    }
}
