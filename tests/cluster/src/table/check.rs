//! One expectation of a row, and what is to be said when it does not hold.
//!
//! In: what was seen of a pod. Out: a [`Complaint`], or none. Invariant: pure; an order that Kubernetes does not promise is not looked at.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::core::v1::{Event, Pod};
use serde_json::{Value, json};

use crate::reveal::{claims, file_text, files, lifetime};

/// Variables of the Service `kubernetes` begin so. Every container has them.
const MASTER_SERVICE: &str = "KUBERNETES_";

/// What is expected.
pub(super) enum Check {
    Api { at: &'static str, is: Value },
    ApiSays { at: &'static str, part: &'static str },
    Condition { type_: &'static str, status: &'static str, reason: &'static str },
    Held { container: &'static str, at: &'static str, is: Value },
    Env { container: &'static str, is: Vec<(&'static str, &'static str)> },
    EnvHas { container: &'static str, has: Vec<(&'static str, &'static str)> },
    EnvLacks { container: &'static str, prefix: &'static str },
    Files { volume: &'static str, is: Value },
    File { volume: &'static str, path: &'static str, mode: &'static str, text: &'static str, whole: bool },
    NoFiles { volume: &'static str },
    Token { volume: &'static str, path: &'static str, is: Value },
    Event { reason: &'static str, part: String },
}

/// Everything that was seen of a pod.
pub(super) struct Seen {
    pub(super) pod: Value,
    /// Reason and message.
    pub(super) events: Vec<(String, String)>,
    /// What the provider holds, by container.
    pub(super) held: BTreeMap<String, Result<Value, String>>,
    names: [(&'static str, String); 3],
}

/// What does not hold.
pub(super) struct Complaint {
    what: String,
    expected: String,
    seen: String,
}

impl Complaint {
    pub(super) fn no_pod(name: &str) -> Self {
        Self { what: "the pod".to_owned(), expected: format!("a pod {name}"), seen: "none".to_owned() }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n    expected: {}\n    seen:     {}", self.what, self.expected, self.seen)
    }
}

/// Reason and message of an event.
pub(super) fn told(event: &Event) -> (String, String) {
    (event.reason.clone().unwrap_or_default(), event.message.clone().unwrap_or_default())
}

impl Seen {
    /// What the API shows, and nothing else yet.
    pub(super) fn api(namespace: &str, node: &str, pod: &Pod) -> Self {
        let names =
            [("{namespace}", namespace.to_owned()), ("{node}", node.to_owned()), ("{uid}", crate::uid(pod).to_owned())];
        let pod = serde_json::to_value(pod).unwrap_or_default();
        Self { pod, events: vec![], held: BTreeMap::new(), names }
    }

    /// The expectation with what nobody could know before put in.
    fn fill(&self, expected: &Value) -> Value {
        match expected {
            Value::String(text) => Value::String(self.fill_text(text)),
            Value::Array(all) => all.iter().map(|one| self.fill(one)).collect(),
            Value::Object(all) => all.iter().map(|(key, one)| (key.clone(), self.fill(one))).collect(),
            other => other.clone(),
        }
    }

    fn fill_text(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
    }

    fn held(&self, container: &str) -> Result<&Value, String> {
        match self.held.get(container) {
            Some(held) => held.as_ref().map_err(Clone::clone),
            None => Err(format!("nothing was read of container {container}")),
        }
    }

    fn variables(&self, container: &str) -> Result<Vec<(String, String)>, String> {
        let env = self.held(container)?.get("env").and_then(Value::as_array).ok_or("no env")?;
        let text = |variable: &Value, field: &str| match variable.get(field) {
            Some(Value::String(text)) => text.clone(),
            other => format!("{other:?}"),
        };
        let mut all: Vec<_> = env.iter().map(|one| (text(one, "name"), text(one, "value"))).collect();
        all.sort();
        Ok(all)
    }

    fn files(&self, volume: &str) -> Result<Value, String> {
        let found = files(self.held("main")?, volume).and_then(Value::as_array);
        let mut all = found.ok_or_else(|| format!("no volume {volume}"))?.clone();
        sort_by_path(&mut all);
        Ok(Value::Array(all))
    }

    fn token(&self, volume: &str, path: &str) -> Result<Value, String> {
        let text = file_text(self.held("main")?, volume, path).ok_or_else(|| format!("no file {path} in {volume}"))?;
        let claims = claims(text).map_err(|error| format!("{error:#}"))?;
        let own = |at: &str| claims.pointer(&format!("/kubernetes.io/{at}")).cloned().unwrap_or_default();
        let mut told = json!({
            "aud": claims.get("aud"), "lifetime": lifetime(&claims), "namespace": own("namespace"),
            "serviceAccount": own("serviceaccount/name"), "pod": own("pod/name"), "podUid": own("pod/uid"),
        });
        let issued = claims.get("iat").and_then(Value::as_i64);
        if let (Some(told), Some(warn), Some(issued)) = (told.as_object_mut(), own("warnafter").as_i64(), issued) {
            told.insert("warnAfter".to_owned(), json!(warn - issued));
        }
        Ok(told)
    }
}

impl Check {
    /// Whether the API's pod alone decides it.
    pub(super) fn is_of_api(&self) -> bool {
        matches!(self, Self::Api { .. } | Self::ApiSays { .. } | Self::Condition { .. })
    }

    /// The container whose log it needs.
    pub(super) fn container(&self) -> Option<&'static str> {
        match self {
            Self::Held { container, .. }
            | Self::Env { container, .. }
            | Self::EnvHas { container, .. }
            | Self::EnvLacks { container, .. } => Some(container),
            Self::Files { .. } | Self::File { .. } | Self::NoFiles { .. } | Self::Token { .. } => Some("main"),
            Self::Api { .. } | Self::ApiSays { .. } | Self::Condition { .. } | Self::Event { .. } => None,
        }
    }

    /// What is to be said if it does not hold.
    pub(super) fn complaint(&self, seen: &Seen) -> Option<Complaint> {
        match self {
            Self::Api { at, is } => {
                let found = seen.pod.pointer(at).cloned().unwrap_or_default();
                equal(format!("the API at {at}"), &seen.fill(is), Ok(found))
            }
            Self::ApiSays { at, part } => {
                let (found, part) = (seen.pod.pointer(at), seen.fill_text(part));
                let holds = found.and_then(Value::as_str).is_some_and(|text| text.contains(&part));
                says(holds, format!("the API at {at}"), &part, format!("{found:?}"))
            }
            Self::Condition { type_, status, reason } => condition(seen, type_, status, reason),
            Self::Held { container, at, is } => {
                let found = seen.held(container).map(|held| held.pointer(at).cloned().unwrap_or_default());
                equal(format!("what the provider holds of {container} at {at}"), &seen.fill(is), found)
            }
            Self::Env { container, is } => {
                let mut expected = filled(seen, is);
                expected.sort();
                let found = seen.variables(container).map(|mut all| {
                    all.retain(|(name, _)| !name.starts_with(MASTER_SERVICE));
                    json!(all)
                });
                equal(format!("the environment of {container}"), &json!(expected), found)
            }
            Self::EnvHas { container, has } => {
                let expected = filled(seen, has);
                let found = seen.variables(container).map(|mut all| {
                    all.retain(|(name, _)| expected.iter().any(|(wanted, _)| wanted == name));
                    all.sort_by_key(|(name, _)| expected.iter().position(|(wanted, _)| wanted == name));
                    json!(all)
                });
                equal(format!("variables of {container}"), &json!(expected), found)
            }
            Self::EnvLacks { container, prefix } => {
                let found = seen.variables(container).map(|mut all| {
                    all.retain(|(name, _)| name.starts_with(prefix));
                    json!(all)
                });
                equal(format!("variables {prefix}* of {container}"), &json!([]), found)
            }
            Self::Files { volume, is } => {
                let mut expected = seen.fill(is);
                if let Some(all) = expected.as_array_mut() {
                    sort_by_path(all);
                }
                equal(format!("the files of volume {volume}"), &expected, seen.files(volume))
            }
            Self::File { volume, path, mode, text, whole } => file(seen, volume, path, (mode, text), *whole),
            Self::NoFiles { volume } => {
                let found = seen.held("main").map(|held| files(held, volume).cloned().unwrap_or_default());
                equal(format!("the files of volume {volume}"), &Value::Null, found)
            }
            Self::Token { volume, path, is } => {
                equal(format!("the token {path} of volume {volume}"), &seen.fill(is), seen.token(volume, path))
            }
            Self::Event { reason, part } => {
                let part = seen.fill_text(part);
                let holds = seen.events.iter().any(|(of, message)| of == reason && message.contains(&part));
                says(holds, format!("an event {reason}"), &part, format!("{:?}", seen.events))
            }
        }
    }
}

fn file(seen: &Seen, volume: &str, path: &str, wanted: (&str, &str), whole: bool) -> Option<Complaint> {
    let (mode, text) = (wanted.0, seen.fill_text(wanted.1));
    let found = seen.files(volume).map(|all| {
        let is_it = |file: &&Value| file.get("path").and_then(Value::as_str) == Some(path);
        all.as_array().and_then(|all| all.iter().find(is_it).cloned()).unwrap_or_default()
    });
    let holds = found.as_ref().is_ok_and(|file| {
        let has = file.get("text").and_then(Value::as_str).unwrap_or_default();
        let is_right = if whole { has == text } else { has.contains(&text) };
        is_right && file.get("mode").and_then(Value::as_str) == Some(mode)
    });
    let dots = if whole { "" } else { "…" };
    let expected = format!("{mode} {dots}{text}{dots}");
    let seen = found.map_or_else(|error| error, |file| file.to_string());
    (!holds).then(|| Complaint { what: format!("the file {path} of volume {volume}"), expected, seen })
}

fn condition(seen: &Seen, type_: &str, status: &str, reason: &str) -> Option<Complaint> {
    let all = seen.pod.pointer("/status/conditions").and_then(Value::as_array);
    let is_it = |one: &&Value| one.get("type").and_then(Value::as_str) == Some(type_);
    let field = |name: &str| {
        let found = all.and_then(|all| all.iter().find(is_it)).and_then(|one| one.get(name)).and_then(Value::as_str);
        found.unwrap_or_default().to_owned()
    };
    equal(format!("the condition {type_}"), &json!([status, reason]), Ok(json!([field("status"), field("reason")])))
}

fn filled(seen: &Seen, pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), seen.fill_text(value))).collect()
}

fn equal(what: String, expected: &Value, found: Result<Value, String>) -> Option<Complaint> {
    match found {
        Ok(found) if found == *expected => None,
        Ok(found) => Some(Complaint { what, expected: expected.to_string(), seen: found.to_string() }),
        Err(error) => Some(Complaint { what, expected: expected.to_string(), seen: error }),
    }
}

fn says(holds: bool, what: String, part: &str, seen: String) -> Option<Complaint> {
    (!holds).then(|| Complaint { what, expected: format!("… {part} …"), seen })
}

fn sort_by_path(files: &mut [Value]) {
    files.sort_by_key(|file| file.get("path").and_then(Value::as_str).unwrap_or_default().to_owned());
}
