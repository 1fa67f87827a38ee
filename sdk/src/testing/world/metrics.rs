//! Metrics of a provider under test.
//!
//! In: names and values. Out: what the host would show. Invariant: the rules for names are those of the real host.

use std::cell::RefCell;
use std::collections::BTreeMap;

const MOST_NAMES: usize = 64;
const LONGEST_NAME: usize = 64;

/// All metrics by name.
#[derive(Default)]
pub(super) struct Metrics {
    counters: RefCell<BTreeMap<String, u64>>,
    gauges: RefCell<BTreeMap<String, f64>>,
}

impl Metrics {
    pub(super) fn counters(&self) -> BTreeMap<String, u64> {
        self.counters.borrow().clone()
    }

    pub(super) fn gauges(&self) -> BTreeMap<String, f64> {
        self.gauges.borrow().clone()
    }

    /// False when the name is dropped.
    pub(super) fn add(&self, name: &str, value: u64) -> bool {
        let takes = self.takes(name, self.counters.borrow().contains_key(name));
        if takes {
            let mut counters = self.counters.borrow_mut();
            let counter = counters.entry(name.to_owned()).or_default();
            *counter = counter.saturating_add(value);
        }
        takes
    }

    /// False when the name is dropped.
    pub(super) fn set(&self, name: &str, value: f64) -> bool {
        let takes = self.takes(name, self.gauges.borrow().contains_key(name));
        if takes {
            self.gauges.borrow_mut().insert(name.to_owned(), value);
        }
        takes
    }

    fn takes(&self, name: &str, known: bool) -> bool {
        let well_formed = (1..=LONGEST_NAME).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        known || well_formed && self.counters.borrow().len() + self.gauges.borrow().len() < MOST_NAMES
    }
}
