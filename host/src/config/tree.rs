//! YAML as a tree that knows where each part of it was written.
//!
//! In: text. Out: a [`Node`], or the one place where the text stops being YAML. Invariant: every node and every key has its position; a
//! scalar is what YAML 1.2 says it is, so a quoted number is text and `no` is text, too. Nothing is read into the values here.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;
use serde_saphyr::options::DuplicateKeyPolicy;
use serde_saphyr::{Location, Spanned};

/// Reading recurses; a file that is nested without end would take the stack.
const MAX_DEPTH: usize = 32;

/// A place in the file, both counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub line: u64,
    pub column: u64,
}

/// A value and where it begins. For a value that was taken over by an alias or a merge key: where it was written.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub at: Position,
    pub value: Value,
}

/// What there is in YAML.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    Flag(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    /// In the order of the file, repeated keys included.
    Map(Vec<Entry>),
}

/// One line of a mapping.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub key: String,
    pub at: Position,
    pub node: Node,
}

/// Where and why the text is not YAML.
#[derive(Debug)]
pub(crate) struct SyntaxError {
    pub at: Option<Position>,
    pub text: String,
}

/// Reads one document. One without content is null.
pub(crate) fn parse(text: &str) -> Result<Node, SyntaxError> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_depth: MAX_DEPTH },
        // A repeated key is one mistake among others, not the end of reading.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        strict_booleans: true,
        // As in YAML 1.2: identifiers that look like numbers keep their digits.
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        // A snippet of the file could show what somebody wrote into it by mistake, such as a password.
        with_snippet: false,
    };
    let root: Spanned<Value> = serde_saphyr::from_str_with_options(text, options).map_err(|error| SyntaxError {
        at: error.location().and_then(position),
        text: without_place(&error.without_snippet().to_string()),
    })?;
    Ok(Node::from(root))
}

/// Unknown for what serde buffers on the way, which nothing here does.
fn position(location: Location) -> Option<Position> {
    (location.line() > 0).then(|| Position { line: location.line(), column: location.column() })
}

/// The message without the place, which is told in front of it.
fn without_place(text: &str) -> String {
    let text = text.rsplit_once(" at line ").map_or(text, |(message, _)| message);
    match text {
        // The parser's advice is for who writes programs.
        text if text.starts_with("multiple YAML documents") => "more than one YAML document in the file".to_owned(),
        text if text.starts_with("recursive references") => "an alias stands for something that holds it".to_owned(),
        text if text.starts_with("cannot deserialize null into string") => "a key must be a text".to_owned(),
        text if text.starts_with("expected string scalar") => "a key must be a text".to_owned(),
        text => text.to_owned(),
    }
}

impl Node {
    /// What it is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Flag(_) => "true or false",
            Value::Number(_) => "a number",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// The same as JSON. Of a repeated key the first counts.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Flag(flag) => (*flag).into(),
            Value::Number(number) => number.clone().into(),
            Value::Text(text) => text.as_str().into(),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(entries) => {
                let pairs = entries.iter().rev().map(|entry| (entry.key.clone(), entry.node.to_json()));
                serde_json::Value::Object(pairs.collect())
            }
        }
    }

    /// The entry of that key, if this is a mapping.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }
}

impl From<Spanned<Value>> for Node {
    fn from(spanned: Spanned<Value>) -> Self {
        let at = position(spanned.defined).unwrap_or(Position { line: 1, column: 1 });
        Self { at, value: spanned.value }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Flag(flag))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        // Infinity and NaN are refused by the parser already; JSON has neither.
        Ok(Number::from_f64(number).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = vec![];
        while let Some(item) = items.next_element::<Spanned<Value>>()? {
            list.push(Node::from(item));
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut entries = vec![];
        while let Some(key) = items.next_key::<Spanned<String>>()? {
            let node = Node::from(items.next_value::<Spanned<Value>>()?);
            let at = position(key.defined).unwrap_or(node.at);
            entries.push(Entry { key: key.value, at, node });
        }
        Ok(Value::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(node: &Node, path: &[&str]) -> (u64, u64) {
        let node = path.iter().fold(node, |node, key| &node.entry(key).unwrap().node);
        (node.at.line, node.at.column)
    }

    #[test]
    fn every_value_knows_its_place() {
        let tree = parse("a:\n  b: 1\n  list: [x, {c: y}]\n# ä\n\"d\": {e: 'ü', f: z}\n").unwrap();
        assert_eq!(at(&tree, &["a", "b"]), (2, 6));
        assert_eq!(at(&tree, &["d", "f"]), (5, 18));
        let Value::List(items) = &tree.entry("a").unwrap().node.entry("list").unwrap().node.value else { panic!() };
        assert_eq!(at(&items[1], &["c"]), (3, 17));
        let key = tree.entry("d").unwrap().at;
        assert_eq!((key.line, key.column), (5, 1));
    }

    #[test]
    fn what_an_alias_stands_for_is_where_it_was_written() {
        let tree = parse("x: &x {t: soon}\ny: *x\nz: {<<: *x, u: 1}\n").unwrap();
        assert_eq!(at(&tree, &["y", "t"]), (1, 11));
        assert_eq!(at(&tree, &["z", "t"]), (1, 11));
    }

    #[test]
    fn scalars_are_what_yaml_says() {
        let tree = parse("[8080, \"8080\", no, true, ~, 0.5, -1, 010, 2026-01-01, 'true']").unwrap();
        let json = serde_json::json!([8080, "8080", "no", true, null, 0.5, -1, "010", "2026-01-01", "true"]);
        assert_eq!(tree.to_json(), json);
    }

    #[test]
    fn of_a_repeated_key_the_first_counts_and_all_are_there() {
        let tree = parse("a: 1\na: 2\n").unwrap();
        assert_eq!(tree.to_json(), serde_json::json!({"a": 1}));
        assert!(matches!(&tree.value, Value::Map(entries) if entries.len() == 2));
    }

    #[test]
    fn text_that_is_no_yaml_is_told_once_with_its_place() {
        for (text, line, column, message) in [
            ("a: [1\nb: 2", 2, 2, "':'"),
            ("a: b\n---\nc: d\n", 3, 1, "more than one YAML document"),
            ("~: 1\n", 1, 1, "a key must be a text"),
            ("? [a]\n: 1\n", 1, 3, "a key must be a text"),
            ("a: *b\n", 1, 4, "unknown anchor"),
            ("a: .nan\n", 1, 4, "non-finite"),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.at, Some(Position { line, column }), "{text}");
            assert!(error.text.contains(message) && !error.text.contains(" at line "), "{text}: {}", error.text);
        }
    }

    #[test]
    fn a_document_without_content_is_null() {
        for text in ["", "# only this\n", "---\n", "\n\n"] {
            assert!(matches!(parse(text).unwrap().value, Value::Null), "{text:?}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let deep: String = (0..3000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
        assert!(parse(&deep).is_err() && parse(&"[".repeat(5000)).is_err());
    }
}
