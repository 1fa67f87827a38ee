//! Whether the `config:` section is what the provider's manifest says it has to be.
//!
//! In: the section, the manifest's JSON Schema. Out: lines in the [`Report`]. Invariant: the schema is a stranger's: it is never resolved over
//! the network or from files, its patterns are matched in linear time, and it has seconds. Values are not repeated: a secret may
//! be among them.

use std::sync::mpsc;
use std::time::Duration;

use jsonschema::error::ValidationErrorKind;
use jsonschema::paths::LocationSegment;
use jsonschema::{PatternOptions, ValidationError};
use serde_json::Value as Json;

use super::report::{Place, Report, child, nearest};
use super::tree::{Entry, Node, Position, Value};

/// A schema can be made to take for ever on a small document (nested alternatives). A real one takes milliseconds.
const TIME: Duration = Duration::from_secs(5);

/// A schema of this many bytes describes more than anybody configures; a larger one is an attempt to fill the memory.
const MAX_BYTES: usize = 1 << 20;

/// Mistakes of the section that are told. A list of a thousand wrong items has one cause.
const MAX_MISTAKES: usize = 20;

/// One violation: where in the section, and what.
struct Violation {
    path: Vec<Step>,
    what: What,
}

enum Step {
    Key(String),
    Index(usize),
}

enum What {
    /// Keys that must not be there.
    Unexpected(Vec<String>),
    /// A key that is not there.
    Missing(String),
    Other(String),
}

/// Checks the section; `None` stands for a file without one, which the provider gets as `{}`.
pub(super) fn check(schema: &Json, section: Option<&Entry>, report: &Report) {
    let instance = section.map_or_else(|| Json::Object(serde_json::Map::default()), |entry| json(&entry.node));
    let unplaced = |text: String| match section {
        Some(entry) => report.wrong(entry.at, "config", text),
        None => report.add(Place::File(None, "config".to_owned()), text),
    };
    match within_time(schema.clone(), instance) {
        Err(why) => unplaced(format!("cannot be checked, because the provider's schema {why}")),
        Ok(violations) => {
            for violation in violations {
                place(schema, section, &violation, report);
            }
        }
    }
}

/// The section as the provider gets it: nothing is an empty mapping.
pub(super) fn json(node: &Node) -> Json {
    if matches!(node.value, Value::Null) { Json::Object(serde_json::Map::default()) } else { node.to_json() }
}

/// On a thread of its own, which is left behind when it takes too long: the process ends soon after.
fn within_time(schema: Json, instance: Json) -> Result<Vec<Violation>, String> {
    if schema.to_string().len() > MAX_BYTES {
        return Err(format!("is larger than {MAX_BYTES} bytes"));
    }
    let (sender, outcome) = mpsc::sync_channel(1);
    std::thread::Builder::new()
        .name("schema".to_owned())
        .stack_size(16 << 20)
        .spawn(move || sender.send(violations(&schema, &instance)).ok())
        .map_err(|error| format!("got no thread: {error}"))?;
    outcome.recv_timeout(TIME).map_err(|_| format!("takes more than {} s or crashes the check", TIME.as_secs()))?
}

fn violations(schema: &Json, instance: &Json) -> Result<Vec<Violation>, String> {
    let validator = jsonschema::options()
        .with_pattern_options(PatternOptions::regex())
        .build(schema)
        .map_err(|error| format!("is not usable: {error}"))?;
    Ok(validator.iter_errors(instance).take(MAX_MISTAKES).map(|error| Violation::of(&error)).collect())
}

impl Violation {
    fn of(error: &ValidationError<'_>) -> Self {
        let step = |segment: LocationSegment<'_>| match segment {
            LocationSegment::Property(key) => Step::Key(key.to_string()),
            LocationSegment::Index(index) => Step::Index(index),
        };
        let what = match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected }
            | ValidationErrorKind::UnevaluatedProperties { unexpected } => What::Unexpected(unexpected.clone()),
            ValidationErrorKind::Required { property } => {
                What::Missing(property.as_str().map_or_else(|| property.to_string(), str::to_owned))
            }
            _ => What::Other(error.masked_with("the value").to_string()),
        };
        Self { path: error.instance_path().into_iter().map(step).collect(), what }
    }
}

/// Find the violation's place in the file and put it down.
fn place(schema: &Json, section: Option<&Entry>, violation: &Violation, report: &Report) {
    let mut path = "config".to_owned();
    let mut key = section.map(|entry| entry.at);
    let mut node = section.map(|entry| &entry.node);
    for step in &violation.path {
        match step {
            Step::Key(name) => {
                let entry = node.and_then(|node| node.entry(name));
                path = child(&path, name);
                key = entry.map(|entry| entry.at);
                node = entry.map(|entry| &entry.node);
            }
            Step::Index(index) => {
                path = format!("{path}[{index}]");
                node = node.and_then(|node| match &node.value {
                    Value::List(items) => items.get(*index),
                    _ => None,
                });
                key = node.map(|node| node.at);
            }
        }
    }
    let put = |at: Option<Position>, path: String, text: String| report.add(Place::File(at, path), text);
    match &violation.what {
        What::Missing(name) => put(key, path, format!("`{name}` is missing")),
        What::Other(text) => put(node.map(|node| node.at), path, text.clone()),
        What::Unexpected(names) => {
            for name in names {
                let at = node.and_then(|node| node.entry(name)).map(|entry| entry.at);
                put(at, child(&path, name), unexpected(schema, violation, name));
            }
        }
    }
}

fn unexpected(schema: &Json, violation: &Violation, name: &str) -> String {
    // Known names are looked up only where the path through the schema is plain.
    let mut at = Some(schema);
    for step in &violation.path {
        at = at.and_then(|schema| match step {
            Step::Key(key) => schema.get("properties")?.get(key),
            Step::Index(_) => schema.get("items"),
        });
    }
    let known: Vec<&str> = at
        .and_then(|schema| schema.get("properties")?.as_object())
        .map(|properties| properties.keys().map(String::as_str).collect())
        .unwrap_or_default();
    match nearest(name, known.iter().copied()) {
        Some(meant) => format!("unknown field; did you mean `{meant}`?"),
        None if known.is_empty() => "unknown field".to_owned(),
        None => format!("unknown field; there are {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests;
