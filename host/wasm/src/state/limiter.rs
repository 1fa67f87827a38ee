//! How much memory a component may have.
//!
//! In: the operator's limit. Out: wasmtime's answer to each growth. Invariant: the linear memories of one store together never
//! exceed the limit; a refusal is remembered, so that the crash that follows can be explained.

use wasmtime::ResourceLimiter;

/// Elements of one table. A table element costs the host 8 bytes that the memory limit does not see; a guest that grows tables
/// instead of memory would otherwise take what it likes. A component of 700 KB has about 3000.
const MAX_TABLE_ELEMENTS: usize = 100_000;

/// Core instances, tables and memories of one component. rustc makes 3, 2 and 1; each costs the host bookkeeping and, for a
/// memory, 4 GiB of address space.
const MAX_INSTANCES: usize = 64;
const MAX_TABLES: usize = 64;
const MAX_MEMORIES: usize = 8;

/// The limiter of one store.
#[derive(Debug)]
pub(crate) struct Limiter {
    limit: usize,
    used: usize,
    refused: bool,
}

impl Limiter {
    /// A limit in bytes over all linear memories.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, used: 0, refused: false }
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
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= MAX_TABLE_ELEMENTS)
    }

    fn instances(&self) -> usize {
        MAX_INSTANCES
    }

    fn tables(&self) -> usize {
        MAX_TABLES
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 64 << 10;

    #[test]
    fn memories_share_one_limit_and_the_refusal_is_remembered() {
        let mut limiter = Limiter::new(4 * PAGE);
        assert!(limiter.memory_growing(0, 2 * PAGE, None).unwrap());
        assert!(limiter.memory_growing(0, PAGE, None).unwrap());
        assert_eq!(limiter.refused(), None);
        assert!(!limiter.memory_growing(2 * PAGE, 4 * PAGE, None).unwrap());
        assert_eq!(limiter.refused(), Some(4 * PAGE));
        assert!(limiter.memory_growing(2 * PAGE, 3 * PAGE, None).unwrap(), "what still fits is granted");
    }

    #[test]
    fn a_table_cannot_be_grown_instead() {
        let mut limiter = Limiter::new(4 * PAGE);
        assert!(limiter.table_growing(0, 3000, None).unwrap());
        assert!(!limiter.table_growing(3000, 1 << 30, None).unwrap());
    }
}
