//! Carries out what a pod's annotation says.
//!
//! In: instructions. Out: one result for each, in their order. Invariant: an instruction that fails is a result and not the end; only
//! `answer` and `fail` decide what the call itself answers.

use std::io::Write as _;
use std::time::Duration;

use pluglet_sdk::{Error, Host, Level, PodRef, Result, Retry, Status};
use serde_json::{Value, json};

use crate::config::raw_status;
use crate::instruction::{Instruction, Simple, To, What};
use crate::seen::{Seen, kv_failed, merged};
use crate::{abuse, ambient, lies, requests, websocket};

/// What came of all instructions.
#[derive(Default)]
pub(crate) struct Outcome {
    /// One for each instruction.
    pub(crate) results: Vec<Value>,
    /// What the call answers, where an instruction has decided it.
    pub(crate) answer: Option<Result<Status>>,
}

impl Outcome {
    /// The results as text; none if there was nothing to do.
    pub(crate) fn message(&self) -> Option<String> {
        (!self.results.is_empty()).then(|| Value::Array(self.results.clone()).to_string())
    }
}

/// Carry out all of them, one after the other.
pub(crate) async fn all(host: &Host, pod: &PodRef, instructions: &[Instruction]) -> Outcome {
    let mut outcome = Outcome::default();
    for Instruction { op, what } in instructions {
        let result = match what {
            What::Fetch(request) => requests::fetch(host, request).await,
            What::Flood(flood, request) => requests::flood(host, flood, request).await,
            What::Load(load, request) => requests::load(host, load, request).await,
            What::Send(send, request) => requests::send(host, send, request).await,
            What::Upgrade(upgrade, request) => requests::upgrade(host, upgrade, request).await,
            What::Websocket(socket, request) => websocket::websocket(host, socket, request).await,
            What::Simple(Simple::Answer { json }) => {
                outcome.answer = Some(Ok(raw_status(json)));
                json!({})
            }
            What::Simple(Simple::Fail { case, text }) => {
                outcome.answer = Some(Err(error(case, text)));
                json!({})
            }
            What::Simple(what) => simple(host, pod, what).await,
        };
        let named = serde_json::Map::from_iter([("op".to_owned(), json!(op))]);
        outcome.results.push(merged(result, named));
    }
    outcome
}

async fn simple(host: &Host, pod: &PodRef, what: &Simple) -> Value {
    if let Some(told) = lies::lie(host, what).await {
        return told;
    }
    if let Some(kept) = memory(host, what).await {
        return kept;
    }
    match what {
        Simple::Log { level, message, fields } => log(host, level.as_deref(), message, fields),
        Simple::LogFlood { bytes, line_bytes, to } => log_flood(host, *bytes, *line_bytes, *to),
        Simple::MemoryBomb { bytes } => abuse::memory_bomb(*bytes),
        Simple::Spin => abuse::spin(),
        Simple::Busy { ms } => abuse::busy(host, *ms).await,
        Simple::Recursion => abuse::recursion(),
        Simple::Unreachable => abuse::unreachable(),
        Simple::Panic { text } => abuse::panic(text),
        Simple::Exit { code } => abuse::exit(*code),
        Simple::LeakStreams { n } => abuse::leak_streams(*n),
        Simple::LeakTasks { n } => abuse::leak_tasks(host, *n),
        Simple::Random { bytes } => Value::Object(Seen::of(&host.random_bytes(*bytes)).into_fields()),
        Simple::Env => ambient::look_around(),
        Simple::ScanMemory { backwards } => abuse::scan_memory(backwards),
        Simple::Sleep { ms } => {
            host.sleep(Duration::from_millis(*ms)).await;
            json!({})
        }
        Simple::Remaining { every, times } => remaining(host, *every, *times).await,
        Simple::Counters { n, name } => counters(host, *n, name.as_deref()),
        Simple::Gauge { name, value } => {
            host.gauge_set(name, *value);
            json!({})
        }
        Simple::HugeStatus { bytes, answer: false } => lies::huge(host, pod, *bytes).await,
        Simple::HugeStatus { bytes, answer: true } => json!({"padding": "x".repeat(*bytes)}),
        _ => json!({}),
    }
}

async fn memory(host: &Host, what: &Simple) -> Option<Value> {
    let stored = |result| match result {
        Ok(()) => json!({}),
        Err(error) => kv_failed(&error),
    };
    Some(match what {
        Simple::KvFill { key_bytes, value_bytes, count } => fill(host, *key_bytes, *value_bytes, *count).await,
        Simple::KvPut { key, value } => stored(host.kv().put(key, value.as_str()).await),
        Simple::KvGet { key } => match host.kv().get(key).await {
            Ok(Some(value)) => merged(json!({"found": true}), Seen::of(&value).into_fields()),
            Ok(None) => json!({"found": false}),
            Err(error) => kv_failed(&error),
        },
        Simple::KvEntries { prefix } => match host.kv().entries(prefix).await {
            Ok(entries) => {
                let bytes: usize = entries.values().map(Vec::len).sum();
                let keys: Vec<&String> = entries.keys().take(100).collect();
                json!({"count": entries.len(), "bytes": bytes, "keys": keys})
            }
            Err(error) => kv_failed(&error),
        },
        _ => return None,
    })
}

async fn fill(host: &Host, key_bytes: usize, value_bytes: usize, count: u64) -> Value {
    let value = vec![b'v'; value_bytes];
    let (mut stored, mut first) = (0_u64, None);
    for at in 0..count {
        match host.kv().put(&format!("{at:0>key_bytes$}"), value.as_slice()).await {
            Ok(()) => stored += 1,
            Err(error) => first = first.or(Some((at, error))),
        }
    }
    match first {
        None => json!({"stored": stored}),
        Some((at, error)) => match kv_failed(&error) {
            Value::Object(fields) => merged(json!({"stored": stored, "failedAt": at}), fields),
            other => other,
        },
    }
}

fn log(host: &Host, level: Option<&str>, message: &str, fields: &[(String, String)]) -> Value {
    let level = match level {
        Some("trace") => Level::Trace,
        Some("debug") => Level::Debug,
        Some("warn") => Level::Warn,
        Some("error") => Level::Error,
        _ => Level::Info,
    };
    let fields: Vec<(&str, &str)> = fields.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    host.log_with(level, message, &fields);
    json!({})
}

fn log_flood(host: &Host, bytes: u64, line_bytes: usize, to: To) -> Value {
    let line = "x".repeat(line_bytes);
    let lines = bytes.div_ceil((line_bytes as u64).max(1));
    let mut failed = 0_u64;
    for _ in 0..lines {
        let written = match to {
            To::Log => {
                host.log(Level::Info, &line);
                Ok(())
            }
            To::Stdout => writeln!(std::io::stdout(), "{line}"),
            To::Stderr => writeln!(std::io::stderr(), "{line}"),
        };
        failed += u64::from(written.is_err());
    }
    json!({"lines": lines, "failed": failed})
}

async fn remaining(host: &Host, every: u64, times: u64) -> Value {
    let mut seen = Vec::new();
    for at in 0..times {
        if at > 0 {
            host.sleep(Duration::from_millis(every)).await;
        }
        let ms = host.remaining().map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
        seen.push(json!({"ms": ms, "cancelled": host.is_cancelled()}));
    }
    json!({"seen": seen})
}

/// So many names of counters, or one name so many times.
fn counters(host: &Host, n: u64, name: Option<&str>) -> Value {
    for at in 0..n {
        match name {
            Some(name) => host.counter_add(name, 1),
            None => host.counter_add(&format!("hostile_{at}"), 1),
        }
    }
    json!({"added": n})
}

/// The error that a case of the contract names.
pub(crate) fn error(case: &str, text: &str) -> Error {
    let retry = || Retry { message: text.to_owned(), after: None };
    match case {
        "not-found" => Error::NotFound,
        "already-exists" => Error::AlreadyExists,
        "unsupported" => Error::Unsupported(text.to_owned()),
        "invalid" => Error::Invalid(text.to_owned()),
        "denied" => Error::Denied(text.to_owned()),
        "unavailable" => Error::Unavailable(retry()),
        "quota" => Error::Quota(retry()),
        "internal" => Error::Internal(text.to_owned()),
        code => Error::Other { code: code.to_owned(), message: text.to_owned() },
    }
}
