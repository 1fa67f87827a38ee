//! The API server's audit log: every request that it answered, with who asked, what for, and the code.
//!
//! In: the log file, and a [`Mark`] taken earlier. Out: the [`Call`]s since then. The exact instrument for "how many
//! API calls does a pod cost" and "not one write after a restart". An entry is written before the last byte of the
//! answer is sent, so whoever has its answer finds its entry.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::Deserialize;

/// A place in the log.
#[derive(Debug, Clone, Copy)]
pub struct Mark(u64);

/// The log of one API server, across its restarts.
#[derive(Debug, Clone)]
pub struct AuditLog {
    path: PathBuf,
}

/// One request. A watch, and every other request that stays open, counts once, when it begins.
#[derive(Debug, Clone)]
pub struct Call {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// `pods`, `leases`, … Empty for `/healthz` and its like.
    pub resource: String,
    /// `status`, `binding`, `log`, … or empty.
    pub subresource: String,
    /// Empty for what has none.
    pub namespace: String,
    /// Of the object; empty for lists, and for creations where the server was not told the name in the URL.
    pub name: String,
    /// Of the HTTP answer.
    pub code: u16,
    /// Who asked.
    pub user: String,
    /// With what program.
    pub user_agent: String,
    /// Path and query.
    pub uri: String,
    /// When the request came.
    pub received: Timestamp,
    /// When this stage of it was done: for a watch its beginning, for all else its end.
    pub answered: Timestamp,
    /// For a watch: when it ended. None while it is open.
    pub ended: Option<Timestamp>,
}

impl Call {
    /// Whether it asks for a change.
    pub fn is_write(&self) -> bool {
        matches!(self.verb.as_str(), "create" | "update" | "patch" | "delete" | "deletecollection")
    }

    /// What kind of call it is, for counting: `patch pods/status 200`.
    pub fn kind(&self) -> String {
        let slash = if self.subresource.is_empty() { "" } else { "/" };
        format!("{} {}{slash}{} {}", self.verb, self.resource, self.subresource, self.code)
    }
}

/// How many calls there are of each [kind](Call::kind).
pub fn tally<'a>(calls: impl IntoIterator<Item = &'a Call>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for call in calls {
        *counts.entry(call.kind()).or_default() += 1;
    }
    counts
}

impl AuditLog {
    pub(crate) fn of(path: PathBuf) -> Self {
        Self { path }
    }

    /// The present end of the log.
    pub fn mark(&self) -> Result<Mark> {
        Ok(Mark(self.open()?.metadata()?.len()))
    }

    /// All calls after `mark`, in the order in which they were answered.
    pub fn since(&self, mark: &Mark) -> Result<Vec<Call>> {
        let mut file = self.open()?;
        file.seek(SeekFrom::Start(mark.0))?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        parse(&text)
    }

    fn open(&self) -> Result<File> {
        File::open(&self.path).with_context(|| format!("cannot read the audit log {}", self.path.display()))
    }
}

fn parse(text: &str) -> Result<Vec<Call>> {
    let mut calls: Vec<Call> = Vec::new();
    let mut seen: HashMap<String, usize> = HashMap::new();
    for line in text.lines() {
        // The last line may be half written.
        let Ok(event) = serde_json::from_str::<Event>(line) else { continue };
        if event.verb == "watch" && event.stage != "ResponseStarted" {
            let begun = seen.get(&event.audit_id).and_then(|index| calls.get_mut(*index));
            if let Some(begun) = begun.filter(|_| event.stage == "ResponseComplete") {
                begun.ended = Some(event.answered);
            }
            continue;
        }
        let id = event.audit_id.clone();
        let call = Call::from(event);
        match seen.get(&id).and_then(|index| calls.get_mut(*index)) {
            // The end of a request whose beginning is here already, such as `kubectl logs --follow`.
            Some(begun) => begun.code = call.code,
            None => {
                seen.insert(id, calls.len());
                calls.push(call);
            }
        }
    }
    Ok(calls)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    #[serde(rename = "auditID")]
    audit_id: String,
    stage: String,
    #[serde(rename = "requestURI")]
    uri: String,
    verb: String,
    user: User,
    #[serde(default)]
    user_agent: String,
    #[serde(default)]
    object_ref: ObjectRef,
    #[serde(default)]
    response_status: ResponseStatus,
    #[serde(rename = "requestReceivedTimestamp")]
    received: Timestamp,
    #[serde(rename = "stageTimestamp")]
    answered: Timestamp,
}

#[derive(Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ObjectRef {
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Deserialize, Default)]
struct ResponseStatus {
    #[serde(default)]
    code: u16,
}

impl From<Event> for Call {
    fn from(event: Event) -> Self {
        Self {
            verb: event.verb,
            resource: event.object_ref.resource,
            subresource: event.object_ref.subresource,
            namespace: event.object_ref.namespace,
            name: event.object_ref.name,
            code: event.response_status.code,
            user: event.user.username,
            user_agent: event.user_agent,
            uri: event.uri,
            received: event.received,
            answered: event.answered,
            ended: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(id: &str, stage: &str, verb: &str, code: u16) -> String {
        format!(
            r#"{{"auditID":"{id}","stage":"{stage}","requestURI":"/api/v1/pods","verb":"{verb}","user":{{"username":"admin"}},"objectRef":{{"resource":"pods","subresource":"status"}},"responseStatus":{{"code":{code}}},"requestReceivedTimestamp":"2026-11-23T11:00:00.000001Z","stageTimestamp":"2026-11-23T11:00:00.100000Z"}}"#
        )
    }

    #[test]
    fn a_watch_counts_when_it_begins_and_not_when_it_ends() {
        let text = [line("a", "ResponseStarted", "watch", 200), line("a", "ResponseComplete", "watch", 200)].join("\n");
        let calls = parse(&text).unwrap();
        assert_eq!((calls.len(), calls[0].ended.is_some()), (1, true));
        let open = parse(&line("a", "ResponseStarted", "watch", 200)).unwrap();
        assert_eq!((open.len(), open[0].ended), (1, None));
        assert_eq!(parse(&line("b", "ResponseComplete", "watch", 200)).unwrap().len(), 0);
    }

    #[test]
    fn a_followed_log_counts_once_and_a_torn_line_does_not() {
        let text = [
            line("a", "ResponseStarted", "get", 200),
            line("a", "ResponseComplete", "get", 200),
            line("b", "ResponseComplete", "patch", 409),
            r#"{"auditID":"c","stage":"Resp"#.to_owned(),
        ]
        .join("\n");
        let calls = parse(&text).unwrap();
        let counts = tally(&calls);
        assert_eq!(counts.get("get pods/status 200"), Some(&1));
        assert_eq!(counts.get("patch pods/status 409"), Some(&1));
        assert_eq!(counts.len(), 2);
    }
}
