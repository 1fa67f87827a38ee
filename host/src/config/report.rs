//! Mistakes, collected instead of told one at a time.
//!
//! In: what the readers find. Out: [`Mistakes`], one line each in the order of the file. Invariant: no line holds a value that may be a secret;
//! the readers decide that when they write the text.

use std::cell::RefCell;
use std::fmt;
use std::path::{Path, PathBuf};

use super::tree::Position;

/// Where mistakes are put down. The readers share it, so that none of them has to stop at its first one.
#[derive(Debug, Default)]
pub(crate) struct Report {
    mistakes: RefCell<Vec<Mistake>>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    pub place: Place,
    pub text: String,
}

/// Where it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// In the file: position and path of the field. The position is missing where a parser does not tell it.
    File(Option<Position>, String),
    /// On the command line.
    Flag(String),
}

impl Report {
    /// Put down a mistake at a place of the file.
    pub(crate) fn wrong(&self, at: Position, path: &str, text: impl Into<String>) {
        self.add(Place::File(Some(at), path.to_owned()), text);
    }

    pub(crate) fn add(&self, place: Place, text: impl Into<String>) {
        self.mistakes.borrow_mut().push(Mistake { place, text: text.into() });
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.mistakes.borrow().len()
    }

    /// All of them; None when there are none.
    pub(crate) fn finish(self, file: Option<&Path>) -> Result<(), Mistakes> {
        let mut all = self.mistakes.into_inner();
        if all.is_empty() {
            return Ok(());
        }
        all.sort_by(|a, b| a.place.cmp(&b.place));
        Err(Mistakes { file: file.map(Path::to_owned), all })
    }
}

/// All mistakes of a file and of the flags that go with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mistakes {
    file: Option<PathBuf>,
    pub all: Vec<Mistake>,
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.all.len() {
            1 => f.write_str("there is one mistake:")?,
            count => write!(f, "there are {count} mistakes:")?,
        }
        for Mistake { place, text } in &self.all {
            f.write_str("\n  ")?;
            match place {
                Place::Flag(flag) => write!(f, "{flag}: ")?,
                Place::File(at, path) => {
                    if let Some(file) = &self.file {
                        write!(f, "{}:", file.display())?;
                    }
                    if let Some(Position { line, column }) = at {
                        write!(f, "{line}:{column}:")?;
                    }
                    f.write_str(" ")?;
                    if !path.is_empty() {
                        write!(f, "{path}: ")?;
                    }
                }
            }
            f.write_str(text)?;
        }
        Ok(())
    }
}

/// The longest part of a value that is told.
const SHOWN_CHARS: usize = 60;

/// A text of the file in quotes, without control characters and not too long. Never for what may hold a secret.
pub(crate) fn quoted(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}

/// The path of a field: `parent.key`. Keys that would be read as several are in quotes.
pub(crate) fn child(parent: &str, key: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    let key = if !key.is_empty() && key.chars().all(plain) { key.to_owned() } else { quoted(key) };
    if parent.is_empty() { key } else { format!("{parent}.{key}") }
}

/// The one of `known` that was probably meant.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    let scored = known.into_iter().map(|name| (strsim::damerau_levenshtein(&lower, &name.to_lowercase()), name));
    // A third of the letters may be wrong; more is another word.
    let close = scored.filter(|(distance, name)| *distance * 3 <= name.chars().count().max(3));
    close.min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_told_in_the_order_of_the_file_and_flags_last() {
        let report = Report::default();
        report.add(Place::Flag("--endpoint api".to_owned()), "is there, too");
        report.wrong(Position { line: 9, column: 1 }, "b", "second");
        report.wrong(Position { line: 2, column: 3 }, "a", "first");
        report.add(Place::File(None, String::new()), "unknown where");
        assert_eq!(report.len(), 4);
        let text = report.finish(Some(Path::new("p.yaml"))).unwrap_err().to_string();
        let lines =
            "  p.yaml: unknown where\n  p.yaml:2:3: a: first\n  p.yaml:9:1: b: second\n  --endpoint api: is there, too";
        assert_eq!(text, format!("there are 4 mistakes:\n{lines}"));
        assert!(Report::default().finish(None).is_ok());
    }

    #[test]
    fn near_misses_are_found_and_other_words_are_not() {
        let known = ["timeout", "url", "idleTimeout", "maxResponse"];
        for (word, meant) in [
            ("ulr", Some("url")),
            ("Timeout", Some("timeout")),
            ("timout", Some("timeout")),
            ("max_response", Some("maxResponse")),
            ("maxresponse", Some("maxResponse")),
            ("password", None),
            ("x", None),
        ] {
            assert_eq!(nearest(word, known), meant, "{word}");
        }
    }

    #[test]
    fn paths_and_values_stay_on_one_line() {
        assert_eq!(child("endpoints", "a.b"), "endpoints.\"a.b\"");
        assert_eq!(child("", "config"), "config");
        assert_eq!(quoted("a\nb"), "\"a\\nb\"");
        assert_eq!(quoted(&"x".repeat(100)), format!("\"{}\"…", "x".repeat(60)));
    }
}
