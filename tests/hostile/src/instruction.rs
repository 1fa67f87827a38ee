//! What a pod tells the provider to do.
//!
//! In: the JSON of an annotation. Out: [`Instruction`]s. Invariant: a field that is not known is an error, so that a test never runs a
//! weaker attack than the one it wrote down.

mod simple;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

pub(crate) use self::simple::{About, NodeFacts, Simple, To};

/// One instruction, and the name by which it was called.
#[derive(Debug)]
pub(crate) struct Instruction {
    pub(crate) op: String,
    pub(crate) what: What,
}

/// What to do.
#[derive(Debug)]
pub(crate) enum What {
    Fetch(Request),
    Flood(Flood, Request),
    Load(Load, Request),
    Send(Send, Request),
    Upgrade(Upgrade, Request),
    Websocket(Websocket, Request),
    Simple(Simple),
}

/// The fields of all requests.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Request {
    pub(crate) endpoint: String,
    pub(crate) method: Option<String>,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<String>,
    pub(crate) body_bytes: usize,
    pub(crate) max_bytes: Option<u32>,
    pub(crate) timeout_ms: Option<u64>,
}

/// Many requests at once.
#[derive(Debug, Deserialize)]
pub(crate) struct Flood {
    pub(crate) n: usize,
}

/// So many requests, some at a time: for benches.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Load {
    pub(crate) n: usize,
    pub(crate) in_flight: usize,
}

/// A request whose bodies flow.
#[derive(Debug, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[derive(Default)]
pub(crate) struct Send {
    pub(crate) endless: bool,
    pub(crate) trailers: Vec<(String, String)>,
    pub(crate) read_at_most: Option<u64>,
    /// Count the bytes and do not look at them.
    pub(crate) discard: bool,
}

/// A connection that stops being HTTP.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Upgrade {
    pub(crate) protocol: String,
    pub(crate) write: String,
    pub(crate) read_at_most: Option<u64>,
    pub(crate) half_close: bool,
}

/// A WebSocket.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Websocket {
    pub(crate) protocols: Vec<String>,
    pub(crate) messages: Vec<Outgoing>,
    pub(crate) expect: usize,
}

/// A message to send.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Outgoing {
    Binary(String),
    BinaryBytes(usize),
    TextBytes(usize),
    Close(u16),
    #[serde(untagged)]
    Text(String),
}

impl Instruction {
    /// All instructions of an annotation.
    pub(crate) fn parse_all(json: &str) -> Result<Vec<Self>, String> {
        let values: Vec<Map<String, Value>> = serde_json::from_str(json).map_err(|error| error.to_string())?;
        let numbered = values.into_iter().enumerate();
        numbered.map(|(at, map)| Self::parse(map).map_err(|error| format!("instruction {at}: {error}"))).collect()
    }

    fn parse(mut map: Map<String, Value>) -> Result<Self, String> {
        let op = map.get("op").and_then(Value::as_str).ok_or("no op")?.to_owned();
        let what = match op.as_str() {
            "fetch" => What::Fetch(request(map)?),
            "flood" => What::Flood(take(&mut map, &["n"])?, request(map)?),
            "load" => What::Load(take(&mut map, &["n", "inFlight"])?, request(map)?),
            "send" => What::Send(take(&mut map, &["endless", "trailers", "readAtMost", "discard"])?, request(map)?),
            "upgrade" => {
                What::Upgrade(take(&mut map, &["protocol", "write", "readAtMost", "halfClose"])?, request(map)?)
            }
            "websocket" => What::Websocket(take(&mut map, &["protocols", "messages", "expect"])?, request(map)?),
            "nodeFacts" => {
                map.remove("op");
                What::Simple(Simple::NodeFacts { facts: read(Value::Object(map))? })
            }
            _ => What::Simple(read(Value::Object(map))?),
        };
        Ok(Self { op, what })
    }
}

fn request(mut map: Map<String, Value>) -> Result<Request, String> {
    map.remove("op");
    read(Value::Object(map))
}

/// Take these fields out, as one value.
fn take<T: DeserializeOwned>(map: &mut Map<String, Value>, fields: &[&str]) -> Result<T, String> {
    read(Value::Object(fields.iter().filter_map(|field| map.remove_entry(*field)).collect()))
}

fn read<T: DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_json::from_value(value).map_err(|error| error.to_string())
}
