//! Errors in words.
//!
//! In: an error. Out: its text. Invariant: each cause is said, the outermost first.

use std::error::Error;

/// An error and its causes, on one line.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
