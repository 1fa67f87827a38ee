//! Paths of files in a volume.
//!
//! In: paths as objects and pods name them. Out: clean relative paths. Invariant: an accepted path stays in the volume,
//! whatever is joined before it, and does not take the names that volumes keep for themselves (`..data`). The API
//! server checks the same; rules and texts are those of the kubelet's `validatePath`
//! (pkg/volume/util/atomic_writer.go).

/// Bytes in a path.
const LONGEST_PATH: usize = 4096;
/// Bytes between two slashes.
const LONGEST_NAME: usize = 255;

/// The path without empty and `.` elements, or why it is refused.
pub(crate) fn clean(path: &str) -> Result<String, String> {
    if path.is_empty() {
        return Err("invalid path: must not be empty: \"\"".to_owned());
    }
    if path.starts_with('/') {
        return Err(format!("invalid path: must be relative path: {path}"));
    }
    if path.len() > LONGEST_PATH {
        return Err(format!("invalid path: must be less than or equal to {LONGEST_PATH} characters"));
    }
    if path.contains('\0') {
        return Err(format!("invalid path: must not contain NUL: {path:?}"));
    }
    let names: Vec<_> = path.split('/').filter(|name| !matches!(*name, "" | ".")).collect();
    if names.contains(&"..") {
        return Err(format!("invalid path: must not contain '..': {path}"));
    }
    if names.iter().any(|name| name.len() > LONGEST_NAME) {
        return Err(format!("invalid path: filenames must be less than or equal to {LONGEST_NAME} characters"));
    }
    match names.first() {
        None => Err(format!("invalid path: must name a file: {path}")),
        // After cleaning, where the kubelet looks before: `./..data` must not pass either.
        Some(first) if first.starts_with("..") => Err(format!("invalid path: must not start with '..': {path}")),
        Some(_) => Ok(names.join("/")),
    }
}

/// A `subPath`: relative, without steps back. Unlike a file's path it may begin with `..x`, and may be empty.
pub(crate) fn check_sub_path(path: &str) -> Result<(), String> {
    if path.starts_with('/') {
        return Err(format!("error SubPath `{path}` must not be an absolute path"));
    }
    if path.split('/').any(|name| name == "..") {
        return Err(format!("unable to provision SubPath `{path}`: must not contain '..'"));
    }
    if path.contains('\0') {
        return Err(format!("unable to provision SubPath {path:?}: must not contain NUL"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::{Component, Path};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ordinary_paths_pass() {
        assert_eq!(clean("i/am/well/behaved.txt").unwrap(), "i/am/well/behaved.txt");
        assert_eq!(clean("keepyourheaddownandfollowtherules.txt").unwrap(), "keepyourheaddownandfollowtherules.txt");
        assert_eq!(clean("a..b/c..").unwrap(), "a..b/c..");
        assert_eq!(clean("./a//b/./c/").unwrap(), "a/b/c");
        assert_eq!(clean("dir/..data").unwrap(), "dir/..data");
    }

    /// The cases of `TestValidatePath`, and what cleaning would let through.
    #[test]
    fn paths_that_leave_the_volume_or_take_its_own_names_are_refused_by_name() {
        let cases = [
            ("/dev/null", "invalid path: must be relative path: /dev/null"),
            ("..sneaky.txt", "invalid path: must not start with '..': ..sneaky.txt"),
            ("./..data", "invalid path: must not start with '..': ./..data"),
            ("hello/../etc/somethingbad", "invalid path: must not contain '..': hello/../etc/somethingbad"),
            ("..", "invalid path: must not contain '..': .."),
            ("", "invalid path: must not be empty: \"\""),
            (".", "invalid path: must name a file: ."),
            ("a\0b", "invalid path: must not contain NUL: \"a\\0b\""),
        ];
        for (path, text) in cases {
            assert_eq!(clean(path).unwrap_err(), text);
        }
    }

    #[test]
    fn long_paths_and_long_names_are_refused() {
        let name = "a".repeat(256);
        assert_eq!(clean(&name).unwrap_err(), "invalid path: filenames must be less than or equal to 255 characters");
        let path = "a/".repeat(2049);
        assert_eq!(clean(&path).unwrap_err(), "invalid path: must be less than or equal to 4096 characters");
    }

    #[test]
    fn a_sub_path_is_relative_and_has_no_steps_back() {
        assert_eq!(check_sub_path("logs/pod-1"), Ok(()));
        assert_eq!(check_sub_path("..hidden"), Ok(()));
        assert_eq!(check_sub_path("/etc").unwrap_err(), "error SubPath `/etc` must not be an absolute path");
        let text = "unable to provision SubPath `a/../..`: must not contain '..'";
        assert_eq!(check_sub_path("a/../..").unwrap_err(), text);
    }

    proptest! {
        #[test]
        fn no_accepted_path_escapes(path in r"([./]|\.\.|a|\\|\x00|é|/{2}){0,12}") {
            if let Ok(clean) = clean(&path) {
                prop_assert!(!clean.is_empty() && !clean.contains('\0'));
                prop_assert!(!clean.starts_with(".."));
                prop_assert!(Path::new(&clean).components().all(|part| matches!(part, Component::Normal(_))));
            }
        }

        #[test]
        fn an_accepted_path_is_accepted_again_and_stays_the_same(path in any::<String>()) {
            if let Ok(once) = clean(&path) {
                prop_assert_eq!(clean(&once).unwrap(), once);
            }
        }
    }
}
