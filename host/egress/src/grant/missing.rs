//! What a provider needs and nobody granted, with the YAML that would.
//!
//! In: a need, and the grant of that name if there is one. Out: [`Missing`]. Invariant: pasting the snippet into `pluglet.yaml` (with a
//! real URL in place of the dots) removes the error. Pure.

use std::fmt;

use http::Method;

use super::{Grant, Need, reaches};
use crate::error::quoted;

/// One endpoint that is not granted as the manifest needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The endpoint.
    pub endpoint: String,
    /// What it is for, as the manifest says.
    pub why: String,
    /// What is missing, each as a phrase. Empty when the whole endpoint is.
    pub lacking: Vec<String>,
    /// YAML to paste.
    pub snippet: String,
}

impl Missing {
    /// The whole endpoint is.
    pub(super) fn endpoint(need: &Need) -> Self {
        let mut snippet = format!("endpoints:\n  {}:\n    url: https://…\n", need.name);
        if need.websocket {
            snippet.push_str("    websocket: true\n");
        }
        if need.upgrade {
            snippet.push_str("    upgrade: true\n");
        }
        Self { endpoint: need.name.clone(), why: need.why.clone(), lacking: Vec::new(), snippet }
    }

    /// Parts of it are; None when nothing is.
    pub(super) fn rights(need: &Need, grant: &Grant) -> Option<Self> {
        let mut lacking = Vec::new();
        let mut fields = String::new();
        let refused: Vec<&str> = need.methods.iter().map(String::as_str).filter(|name| !granted(grant, name)).collect();
        if !refused.is_empty() {
            lacking.push(format!("the methods {}", refused.join(", ")));
            fields.push_str(&format!("    methods: [{}]\n", need.methods.join(", ")));
        }
        let unreachable: Vec<&str> =
            need.paths.iter().map(String::as_str).filter(|pattern| !reaches(grant, pattern)).collect();
        if !unreachable.is_empty() {
            lacking.push(format!("the paths {}", unreachable.join(", ")));
            let mut prefixes = grant.path_prefixes.clone();
            prefixes.extend(unreachable.iter().map(|pattern| literal_prefix(pattern)));
            fields.push_str(&format!("    pathPrefixes: [{}]\n", prefixes.join(", ")));
        }
        for (needed, granted, name) in
            [(need.websocket, grant.websocket, "websocket"), (need.upgrade, grant.upgrade, "upgrade")]
        {
            if needed && !granted {
                lacking.push(name.to_owned());
                fields.push_str(&format!("    {name}: true\n"));
            }
        }
        if lacking.is_empty() || need.optional {
            return None;
        }
        let snippet = format!("endpoints:\n  {}:\n{fields}", need.name);
        Some(Self { endpoint: need.name.clone(), why: need.why.clone(), lacking, snippet })
    }
}

fn granted(grant: &Grant, method: &str) -> bool {
    grant.methods.as_ref().is_none_or(|methods| methods.iter().map(Method::as_str).any(|granted| granted == method))
}

/// The part of a pattern before its first wildcard.
fn literal_prefix(pattern: &str) -> String {
    let kept: Vec<&str> = pattern.split('/').take_while(|segment| !segment.contains('*')).collect();
    match kept.join("/") {
        prefix if prefix.is_empty() => "/".to_owned(),
        prefix => prefix,
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { endpoint, why, lacking, snippet } = self;
        write!(f, "the provider needs the endpoint \"{endpoint}\"")?;
        if !why.is_empty() {
            write!(f, " ({})", quoted(why))?;
        }
        if lacking.is_empty() {
            f.write_str(", which is not granted")?;
        } else {
            write!(f, " with {}, which it is not granted", lacking.join(" and "))?;
        }
        write!(f, "; to grant it, write\n{snippet}")
    }
}
