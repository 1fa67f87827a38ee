//! `kv`: small durable memory of one provider on one node.
//!
//! In: calls of the guest. Out: values. Invariant: what `put` or `delete` has answered is in the file, so it outlives the process (not
//! a power cut: nothing is synced); the map in memory and the file agree; nobody else writes the file meanwhile.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wasmtime::component::Accessor;

use crate::bindings::pluglet::provider::kv::{self, KvError};
use crate::state::State;

mod file;
mod record;

use file::Journal;
pub use file::OpenError;
use record::Change;

/// Longest key in bytes. Keys are held in memory twice and compared often.
const MAX_KEY_BYTES: usize = 512;

/// Longest value in bytes. One record is one write; a larger one would hold the store for milliseconds.
const MAX_VALUE_BYTES: usize = 256 << 10;

/// What an entry costs besides its key and value, in bytes: its place in the map, two allocations, its record in the file. Without it
/// 64 MiB of keys of 4 bytes would be 16 million entries and GiBs of the host's memory.
const ENTRY_BYTES: usize = 128;

/// What one entry counts for.
fn cost(key: &str, value: &[u8]) -> usize {
    ENTRY_BYTES + key.len() + value.len()
}

/// What all of them count for.
fn cost_of(map: &BTreeMap<String, Vec<u8>>) -> usize {
    map.iter().map(|(key, value)| cost(key, value)).sum()
}

/// The memory of one provider.
pub(crate) struct Kv {
    inner: Mutex<Inner>,
    quota: usize,
}

struct Inner {
    map: BTreeMap<String, Vec<u8>>,
    /// What the entries count for, see [`cost`].
    live: usize,
    journal: Journal,
}

impl Kv {
    /// Open, or make, the file of that provider and take its lock.
    ///
    /// # Errors
    /// When the directory cannot be used or another process holds the lock.
    pub(crate) fn open(state_dir: &Path, node: &str, provider: &str, quota: usize) -> Result<Self, OpenError> {
        let (journal, map) = Journal::open(&state_dir.join("kv").join(node), provider)?;
        let live = cost_of(&map);
        Ok(Self { inner: Mutex::new(Inner { map, live, journal }), quota })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.lock().map.get(key).cloned()
    }

    fn put(&self, key: String, value: Vec<u8>) -> Result<(), KvError> {
        if key.len() > MAX_KEY_BYTES {
            return Err(KvError::TooLarge(format!("the key has {} bytes, {MAX_KEY_BYTES} are allowed", key.len())));
        }
        if value.len() > MAX_VALUE_BYTES {
            return Err(KvError::TooLarge(format!(
                "the value has {} bytes, {MAX_VALUE_BYTES} are allowed",
                value.len()
            )));
        }
        let mut inner = self.lock();
        let before = inner.map.get(&key).map_or(0, |old| cost(&key, old));
        let live = inner.live - before + cost(&key, &value);
        // What was stored under a larger quota may still be made smaller.
        if live > self.quota && live > inner.live {
            let quota = self.quota;
            return Err(KvError::TooLarge(format!(
                "the provider's memory would grow to {live} bytes, {quota} are granted (each entry counts {ENTRY_BYTES} more than its key and value)"
            )));
        }
        inner.journal.append(&Change::Put { key: &key, value: &value }).map_err(io)?;
        inner.live = live;
        inner.map.insert(key, value);
        inner.tidy()
    }

    fn delete(&self, key: &str) -> Result<(), KvError> {
        let mut inner = self.lock();
        let Some(freed) = inner.map.get(key).map(|old| cost(key, old)) else { return Ok(()) };
        inner.journal.append(&Change::Delete { key }).map_err(io)?;
        inner.live -= freed;
        inner.map.remove(key);
        inner.tidy()
    }

    fn entries(&self, prefix: &str) -> Vec<(String, Vec<u8>)> {
        self.lock()
            .map
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }
}

impl Inner {
    /// Write the file anew when most of it is history.
    fn tidy(&mut self) -> Result<(), KvError> {
        if self.journal.is_mostly_garbage(self.live) { self.journal.rewrite(&self.map).map_err(io) } else { Ok(()) }
    }
}

fn io(error: std::io::Error) -> KvError {
    KvError::Io(error.to_string())
}

impl kv::Host for State {}

/// All of these answer at once: a read is a look into a map, a write is one system call into the page cache. Only rewriting the file
/// takes longer (at most the quota, about 50 ms for 64 MiB), once per so many bytes written.
impl<T: Send> kv::HostWithStore<T> for State {
    async fn get(accessor: &Accessor<T, Self>, key: String) -> Result<Option<Vec<u8>>, KvError> {
        Ok(of(accessor).get(&key))
    }

    async fn put(accessor: &Accessor<T, Self>, key: String, value: Vec<u8>) -> Result<(), KvError> {
        of(accessor).put(key, value)
    }

    async fn delete(accessor: &Accessor<T, Self>, key: String) -> Result<(), KvError> {
        of(accessor).delete(&key)
    }

    async fn entries(accessor: &Accessor<T, Self>, prefix: String) -> Result<Vec<(String, Vec<u8>)>, KvError> {
        Ok(of(accessor).entries(&prefix))
    }
}

fn of<T: Send>(accessor: &Accessor<T, State>) -> Arc<Kv> {
    accessor.with(|mut access| Arc::clone(&access.get().capabilities.kv))
}

#[cfg(test)]
mod tests;
