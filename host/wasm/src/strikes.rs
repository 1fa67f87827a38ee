//! Which pods the provider crashes on.
//!
//! In: the UIDs that were in flight at each crash, and those that were answered. Out: strikes per UID. Invariant: a UID that has been
//! answered since its last crash has no strikes; the table never exceeds [`MAX_SUSPECTS`].
//!
//! A trap loses every call in flight, and nothing tells whose fault it was. So each of them gets a strike and becomes a suspect. Of
//! the suspects only one begins at a time (see [`crate::turns`]): if it was innocent, its answer clears it; if it was not, the next crash
//! strikes it again and, at worst, some that have been slow without crashing. So the last strike, which convicts, is only for one that
//! was alone.

use std::collections::HashMap;
use std::sync::Arc;

/// With this many strikes a pod is told to be the culprit. One is chance (up to 64 calls share a crash), two may be bad luck twice; a
/// third time alone among the suspects is not.
pub(crate) const CULPRIT_STRIKES: u32 = 3;

/// How many UIDs are remembered. Pods that never come back (deleted while suspect) would otherwise add up on a provider that crashes
/// all day. At 64 calls in flight that is 64 crashes' worth.
const MAX_SUSPECTS: usize = 4096;

/// The table. Pure: no clock, no I/O.
#[derive(Debug, Default)]
pub(crate) struct Strikes {
    table: HashMap<Arc<str>, Entry>,
    crashes: u64,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    strikes: u32,
    /// Number of the last crash that it was in.
    crash: u64,
}

impl Strikes {
    /// Give one strike to each UID, once however often it is named. The one that convicts is given only to those that `alone` says were the
    /// only suspects inside. Gives back their counts.
    pub(crate) fn crashed(
        &mut self,
        in_flight: impl IntoIterator<Item = Arc<str>>,
        alone: impl Fn(&Arc<str>) -> bool,
    ) -> HashMap<Arc<str>, u32> {
        self.crashes += 1;
        let mut struck = HashMap::new();
        for uid in in_flight {
            let entry = self.table.entry(Arc::clone(&uid)).or_insert(Entry { strikes: 0, crash: 0 });
            if entry.crash < self.crashes {
                entry.crash = self.crashes;
                if entry.strikes + 1 < CULPRIT_STRIKES || alone(&uid) {
                    entry.strikes = entry.strikes.saturating_add(1);
                }
            }
            struck.insert(uid, entry.strikes);
        }
        self.forget_oldest();
        struck
    }

    /// The provider answered a call for this UID without crashing.
    pub(crate) fn answered(&mut self, uid: &str) {
        self.table.remove(uid);
    }

    /// Whether calls for this UID must wait for the suspects' turn.
    pub(crate) fn is_suspect(&self, uid: &str) -> bool {
        self.table.contains_key(uid)
    }

    /// How many strikes a UID has.
    pub(crate) fn of(&self, uid: &str) -> u32 {
        self.table.get(uid).map_or(0, |entry| entry.strikes)
    }

    /// How many suspects there are.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// Drop those whose last crash is longest ago.
    fn forget_oldest(&mut self) {
        let excess = self.table.len().saturating_sub(MAX_SUSPECTS);
        if excess == 0 {
            return;
        }
        let mut ages: Vec<(u64, Arc<str>)> =
            self.table.iter().map(|(uid, entry)| (entry.crash, Arc::clone(uid))).collect();
        ages.sort_unstable();
        for (_, uid) in ages.into_iter().take(excess) {
            self.table.remove(&uid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uids(names: &[&str]) -> Vec<Arc<str>> {
        names.iter().map(|name| Arc::from(*name)).collect()
    }

    #[test]
    fn everyone_in_flight_is_struck_once_per_crash() {
        let mut strikes = Strikes::default();
        let struck = strikes.crashed(uids(&["a", "b", "a"]), |_| true);
        assert_eq!(struck, HashMap::from([("a".into(), 1), ("b".into(), 1)]));
        assert!(strikes.is_suspect("a") && strikes.is_suspect("b") && !strikes.is_suspect("c"));
    }

    #[test]
    fn an_answer_clears_a_suspect() {
        let mut strikes = Strikes::default();
        strikes.crashed(uids(&["a", "b"]), |_| true);
        strikes.answered("a");
        assert!(!strikes.is_suspect("a") && strikes.is_suspect("b"));
        assert_eq!(strikes.crashed(uids(&["a"]), |_| true).get("a"), Some(&1));
    }

    #[test]
    fn the_third_crash_in_a_row_makes_a_culprit() {
        let mut strikes = Strikes::default();
        strikes.crashed(uids(&["culprit", "x", "y"]), |_| true);
        strikes.answered("x");
        strikes.crashed(uids(&["culprit", "new"]), |_| true);
        strikes.answered("y");
        strikes.answered("new");
        let struck = strikes.crashed(uids(&["culprit"]), |_| true);
        assert_eq!(struck.get("culprit"), Some(&CULPRIT_STRIKES));
        assert_eq!(strikes.len(), 1);
    }

    #[test]
    fn nobody_is_convicted_for_having_been_there_when_others_crashed() {
        let mut strikes = Strikes::default();
        for _ in 0..10 {
            strikes.crashed(uids(&["slow", "culprit"]), |uid| &**uid == "culprit");
        }
        assert_eq!((strikes.of("slow"), strikes.of("culprit")), (CULPRIT_STRIKES - 1, 10));
    }

    #[test]
    fn the_table_forgets_the_oldest_crashes_first() {
        let mut strikes = Strikes::default();
        strikes.crashed(uids(&["old"]), |_| true);
        let many: Vec<Arc<str>> = (0..MAX_SUSPECTS).map(|n| Arc::from(format!("uid-{n}"))).collect();
        strikes.crashed(many, |_| true);
        assert_eq!(strikes.len(), MAX_SUSPECTS);
        assert!(!strikes.is_suspect("old"));
    }
}
