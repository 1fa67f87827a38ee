//! Pods that the provider is spared.
//!
//! In: convictions (see [`crate::strikes`]), calls. Out: whether a call is let in. Invariant: a convicted pod's calls do not reach the provider until
//! its time is up or its content has changed; deleting it is always allowed.
//!
//! Without this a pod that crashes the provider would do so again at every attempt of the host, for all the others to suffer.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::strikes::CULPRIT_STRIKES;

/// The first sentence; each later one is twice as long as the last.
const FIRST: Duration = Duration::from_secs(60);

/// The longest sentence. A backend may have been mended, so nobody is convicted for good.
const LONGEST: Duration = Duration::from_secs(3600);

/// How many convictions are remembered. A provider that crashes on everything would otherwise fill the host's memory with the names.
const MAX_CONVICTS: usize = 4096;

/// What a pod was convicted of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sentence {
    /// How often it crashed the provider.
    pub(crate) strikes: u32,
    /// What the engine said the last time.
    pub(crate) message: String,
    /// What the pod looked like; None when only its name was known.
    content: Option<u64>,
    until: Instant,
}

/// The convicts. Pure: the time is given.
#[derive(Debug, Default)]
pub(crate) struct Quarantine(HashMap<Arc<str>, Sentence>);

impl Quarantine {
    /// A pod with that content has crashed the provider for the `strikes`th time.
    pub(crate) fn convict(&mut self, uid: Arc<str>, content: Option<u64>, strikes: u32, message: &str, now: Instant) {
        if self.0.len() >= MAX_CONVICTS && !self.0.contains_key(&uid) {
            let earliest = self.0.iter().min_by_key(|(_, sentence)| sentence.until).map(|(uid, _)| Arc::clone(uid));
            earliest.map(|uid| self.0.remove(&uid));
        }
        let doublings = strikes.saturating_sub(CULPRIT_STRIKES).min(16);
        let until = now + FIRST.saturating_mul(1 << doublings).min(LONGEST);
        self.0.insert(uid, Sentence { strikes, message: message.to_owned(), content, until });
    }

    /// Why a call is not let in. `content` is that of the pod as it is to be, where the call brings one.
    pub(crate) fn refuses(&self, uid: &str, content: Option<u64>, now: Instant) -> Option<&Sentence> {
        let sentence = self.0.get(uid)?;
        let changed = content.is_some() && content != sentence.content;
        (now < sentence.until && !changed).then_some(sentence)
    }

    /// The provider answered for the pod after all.
    pub(crate) fn release(&mut self, uid: &str) {
        self.0.remove(uid);
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_convict_waits_longer_each_time_but_never_for_good() {
        let start = Instant::now();
        let mut quarantine = Quarantine::default();
        for (strikes, minutes) in [(3, 1), (4, 2), (5, 4), (20, 60)] {
            quarantine.convict("pod".into(), Some(1), strikes, "trap", start);
            let end = start + Duration::from_secs(60 * minutes);
            assert!(quarantine.refuses("pod", Some(1), end - Duration::from_secs(1)).is_some());
            assert!(quarantine.refuses("pod", Some(1), end).is_none(), "{strikes} strikes");
        }
    }

    #[test]
    fn a_changed_pod_is_let_in_and_an_answered_one_released() {
        let now = Instant::now();
        let mut quarantine = Quarantine::default();
        quarantine.convict("pod".into(), Some(1), 3, "trap", now);
        assert!(quarantine.refuses("pod", None, now).is_some(), "a question about it is not a change");
        assert!(quarantine.refuses("pod", Some(2), now).is_none());
        assert!(quarantine.refuses("other", Some(1), now).is_none());
        quarantine.release("pod");
        assert!(quarantine.refuses("pod", Some(1), now).is_none());
    }

    #[test]
    fn the_table_is_bounded() {
        let now = Instant::now();
        let mut quarantine = Quarantine::default();
        for n in 0..MAX_CONVICTS + 10 {
            quarantine.convict(format!("{n}").into(), None, 3, "trap", now);
        }
        assert_eq!(quarantine.len(), MAX_CONVICTS);
    }
}
