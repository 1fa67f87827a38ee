//! `pluglet.yaml`.
//!
//! In: the file. Out: [`Config`]. Invariant: an unknown or wrong field is one error with its line, before anything is started; all wrong
//! endpoints are told at once.
//!
//! ```yaml
//! config:            # handed to the provider as it is
//!   region: west
//! endpoints:         # the only addresses that the provider can reach, by name
//!   backend:
//!     url: https://backend.example.com/v1
//!     caFile: /etc/pluglet/ca.crt
//!     timeout: 30s
//! limits:
//!   memory: 256Mi
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pluglet_wasm::{Endpoint, Limits};
use serde::Deserialize;

use crate::args::parse_duration;

/// What the operator decided about a provider.
#[derive(Debug)]
pub(crate) struct Config {
    /// For the provider, as JSON.
    pub provider_config: String,
    pub endpoints: BTreeMap<String, Endpoint>,
    pub limits: Limits,
}

/// Why the file is not usable.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{} is not valid", path.display())]
    Parse {
        path: PathBuf,
        #[source]
        source: Box<serde_saphyr::Error>,
    },
    #[error("{} has {} wrong value(s):\n  {}", path.display(), mistakes.len(), mistakes.join("\n  "))]
    Values { path: PathBuf, mistakes: Vec<String> },
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    config: Option<serde_json::Value>,
    #[serde(default)]
    endpoints: BTreeMap<String, EndpointFile>,
    #[serde(default)]
    limits: LimitsFile,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct EndpointFile {
    url: String,
    ca_file: Option<PathBuf>,
    timeout: Option<String>,
    max_response: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct LimitsFile {
    memory: Option<String>,
    concurrency: Option<usize>,
    cpu_stall: Option<String>,
    kv: Option<String>,
}

/// Reads the file; without one, everything has its default and no endpoint exists.
pub(crate) fn load(path: Option<&Path>) -> Result<Config, Error> {
    let Some(path) = path else {
        return translate(File::default()).map_err(|mistakes| values(Path::new(""), mistakes));
    };
    let text = std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let file = parse(&text).map_err(|source| Error::Parse { path: path.to_owned(), source: Box::new(source) })?;
    translate(file).map_err(|mistakes| values(path, mistakes))
}

fn values(path: &Path, mistakes: Vec<String>) -> Error {
    Error::Values { path: path.to_owned(), mistakes }
}

fn parse(text: &str) -> Result<File, serde_saphyr::Error> {
    // An empty file, or one of comments only, is a file without settings.
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(File::default());
    }
    serde_saphyr::from_str(text)
}

fn translate(file: File) -> Result<Config, Vec<String>> {
    let mut mistakes = vec![];
    let mut endpoints = BTreeMap::new();
    for (name, given) in file.endpoints {
        match endpoint(&given) {
            Ok(endpoint) => drop(endpoints.insert(name, endpoint)),
            Err(mistake) => mistakes.push(format!("endpoints.{name}.{mistake}")),
        }
    }
    let limits = limits(&file.limits, &mut mistakes);
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    let config = file.config.unwrap_or_else(|| serde_json::json!({}));
    Ok(Config { provider_config: config.to_string(), endpoints, limits })
}

fn endpoint(given: &EndpointFile) -> Result<Endpoint, String> {
    let mut endpoint = Endpoint::new(&given.url).map_err(|error| format!("url: {error}"))?;
    endpoint.ca_file.clone_from(&given.ca_file);
    if let Some(timeout) = &given.timeout {
        endpoint.timeout = parse_duration(timeout).map_err(|error| format!("timeout: {error}"))?;
    }
    if let Some(size) = &given.max_response {
        endpoint.max_response_bytes = bytes(size).map_err(|error| format!("maxResponse: {error}"))?;
    }
    Ok(endpoint)
}

fn limits(given: &LimitsFile, mistakes: &mut Vec<String>) -> Limits {
    let mut limits = Limits::default();
    let mut size = |name: &str, given: &Option<String>, into: &mut usize| match given.as_deref().map(bytes) {
        Some(Ok(value)) => *into = value,
        Some(Err(mistake)) => mistakes.push(format!("limits.{name}: {mistake}")),
        None => {}
    };
    size("memory", &given.memory, &mut limits.memory_bytes);
    size("kv", &given.kv, &mut limits.kv_bytes);
    match given.cpu_stall.as_deref().map(parse_duration) {
        Some(Ok(stall)) if stall >= Duration::from_millis(100) => limits.cpu_stall = stall,
        Some(Ok(_)) => mistakes.push("limits.cpuStall: less than 100ms would stop providers at work".to_owned()),
        Some(Err(mistake)) => mistakes.push(format!("limits.cpuStall: {mistake}")),
        None => {}
    }
    match given.concurrency {
        Some(calls @ 1..=4096) => limits.concurrency = calls,
        Some(_) => mistakes.push("limits.concurrency: must be 1 to 4096".to_owned()),
        None => {}
    }
    limits
}

/// Sizes as Kubernetes writes memory: 512, 64Ki, 256Mi, 1Gi.
fn bytes(text: &str) -> Result<usize, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor: usize = match unit {
        "" => 1,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        _ => return Err(format!("{text:?} is no size such as 64Ki, 256Mi or 1Gi")),
    };
    let number: usize = number.parse().map_err(|_| format!("{text:?} is no size such as 64Ki, 256Mi or 1Gi"))?;
    number.checked_mul(factor).ok_or_else(|| format!("{text:?} is too large"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wrong_value_is_told_at_once() {
        let file = parse(
            "endpoints:\n  a:\n    url: ftp://x\n  b:\n    url: http://localhost:1\n    timeout: soon\nlimits:\n  memory: many\n",
        )
        .unwrap();
        let mistakes = translate(file).unwrap_err();
        assert_eq!(mistakes.len(), 3, "{mistakes:?}");
        assert!(mistakes[0].starts_with("endpoints.a.url"));
        assert!(mistakes[1].starts_with("endpoints.b.timeout"));
        assert!(mistakes[2].starts_with("limits.memory"));
    }

    #[test]
    fn an_unknown_field_is_named_with_its_line() {
        let error = parse("endpoints:\n  a:\n    url: http://localhost:1\n    ulr: x\n").unwrap_err().to_string();
        assert!(error.contains("ulr") && error.contains("line 4"), "{error}");
    }

    #[test]
    fn the_provider_gets_its_section_as_json() {
        let config = translate(parse("config:\n  cpu: \"4\"\n  list: [1, 2]\n").unwrap()).unwrap();
        assert_eq!(config.provider_config, r#"{"cpu":"4","list":[1,2]}"#);
        assert_eq!(translate(parse("# nothing\n").unwrap()).unwrap().provider_config, "{}");
    }

    #[test]
    fn sizes_read_as_kubernetes_writes_memory() {
        assert_eq!(bytes("256Mi"), Ok(256 << 20));
        assert!(bytes("1GB").is_err());
        assert!(bytes("99999999999Gi").is_err());
    }
}
