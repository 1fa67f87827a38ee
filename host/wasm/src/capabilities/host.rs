//! `host`: log, metrics, deadline, clock, sleep, random bytes.
//!
//! In: calls of the guest. Out: answers at once; only `sleep-ms` waits, and it lets the store go. Invariant: none of these can fail,
//! so none of them has an error.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use wasmtime::AsContextMut as _;
use wasmtime::component::{Access, Accessor};

use crate::bindings::pluglet::provider::host;
use crate::capabilities::log::{Level, clean};
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

    fn counter_add(&mut self, name: String, value: u64) {
        if !self.capabilities.metrics.add_own(&name, value) {
            self.refuse_metric(&name);
        }
    }

    fn gauge_set(&mut self, name: String, value: f64) {
        if !self.capabilities.metrics.set_own(&name, value) {
            self.refuse_metric(&name);
        }
    }

    fn now_unix_ns(&mut self) -> u64 {
        // Saturates in the year 2554, and at 0 for a clock before 1970.
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| u64::try_from(now.as_nanos()).unwrap_or(u64::MAX))
    }

    fn random_bytes(&mut self, length: u32) -> Vec<u8> {
        random(length.min(MAX_RANDOM_BYTES))
    }
}

impl<T: Send + 'static> host::HostWithStore<T> for State {
    fn remaining_ms(mut access: Access<'_, T, Self>) -> Option<u64> {
        // The youngest task of the host's own among those that led here; none in a background task.
        let tasks: Vec<_> = access.as_context_mut().async_call_stack().ok()?.collect();
        access.get().calls.remaining_ms(tasks.into_iter())
    }

    fn is_cancelled(access: Access<'_, T, Self>) -> bool {
        Self::remaining_ms(access) == Some(0)
    }

    async fn sleep_ms(_: &Accessor<T, Self>, ms: u64) {
        // A guest that cancels the call drops this future; a timer leaves nothing behind.
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}

impl State {
    /// Once for an incarnation: a guest that asks again and again should not fill the log with it.
    fn refuse_metric(&mut self, name: &str) {
        if !std::mem::replace(&mut self.metric_refused, true) {
            let name = clean(name, 64);
            let text =
                format!("the metric \"{name}\" is dropped: names are 1 to 64 of a-z, 0-9 and _, at most 64 of them");
            self.capabilities.logger.say(Level::Warn, &text, &[]);
        }
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
