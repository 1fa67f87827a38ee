//! Pods that the provider runs and the API server does not have: how many of them at once.
//!
//! In: what a complete comparison leaves over, ended actors. Out: the orphans to take on now, and one line about all of them.
//! Invariant: never more than [`MAX_ORPHANS`] are under way, and none is forgotten while it is listed.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::Arc;

use k8s_openapi::api::core::v1::PodStatus;
use pluglet_model::PodKey;
use tracing::warn;

/// Each orphan is an actor and a delete call. A provider that makes up its list would have as many of them at once as fit into a list,
/// and as many lines in the log.
pub(super) const MAX_ORPHANS: usize = 256;

/// As many are named in the log: enough to recognise them by, whatever a list holds.
const NAMED: usize = 5;

/// The longest name that a pod can have. One that is made up could fill the log by itself.
const LONGEST_NAME: usize = 253;

/// Which orphans are under way.
#[derive(Default)]
pub(super) struct Orphans {
    under_way: HashSet<Arc<str>>,
    left_over: bool,
}

impl Orphans {
    /// Takes on as many as there is room for. The others are left to a later list.
    pub(super) fn take_on(&mut self, mut found: Vec<(PodKey, PodStatus)>) -> Vec<(PodKey, PodStatus)> {
        let all = found.len();
        if all == 0 {
            return found;
        }
        let first = some_names(&found);
        found.truncate(MAX_ORPHANS.saturating_sub(self.under_way.len()));
        self.left_over = found.len() < all;
        self.under_way.extend(found.iter().map(|(key, _)| key.uid.clone()));
        let (now, later) = (found.len(), all - found.len());
        warn!(now, later, first, "the provider runs what the API server does not have: deleting it there");
        found
    }

    /// An actor has ended. True when it made room for those that were left over: only once for half of all, or each end would
    /// cost a list.
    pub(super) fn ended(&mut self, uid: &str) -> bool {
        let room = self.under_way.remove(uid) && self.under_way.len() <= MAX_ORPHANS / 2;
        room && std::mem::take(&mut self.left_over)
    }
}

/// The provider chose these names: nothing of them but what a name can hold may reach the operator's terminal.
fn some_names(pods: &[(PodKey, PodStatus)]) -> String {
    let mut names = String::new();
    for (key, _) in pods.iter().take(NAMED) {
        let separator = if names.is_empty() { "" } else { ", " };
        write!(names, "{separator}{}/{} ({})", clean(&key.namespace), clean(&key.name), clean(&key.uid)).ok();
    }
    names
}

fn clean(name: &str) -> String {
    name.chars().take(LONGEST_NAME).map(|c| if c.is_ascii_graphic() { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_was_made_up_cannot_forge_a_line_of_the_log() {
        let key = PodKey::new("u", "n\n2026 ERROR", &"\u{1b}]0;x".repeat(1000));
        let names = some_names(&vec![(key, PodStatus::default()); NAMED + 1]);
        assert!(names.chars().all(|c| c == ' ' || c.is_ascii_graphic()), "{names:?}");
        assert!(names.len() < NAMED * 3 * (LONGEST_NAME + 2), "{}", names.len());
    }
}
