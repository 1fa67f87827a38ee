//! `pluglet.yaml`, and the flags that stand for parts of it.
//!
//! In: the file, `--endpoint` flags, the JSON Schema of the provider's configuration. Out: [`Config`]. Invariant: all mistakes are told at once,
//! each with its place, before anything is started; no message holds a secret.
//!
//! | module | what |
//! |---|---|
//! | `tree` | YAML with positions |
//! | `fields` | a typed reader that goes on after a mistake |
//! | `report` | the mistakes |
//! | `endpoint`, `auth`, `tls` | a grant |
//! | `containers` | what pods may have of the machine |
//! | `limits`, `quantity` | what the provider may use up |
//! | `schema` | the provider's own section |
//!
//! `deploy/README.md` has all fields.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use pluglet_egress::{Grant, Target};
use pluglet_rules::grants::Grants;
use pluglet_wasm::Limits;

mod auth;
mod containers;
mod endpoint;
mod fields;
mod limits;
pub(crate) mod quantity;
mod report;
mod schema;
mod tls;
mod tree;

pub(crate) use endpoint::is_name as is_endpoint_name;
use fields::{Field, Fields};
pub(crate) use report::{Mistakes, nearest};
use report::{Place, Report, child, quoted};
use tree::{Node, Position, Value};

/// Looks up a variable of the environment.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What the operator decided about a provider.
#[derive(Debug)]
pub(crate) struct Config {
    /// For the provider, as JSON.
    pub config_json: String,
    /// By the endpoint's name.
    pub grants: BTreeMap<String, Grant>,
    /// What pods may have of the machine that their containers run on.
    pub containers: Grants,
    /// When images that nobody needs are removed. None: never.
    pub images: Option<ImageLimits>,
    pub limits: Limits,
}

/// How many bytes of images an engine may have: above `high` they are removed until there are no more than `low`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ImageLimits {
    pub high: u64,
    pub low: u64,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{0}")]
    Mistakes(Mistakes),
}

/// Largest file. It is for people to write; a device in its place would be read for ever.
const MAX_BYTES: u64 = 4 << 20;

fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(std::io::Error::new(
            std::io::ErrorKind::FileTooLarge,
            format!("it has more than {MAX_BYTES} bytes"),
        ));
    }
    Ok(text)
}

/// The file, read but not understood yet.
#[derive(Debug)]
pub(crate) struct Document {
    file: Option<PathBuf>,
    root: Node,
    report: Report,
}

impl Document {
    /// Reads the file; without one everything has its default and flags name all endpoints.
    pub(crate) fn open(file: Option<&Path>) -> Result<Self, Error> {
        let text = match file {
            Some(path) => read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?,
            None => String::new(),
        };
        Ok(Self::parse(&text, file))
    }

    fn parse(text: &str, file: Option<&Path>) -> Self {
        let report = Report::default();
        let root = tree::parse(text).unwrap_or_else(|error| {
            report.add(Place::File(error.at, String::new()), error.text);
            Node { at: Position { line: 1, column: 1 }, value: Value::Null }
        });
        Self { file: file.map(Path::to_owned), root, report }
    }

    /// How large a component may be: known before its schema is, with which the rest is read. The default if what is written is wrong.
    pub(crate) fn component_bytes(&self) -> u64 {
        let elsewhere = Report::default();
        let limits = self.root.entry("limits").map(|entry| Field::of("", entry, &elsewhere));
        limits::read(limits).component_bytes
    }

    /// All that is in it and in `flags`, which are `NAME=URL`. With a `schema` the provider's section is checked, too.
    pub(crate) fn read(self, flags: &[String], schema: Option<&serde_json::Value>) -> Result<Config, Error> {
        let environment = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        self.read_in(flags, schema, &environment).map_err(Error::Mistakes)
    }

    fn read_in(
        self,
        flags: &[String],
        schema: Option<&serde_json::Value>,
        environment: Environment<'_>,
    ) -> Result<Config, Mistakes> {
        let Self { file, root, report } = self;
        // Of a text that is no YAML nothing else can be said.
        let schema = schema.filter(|_| report.len() == 0);
        repeated(&root, "", &report);
        let whole = Field { path: String::new(), at: root.at, node: &root, report: &report };
        let understood = whole.fields().map(|fields| understand(fields, flags, environment));
        let section = root.entry("config");
        if let Some(schema) = schema.filter(|_| understood.is_some()) {
            schema::check(schema, section, &report);
        }
        let config_json = section.map_or_else(|| "{}".to_owned(), |entry| schema::json(&entry.node).to_string());
        report.finish(file.as_deref())?;
        let (grants, (containers, images), limits) = understood.unwrap_or_default();
        Ok(Config { config_json, grants, containers, images, limits })
    }
}

/// Everything but the provider's own section.
fn understand(
    mut fields: Fields<'_>,
    flags: &[String],
    environment: Environment<'_>,
) -> (BTreeMap<String, Grant>, (Grants, Option<ImageLimits>), Limits) {
    fields.take("config");
    let endpoints = fields.take("endpoints").and_then(|field| field.fields()).map(Fields::all).unwrap_or_default();
    let limits = limits::read(fields.take("limits"));
    let containers = containers::read(fields.take("containers"));
    let answer_room = limits.outbound.body_bytes;
    let report = fields.report;
    fields.finish();
    let mut grants = BTreeMap::new();
    for (name, field) in &endpoints {
        if !endpoint::is_name(name) {
            report.wrong(field.at, &field.path, "is no name of an endpoint: letters, digits, `-`, `_` and `.`");
        }
        if let Some(grant) = endpoint::read(field, answer_room, environment) {
            grants.entry((*name).to_owned()).or_insert(grant);
        }
    }
    let names: Vec<&str> = endpoints.iter().map(|(name, _)| *name).collect();
    from_flags(flags, &names, answer_room, &mut grants, report);
    (grants, containers, limits)
}

/// The endpoints of `--endpoint NAME=URL`. A URL is never repeated: it may hold a password.
fn from_flags(
    flags: &[String],
    in_file: &[&str],
    answer_room: usize,
    grants: &mut BTreeMap<String, Grant>,
    report: &Report,
) {
    let mut seen: Vec<&str> = vec![];
    for flag in flags {
        let Some((name, url)) = flag.split_once('=').filter(|(name, _)| endpoint::is_name(name)) else {
            report.add(Place::Flag("--endpoint".to_owned()), "must have the form NAME=URL");
            continue;
        };
        let wrong = |text: String| report.add(Place::Flag(format!("--endpoint {name}")), text);
        if seen.contains(&name) {
            wrong("is given twice".to_owned());
        }
        if in_file.contains(&name) {
            wrong("is in the file, too: the endpoint can be in one of them only".to_owned());
        }
        seen.push(name);
        match Target::base(url) {
            Ok(target) => {
                let mut grant = Grant::new(target);
                grant.limits.max_response_bytes = grant.limits.max_response_bytes.min(answer_room);
                grants.insert(name.to_owned(), grant);
            }
            Err(error) => wrong(error.to_string()),
        }
    }
}

/// Keys that are in one mapping twice, anywhere in the file. Somebody reads one of them and is wrong.
fn repeated(node: &Node, path: &str, report: &Report) {
    match &node.value {
        Value::Map(entries) => {
            let mut seen: BTreeMap<&str, Position> = BTreeMap::new();
            for entry in entries {
                let path = child(path, &entry.key);
                if let Some(first) = seen.get(entry.key.as_str()) {
                    let text = format!("{} is there twice, first in line {}", quoted(&entry.key), first.line);
                    report.wrong(entry.at, &path, text);
                } else {
                    seen.insert(&entry.key, entry.at);
                    repeated(&entry.node, &path, report);
                }
            }
        }
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                repeated(item, &format!("{path}[{index}]"), report);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
