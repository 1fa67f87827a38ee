//! How long a pod has left.
//!
//! In: the grace period of a delete call and what the script says about stopping. Out: [`Deletion`]. Invariant: a later call brings the
//! end nearer or leaves it; whoever does not stop by itself in time is killed.

use std::time::Duration;

use crate::script::Script;

/// A deletion under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deletion {
    pub(crate) since_ns: u64,
    pub(crate) stops_at_ns: u64,
    pub(crate) killed: bool,
    /// The record is being deleted: the end is near and is not to be started twice.
    pub(crate) finishing: bool,
}

impl Deletion {
    /// The deletion of a pod that is told to stop within `grace`. A later call only ever shortens it.
    pub(crate) fn shorten(earlier: Option<Self>, script: &Script, grace: Duration, now_ns: u64) -> Self {
        let since_ns = earlier.map_or(now_ns, |earlier| earlier.since_ns);
        let by_itself_ns = since_ns.saturating_add(script.delete_delay);
        let grace_ns = u64::try_from(grace.as_nanos()).unwrap_or(u64::MAX);
        let by_force_ns = now_ns.saturating_add(grace_ns);
        let before_ns = earlier.map_or(u64::MAX, |earlier| earlier.stops_at_ns);
        let stops_at_ns = by_itself_ns.min(by_force_ns).min(before_ns);
        let finishing = earlier.is_some_and(|earlier| earlier.finishing);
        Self { since_ns, stops_at_ns, killed: stops_at_ns < by_itself_ns, finishing }
    }
}
