//! Looking at what a node asked of the API server.
//!
//! In: calls of the audit log. Out: those of one node, and what they amount to. Invariant: pure.

use controlplane::Call;

/// The calls that this node made with its own identity.
pub fn by<'a>(calls: &'a [Call], node: &str) -> impl Iterator<Item = &'a Call> + use<'a> {
    let user = format!("system:node:{node}");
    calls.iter().filter(move |call| call.user == user)
}

/// The kinds of the writes on pods that this node made.
#[must_use]
pub fn pod_writes(calls: &[Call], node: &str) -> Vec<String> {
    by(calls, node).filter(|call| call.resource == "pods" && call.is_write()).map(Call::kind).collect()
}

/// How many of these watches were open at the same time, at most.
#[must_use]
pub fn most_open_at_once<'a>(watches: impl IntoIterator<Item = &'a Call>) -> usize {
    let watches: Vec<&Call> = watches.into_iter().filter(|call| call.verb == "watch" && call.code == 200).collect();
    let open_when = |begun: &Call| {
        let is_open =
            |other: &&&Call| other.answered <= begun.answered && other.ended.is_none_or(|end| end > begun.answered);
        watches.iter().filter(is_open).count()
    };
    watches.iter().map(|watch| open_when(watch)).max().unwrap_or(0)
}
