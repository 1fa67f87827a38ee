//! A typed reader over the tree.
//!
//! In: a [`Node`]. Out: values, or nothing and a line in the [`Report`]. Invariant: reading goes on after a mistake; each field of a mapping is
//! asked for by name exactly once, and [`Fields::finish`] tells those that nobody asked for.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::quantity::{millicores, show_duration, show_size, size};
use super::report::{Report, child, nearest, quoted};
use super::tree::{Entry, Node, Position, Value};
use crate::args::parse_duration;

/// A mapping that is being read.
pub(super) struct Fields<'a> {
    pub path: String,
    pub at: Position,
    entries: Vec<&'a Entry>,
    known: Vec<&'static str>,
    /// Of those, what must be there and is not.
    missing: Vec<&'static str>,
    pub report: &'a Report,
}

/// One field of it.
#[derive(Clone)]
pub(super) struct Field<'a> {
    pub path: String,
    /// Where its key is; for an item of a list, where the item is.
    pub at: Position,
    pub node: &'a Node,
    pub report: &'a Report,
}

impl<'a> Fields<'a> {
    /// A required field. That it is missing is told at the end, unless something is there that was meant to be it.
    pub(super) fn require(&mut self, key: &'static str) -> Option<Field<'a>> {
        let field = self.take(key);
        if field.is_none() {
            self.missing.push(key);
        }
        field
    }

    pub(super) fn take(&mut self, key: &'static str) -> Option<Field<'a>> {
        self.known.push(key);
        self.remove(key)
    }

    /// Answer a field that does not exist with advice of its own.
    pub(super) fn advise(&mut self, key: &str, text: &str) {
        if let Some(field) = self.remove(key) {
            self.report.wrong(field.at, &field.path, text);
        }
    }

    fn remove(&mut self, key: &str) -> Option<Field<'a>> {
        let at = self.entries.iter().position(|entry| entry.key == key)?;
        let entry = self.entries.remove(at);
        // The others with that key are told where repeated keys are looked for.
        self.entries.retain(|entry| entry.key != key);
        Some(Field::of(&self.path, entry, self.report))
    }

    /// All that is there, for mappings whose keys are names.
    pub(super) fn all(self) -> Vec<(&'a str, Field<'a>)> {
        let Self { path, entries, report, .. } = self;
        entries.into_iter().map(|entry| (entry.key.as_str(), Field::of(&path, entry, report))).collect()
    }

    /// Whether nothing is there that was not asked for.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn wrong(&self, text: impl Into<String>) {
        self.report.wrong(self.at, &self.path, text);
    }

    /// What was probably meant by a field that nobody asked for.
    fn meant(&self, key: &str) -> Option<&'static str> {
        let as_file = format!("{key}File");
        self.known.iter().find(|name| **name == as_file).copied().or_else(|| nearest(key, self.known.iter().copied()))
    }

    /// Whether something is there that was probably meant to be one of these.
    pub(super) fn resembles(&self, names: &[&str]) -> bool {
        self.entries.iter().any(|entry| self.meant(&entry.key).is_some_and(|meant| names.contains(&meant)))
    }

    /// Tell what is missing, and what nobody asked for. Never with its value: what has the wrong name may be a secret.
    pub(super) fn finish(self) {
        for key in self.missing.iter().filter(|key| !self.resembles(&[key])) {
            self.wrong(format!("`{key}` is missing"));
        }
        for entry in &self.entries {
            let text = match self.meant(&entry.key) {
                Some(file) if *file == format!("{}File", entry.key) => {
                    format!("is not written into this file: write the path of a file as `{file}`")
                }
                Some(name) => format!("unknown field; did you mean `{name}`?"),
                None => format!("unknown field; there are {}", self.known.join(", ")),
            };
            self.report.wrong(entry.at, &child(&self.path, &entry.key), text);
        }
    }
}

impl<'a> Field<'a> {
    pub(super) fn of(parent: &str, entry: &'a Entry, report: &'a Report) -> Self {
        Self { path: child(parent, &entry.key), at: entry.at, node: &entry.node, report }
    }

    /// Put down a mistake where the value is.
    pub(super) fn wrong(&self, text: impl Into<String>) {
        // Where nothing is, the key is what there is to look at.
        let at = if matches!(self.node.value, Value::Null) { self.at } else { self.node.at };
        self.report.wrong(at, &self.path, text);
    }

    fn wrong_kind<T>(&self, wanted: &str) -> Option<T> {
        match self.node.value {
            Value::Null => self.wrong(format!("has no value: it must be {wanted}")),
            Value::Number(_) | Value::Flag(_) if wanted == "a text" => {
                self.wrong(format!("must be a text, not {}: put it in quotes", self.node.kind()));
            }
            _ => self.wrong(format!("must be {wanted}, not {}", self.node.kind())),
        }
        None
    }

    /// A mapping. One without content may stand for one with nothing but defaults.
    pub(super) fn fields(&self) -> Option<Fields<'a>> {
        let entries = match &self.node.value {
            Value::Map(entries) => entries.iter().collect(),
            Value::Null => vec![],
            _ => return self.wrong_kind("a mapping"),
        };
        // What is missing in a mapping is looked for at its name.
        Some(Fields {
            path: self.path.clone(),
            at: self.at,
            entries,
            known: vec![],
            missing: vec![],
            report: self.report,
        })
    }

    /// A list with at least one item.
    pub(super) fn list(&self) -> Option<Vec<Field<'a>>> {
        let Value::List(items) = &self.node.value else { return self.wrong_kind("a list") };
        if items.is_empty() {
            self.wrong("is an empty list, which would allow nothing: leave it out, or name something");
            return None;
        }
        let item = |(index, node): (usize, &'a Node)| Field {
            path: format!("{}[{index}]", self.path),
            at: node.at,
            node,
            report: self.report,
        };
        Some(items.iter().enumerate().map(item).collect())
    }

    /// A text on one line that is not empty.
    pub(super) fn text(&self) -> Option<&'a str> {
        let Value::Text(text) = &self.node.value else { return self.wrong_kind("a text") };
        if text.trim().is_empty() {
            self.wrong("is empty");
            return None;
        }
        if text.chars().any(char::is_control) {
            self.wrong("has line ends or other control characters");
            return None;
        }
        Some(text)
    }

    pub(super) fn flag(&self) -> Option<bool> {
        match self.node.value {
            Value::Flag(flag) => Some(flag),
            _ => self.wrong_kind("true or false"),
        }
    }

    pub(super) fn count(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let Value::Number(number) = &self.node.value else { return self.wrong_kind("a whole number") };
        let Some(count) = number.as_u64() else { return self.wrong_value(&number.to_string(), "is no whole number") };
        self.within(count, &range, &number.to_string(), u64::to_string)
    }

    pub(super) fn size(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let (text, shown) = self.scalar("a size such as 64Ki, 256Mi or 1Gi")?;
        match size(&text) {
            Some(bytes) => self.within(bytes, &range, &shown, |bytes| show_size(*bytes)),
            None => self.wrong_value(&shown, "is no size such as 64Ki, 256Mi or 1Gi"),
        }
    }

    pub(super) fn duration(&self, range: RangeInclusive<Duration>) -> Option<Duration> {
        let (text, shown) = self.scalar("a duration such as 500ms, 30s or 5m")?;
        match parse_duration(&text) {
            Ok(duration) => self.within(duration, &range, &shown, |duration| show_duration(*duration)),
            Err(_) => self.wrong_value(&shown, "is no duration such as 500ms, 30s or 5m"),
        }
    }

    pub(super) fn millicores(&self, range: RangeInclusive<u32>) -> Option<u32> {
        let (text, shown) = self.scalar("a share of a CPU such as 500m or 0.5")?;
        match millicores(&text) {
            Some(share) => self.within(share, &range, &shown, |share| format!("{share}m")),
            None => self.wrong_value(&shown, "is no share of a CPU such as 500m or 0.5"),
        }
    }

    /// A number or a text, as it is and as it is shown.
    fn scalar(&self, wanted: &str) -> Option<(String, String)> {
        match &self.node.value {
            Value::Number(number) => Some((number.to_string(), number.to_string())),
            Value::Text(text) => Some((text.clone(), quoted(text))),
            _ => self.wrong_kind(wanted),
        }
    }

    fn wrong_value<T>(&self, shown: &str, why: &str) -> Option<T> {
        self.wrong(format!("{shown} {why}"));
        None
    }

    fn within<T: PartialOrd>(
        &self,
        value: T,
        range: &RangeInclusive<T>,
        shown: &str,
        show: impl Fn(&T) -> String,
    ) -> Option<T> {
        if &value < range.start() {
            return self.wrong_value(shown, &format!("is too small: at least {}", show(range.start())));
        }
        if &value > range.end() {
            return self.wrong_value(shown, &format!("is too large: at most {}", show(range.end())));
        }
        Some(value)
    }

    /// The path of a file that is there and may be read. It is not repeated in the message: a secret may have been written in its place.
    pub(super) fn file(&self) -> Option<PathBuf> {
        let path = PathBuf::from(self.text()?);
        let opened = std::fs::metadata(&path).and_then(|metadata| {
            // Opening a pipe would wait for who writes into it.
            if metadata.is_file() {
                std::fs::File::open(&path).map(drop)
            } else {
                Err(std::io::ErrorKind::InvalidInput.into())
            }
        });
        match opened {
            Ok(()) => Some(path),
            Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => {
                self.wrong("must be the path of a regular file");
                None
            }
            Err(error) => {
                self.wrong(format!("this file cannot be read: {error}"));
                None
            }
        }
    }
}
