//! `host`: log, clock, sleep, random bytes.
//!
//! In: calls of the guest. Out: answers at once; only `sleep-ms` waits, and it lets the store go. Invariant: none of these can fail,
//! so none of them has an error.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use wasmtime::component::Accessor;

use crate::bindings::pluglet::provider::host;
use crate::capabilities::log::Level;
use crate::state::State;

/// Bytes of one `random-bytes` call. A guest that asks for 4 GiB would otherwise make the host allocate them.
const MAX_RANDOM_BYTES: u32 = 4 << 10;

impl host::Host for State {
    fn log(&mut self, level: host::Level, message: String, fields: Vec<(String, String)>) {
        let level = match level {
            host::Level::Trace => Level::Trace,
            host::Level::Debug => Level::Debug,
            host::Level::Info => Level::Info,
            host::Level::Warn => Level::Warn,
            host::Level::Error => Level::Error,
        };
        self.capabilities.logger.say(level, &message, &fields);
    }

    fn now_unix_ns(&mut self) -> u64 {
        // Saturates in the year 2554, and at 0 for a clock before 1970.
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| u64::try_from(now.as_nanos()).unwrap_or(u64::MAX))
    }

    fn random_bytes(&mut self, length: u32) -> Vec<u8> {
        random(length.min(MAX_RANDOM_BYTES))
    }
}

impl<T: Send> host::HostWithStore<T> for State {
    async fn sleep_ms(_: &Accessor<T, Self>, ms: u64) {
        // A guest that cancels the call drops this future; a timer leaves nothing behind.
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}

/// Unpredictable bytes from the cryptography library that TLS uses.
fn random(length: u32) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    if rustls::crypto::ring::default_provider().secure_random.fill(&mut bytes).is_err() {
        // Only a kernel without a random source gets here, and then TLS does not work either. No bytes are better than zeroes.
        bytes.clear();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_bytes_are_as_many_as_asked_for_and_differ() {
        assert_eq!(random(16).len(), 16);
        assert_ne!(random(16), random(16));
        assert!(random(0).is_empty());
    }
}
