//! An engine's words, for people.
//!
//! In: a message that went through several layers. Out: what the last of them has said. Invariant: pure; both engines' words for one thing become
//! the same.

/// How much of a message is worth showing.
const SHOWN_CHARS: usize = 1024;

/// A message without what only says which layer passed it on.
pub(crate) fn shortened(text: &str) -> String {
    const BEFORE: [&str; 8] = [
        "failed to create task for container: ",
        "failed to create shim task: ",
        "OCI runtime create failed: ",
        "runc create failed: ",
        "runc: ",
        "crun: ",
        "container create: ",
        "preparing container: ",
    ];
    const AFTER: [&str; 5] = [
        ": unknown",
        ": OCI runtime attempted to invoke a command that was not found",
        ": OCI permission denied",
        ": OCI runtime error",
        ": internal libpod error",
    ];
    let mut rest = text.trim();
    while let Some(shorter) = BEFORE.iter().find_map(|before| rest.strip_prefix(before)) {
        rest = shorter;
    }
    while let Some(shorter) = AFTER.iter().find_map(|after| rest.strip_suffix(after)) {
        rest = shorter;
    }
    rest.chars().take(SHOWN_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layers_that_passed_a_message_on_are_left_out() {
        let said = "unable to start container process: exec: \"nope\": executable file not found in $PATH";
        for (before, after) in [
            ("failed to create shim task: OCI runtime create failed: runc create failed: ", ": unknown"),
            (
                "failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: ",
                ": unknown",
            ),
            ("runc: runc create failed: ", ": OCI runtime attempted to invoke a command that was not found"),
            ("", ""),
        ] {
            assert_eq!(shortened(&format!("{before}{said}{after}")), said);
        }
        assert_eq!(shortened(&"x".repeat(5000)).len(), SHOWN_CHARS);
    }
}
