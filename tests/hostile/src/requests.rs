//! Requests to wherever a test wants them to go.
//!
//! In: instructions. Out: answers and errors as the guest saw them. Invariant: nothing is made well-formed on the way; what is asked for is
//! what the host gets.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::join_all;
use pluglet_sdk::{Body, BodyWriter, Handshake, Host, HttpError, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::instruction::{Flood, Load, Request, Send, Upgrade};
use crate::seen::{Seen, failed, http_case, http_failed, merged};

/// Bytes of a chunk that is sent.
const CHUNK: usize = 32 << 10;

impl Request {
    fn builder<'a>(&'a self, host: &'a Host) -> RequestBuilder<'a> {
        let method = self.method.as_deref().unwrap_or("GET");
        let mut builder = host.endpoint(&self.endpoint).request(method, self.target.as_str());
        for (name, value) in &self.headers {
            builder = builder.header(name, value);
        }
        if let Some(most) = self.max_bytes {
            builder = builder.max_bytes(most);
        }
        match self.timeout_ms {
            Some(ms) => builder.timeout(Duration::from_millis(ms)),
            None => builder,
        }
    }

    fn whole_body(&self) -> Vec<u8> {
        self.body.as_ref().map_or_else(|| vec![b'x'; self.body_bytes], |body| body.clone().into_bytes())
    }
}

pub(crate) fn answered(answer: Response) -> Value {
    let head = json!({"status": answer.status, "headers": answer.headers});
    merged(head, Seen::of(&answer.body).into_fields())
}

pub(crate) async fn fetch(host: &Host, request: &Request) -> Value {
    match request.builder(host).body(request.whole_body()).send().await {
        Ok(answer) => answered(answer),
        Err(error) => http_failed(&error),
    }
}

/// Outcomes are counted: `status 200`, `error denied`, … One text of each error is kept.
pub(crate) async fn flood(host: &Host, flood: &Flood, request: &Request) -> Value {
    let all = (0..flood.n).map(|_| request.builder(host).body(request.whole_body()).send());
    let mut counts = BTreeMap::<String, u64>::new();
    let mut texts = BTreeMap::<String, String>::new();
    for outcome in join_all(all).await {
        let name = match outcome {
            Ok(answer) => format!("status {}", answer.status),
            Err(error) => {
                let name = format!("error {}", http_case(&error));
                texts.entry(name.clone()).or_insert_with(|| error.to_string());
                name
            }
        };
        let count = counts.entry(name).or_default();
        *count = count.saturating_add(1);
    }
    json!({"counts": counts, "texts": texts})
}

/// Times of each in nanoseconds by the host's clock: the median, and of all together.
pub(crate) async fn load(host: &Host, load: &Load, request: &Request) -> Value {
    let body = request.whole_body();
    let begun = host.now_unix_ns();
    let one = || async {
        let begun = host.now_unix_ns();
        let answered = request.builder(host).body(body.clone()).send().await.is_ok();
        (answered, host.now_unix_ns().saturating_sub(begun))
    };
    let all = futures::stream::iter(0..load.n).map(|_| one()).buffer_unordered(load.in_flight.max(1));
    let outcomes: Vec<(bool, u64)> = all.collect().await;
    let elapsed = host.now_unix_ns().saturating_sub(begun);
    let mut times: Vec<u64> = outcomes.iter().map(|(_, took)| *took).collect();
    times.sort_unstable();
    let failed = outcomes.iter().filter(|(answered, _)| !answered).count();
    json!({"elapsedNs": elapsed, "p50Ns": times.get(times.len() / 2), "failed": failed})
}

pub(crate) async fn send(host: &Host, send: &Send, request: &Request) -> Value {
    let (writer, body) = Body::channel(0);
    let sent = Rc::new(Cell::new(0));
    let whole = if send.endless { None } else { Some(request.whole_body()) };
    host.spawn(write(writer, whole, send.trailers.clone(), Rc::clone(&sent)));
    let mut answer = match request.builder(host).stream_with(body).await {
        Ok(answer) => answer,
        Err(error) => return merged(http_failed(&error), one("sent", sent.get().into())),
    };
    if send.discard {
        return discard(host, answer.body).await;
    }
    let (seen, error) = read(&mut answer.body, send.read_at_most).await;
    let trailers = answer.body.trailers().to_vec();
    drop(answer.body);
    let head = json!({"status": answer.status, "headers": answer.headers, "trailers": trailers, "sent": sent.get()});
    let result = merged(head, seen.into_fields());
    error.map_or(result.clone(), |error| with_error(result, &error))
}

/// Write a body: this one, or one without end.
async fn write(mut writer: BodyWriter, whole: Option<Vec<u8>>, trailers: Vec<(String, String)>, sent: Rc<Cell<u64>>) {
    let count = |bytes: usize| sent.set(sent.get().saturating_add(bytes as u64));
    let Some(whole) = whole else {
        while writer.send(vec![b'x'; CHUNK]).await {
            count(CHUNK);
        }
        return;
    };
    for chunk in whole.chunks(CHUNK) {
        if !writer.send(chunk).await {
            return;
        }
        count(chunk.len());
    }
    writer.finish_with(trailers).await;
}

/// Read to the end without looking.
async fn discard(host: &Host, mut body: Body) -> Value {
    let begun = host.now_unix_ns();
    let mut bytes = 0_u64;
    while let Ok(Some(chunk)) = body.chunk().await {
        bytes = bytes.saturating_add(chunk.len() as u64);
    }
    json!({"bytes": bytes, "elapsedNs": host.now_unix_ns().saturating_sub(begun)})
}

async fn read(body: &mut Body, at_most: Option<u64>) -> (Seen, Option<HttpError>) {
    let mut seen = Seen::default();
    while at_most.is_none_or(|most| seen.bytes() < most) {
        match body.chunk().await {
            Ok(Some(chunk)) => seen.add(&chunk),
            Ok(None) => return (seen, None),
            Err(error) => return (seen, Some(error)),
        }
    }
    (seen, None)
}

pub(crate) async fn upgrade(host: &Host, upgrade: &Upgrade, request: &Request) -> Value {
    let asked = request.builder(host).body(request.whole_body()).upgrade(&upgrade.protocol).await;
    let mut connection = match asked {
        Ok(Handshake::Accepted(connection)) => connection,
        Ok(Handshake::Refused(answer)) => return merged(answered(answer), one("refused", true.into())),
        Err(error) => return http_failed(&error),
    };
    let written = upgrade.write.is_empty() || connection.writer.send(upgrade.write.as_str()).await;
    // Kept until everything is read, unless the test wants to see half a connection.
    let kept = (!upgrade.half_close).then_some(connection.writer);
    let (seen, error) = read(&mut connection.reader, upgrade.read_at_most).await;
    drop(kept);
    let head = json!({"status": 101, "headers": connection.headers, "written": written});
    let result = merged(head, seen.into_fields());
    error.map_or(result.clone(), |error| with_error(result, &error))
}

fn with_error(result: Value, error: &HttpError) -> Value {
    match failed(http_case(error), error) {
        Value::Object(fields) => merged(result, fields),
        _ => result,
    }
}

pub(crate) fn one(name: &str, value: Value) -> serde_json::Map<String, Value> {
    serde_json::Map::from_iter([(name.to_owned(), value)])
}
