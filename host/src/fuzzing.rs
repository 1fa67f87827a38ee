//! What the fuzzer does with bytes (see `tests/fuzz`).
//!
//! In: anything. Out: nothing, or a panic where a rule is broken. Invariant: the same for the same bytes.

/// What a client sends over a WebSocket, behind one byte that says how its channels are written.
///
/// # Panics
/// When a rule is broken.
pub fn websocket(bytes: &[u8]) {
    crate::kubelet::streaming::fuzzing::websocket(bytes);
}

/// The query of a request.
///
/// # Panics
/// When a rule is broken.
pub fn query(bytes: &[u8]) {
    // The router hands on what the HTTP library took.
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    crate::kubelet::streaming::fuzzing::query(text);
    crate::kubelet::logs::fuzz_query(text);
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// Of what the fuzzer begins with, and what it once found.
    fn replay(target: &str, run: fn(&[u8])) {
        let manifest = std::env::var_os("CARGO_MANIFEST_DIR").unwrap();
        let directory = Path::new(&manifest).join("../tests/fuzz/corpus").join(target);
        let files: Vec<_> = std::fs::read_dir(directory).unwrap().collect();
        assert!(!files.is_empty());
        for file in files {
            run(&std::fs::read(file.unwrap().path()).unwrap());
        }
    }

    #[test]
    fn the_corpus_of_the_fuzzer_breaks_no_rule() {
        replay("websocket", super::websocket);
        replay("query", super::query);
    }
}
