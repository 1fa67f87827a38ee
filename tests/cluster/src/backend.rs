//! What the mock provider has of its pods, read from where it keeps them: the key-value file under the node's state directory.
//!
//! In: the file's bytes. Out: one [`Workload`] for each pod that the provider answers for. Invariant: read only; the file is a journal, so
//! reading it beside a provider that writes gives a state that it was in.
//!
//! The format is that of `host/wasm/src/capabilities/kv/record.rs`, read here without its checksum: an independent witness.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

const MAGIC: &[u8] = b"plugkv\0\x01";
const CHECKSUM_BYTES: usize = 8;
const PUT: u8 = 1;
const DELETE: u8 = 2;
/// The mock keeps its pods under keys that begin so.
const PREFIX: &str = "pod/";

/// A pod that the provider answers for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Workload {
    /// The pod's UID.
    pub uid: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// All pods in the file; none if it does not exist.
pub(crate) fn workloads(file: &Path) -> Result<Vec<Workload>> {
    if !file.is_file() {
        return Ok(vec![]);
    }
    let bytes = fs::read(file).with_context(|| file.display().to_string())?;
    let entries = replay(&bytes).with_context(|| format!("{} is no key-value file", file.display()))?;
    entries.into_iter().filter(|(key, _)| key.starts_with(PREFIX)).map(|(key, value)| workload(&key, &value)).collect()
}

fn workload(key: &str, value: &[u8]) -> Result<Workload> {
    let record: Value = serde_json::from_slice(value).with_context(|| format!("the record of {key}"))?;
    let field = |name: &str| {
        let text = record.pointer(&format!("/pod/{name}")).and_then(Value::as_str);
        text.map(str::to_owned).with_context(|| format!("the record of {key} has no {name}"))
    };
    Ok(Workload { uid: field("uid")?, namespace: field("namespace")?, name: field("name")? })
}

fn replay(bytes: &[u8]) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut entries = BTreeMap::new();
    let mut rest = bytes.strip_prefix(MAGIC).context("it begins otherwise")?;
    // What does not fit is the record that is being written.
    while let Some((record, after)) = next_record(rest) {
        let content = record.get(CHECKSUM_BYTES..).context("a record is too short")?;
        let (kind, content) = content.split_first().context("a record has no kind")?;
        let (length, content) = content.split_first_chunk::<2>().context("a record has no key")?;
        let (key, value) = content.split_at_checked(u16::from_le_bytes(*length).into()).context("a key is too long")?;
        let key = std::str::from_utf8(key)?.to_owned();
        match *kind {
            PUT => drop(entries.insert(key, value.to_vec())),
            DELETE => drop(entries.remove(&key)),
            kind => bail!("a record is of the kind {kind}"),
        }
        rest = after;
    }
    Ok(entries)
}

fn next_record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)
}
