//! How much memory a component may have.
//!
//! In: the operator's limit. Out: wasmtime's answer to each growth. Invariant: the linear memories of one store together never
//! exceed the limit; a refusal is remembered, so that the crash that follows can be explained.

use prometheus_client::metrics::gauge::Gauge;
use wasmtime::ResourceLimiter;

use crate::limits::Limits;

/// The limiter of one store.
#[derive(Debug)]
pub(crate) struct Limiter {
    limit: usize,
    table_elements: usize,
    instances: usize,
    used: usize,
    refused: bool,
    gauge: Gauge,
}

impl Limiter {
    /// The operator's limits; `gauge` shows what is used.
    pub(crate) fn new(limits: &Limits, gauge: Gauge) -> Self {
        gauge.set(0);
        Self {
            limit: limits.memory_bytes,
            table_elements: limits.table_elements,
            instances: limits.instances,
            used: 0,
            refused: false,
            gauge,
        }
    }

    /// The limit in bytes, if a growth was refused because of it.
    pub(crate) fn refused(&self) -> Option<usize> {
        self.refused.then_some(self.limit)
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let used = self.used.saturating_add(desired.saturating_sub(current));
        if used > self.limit {
            self.refused = true;
            return Ok(false);
        }
        self.used = used;
        self.gauge.set(i64::try_from(used).unwrap_or(i64::MAX));
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= self.table_elements)
    }

    fn instances(&self) -> usize {
        self.instances
    }

    fn tables(&self) -> usize {
        self.instances
    }

    fn memories(&self) -> usize {
        // Each takes 4 GiB of address space; a program has one.
        (self.instances / 8).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 64 << 10;

    fn limiter(memory_bytes: usize) -> Limiter {
        Limiter::new(&Limits { memory_bytes, ..Limits::default() }, Gauge::default())
    }

    #[test]
    fn memories_share_one_limit_and_the_refusal_is_remembered() {
        let mut limiter = limiter(4 * PAGE);
        assert!(limiter.memory_growing(0, 2 * PAGE, None).unwrap());
        assert!(limiter.memory_growing(0, PAGE, None).unwrap());
        assert_eq!(limiter.refused(), None);
        assert!(!limiter.memory_growing(2 * PAGE, 4 * PAGE, None).unwrap());
        assert_eq!(limiter.refused(), Some(4 * PAGE));
        assert!(limiter.memory_growing(2 * PAGE, 3 * PAGE, None).unwrap(), "what still fits is granted");
    }

    #[test]
    fn a_table_cannot_be_grown_instead() {
        let mut limiter = limiter(4 * PAGE);
        assert!(limiter.table_growing(0, 3000, None).unwrap());
        assert!(!limiter.table_growing(3000, 1 << 30, None).unwrap());
    }
}
