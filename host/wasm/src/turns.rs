//! Which suspects may be inside the component at the same time.
//!
//! In: suspects that want to make a call. Out: a [`Turn`], held for as long as the call may be to blame. Invariant: with one strike a suspect is
//! alone among the suspects for its first moments; with more it is alone for its whole call, and only then can a crash convict it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, OwnedSemaphorePermit, RwLock, Semaphore};
use tokio::time::timeout;

/// How long a suspect with one strike is alone among the suspects. One that crashes the provider does so at once as a rule, or after the two
/// seconds that a loop is given; one that is only slow must not keep the innocent ones waiting for its whole call. With two strikes it is
/// alone for as long as its call takes: nobody is convicted for having been there when somebody else crashed.
const FIRST_MOMENTS: Duration = Duration::from_secs(3);

/// The order among suspects.
pub(crate) struct Turns {
    /// Held by the one in its first moments.
    first: Arc<Semaphore>,
    /// Read by all suspects that are inside, written by the one that is alone.
    inside: Arc<RwLock<()>>,
    alone: Arc<Mutex<Option<Arc<str>>>>,
}

/// The right of one suspect to be inside.
pub(crate) enum Turn {
    /// Others may be there that have had their first moments.
    Shared { first: OwnedSemaphorePermit, inside: OwnedRwLockReadGuard<()> },
    /// Nobody else who is suspected is there.
    Alone(Alone),
}

/// Held by the one that is alone.
pub(crate) struct Alone {
    _inside: OwnedRwLockWriteGuard<()>,
    mark: Arc<Mutex<Option<Arc<str>>>>,
}

impl Drop for Alone {
    fn drop(&mut self) {
        *self.mark.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Default for Turns {
    fn default() -> Self {
        Self { first: Arc::new(Semaphore::new(1)), inside: Arc::default(), alone: Arc::default() }
    }
}

impl Turns {
    /// Wait for a turn, no longer than `patience`. None when it did not come.
    pub(crate) async fn take(&self, uid: &Arc<str>, alone: bool, patience: Duration) -> Option<Turn> {
        timeout(patience, self.wait(uid, alone)).await.ok()?
    }

    async fn wait(&self, uid: &Arc<str>, alone: bool) -> Option<Turn> {
        if alone {
            let inside = Arc::clone(&self.inside).write_owned().await;
            *self.alone.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(uid));
            return Some(Turn::Alone(Alone { _inside: inside, mark: Arc::clone(&self.alone) }));
        }
        let inside = Arc::clone(&self.inside).read_owned().await;
        let first = Arc::clone(&self.first).acquire_owned().await.ok()?;
        Some(Turn::Shared { first, inside })
    }

    /// The suspect that is alone inside, if one is.
    pub(crate) fn alone(&self) -> Option<Arc<str>> {
        self.alone.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Turn {
    /// Await the answer of the call that it is for.
    pub(crate) async fn hold<T>(self, answer: impl Future<Output = T>) -> T {
        let (first, _inside) = match self {
            Self::Alone(alone) => {
                let answer = answer.await;
                drop(alone);
                return answer;
            }
            Self::Shared { first, inside } => (first, inside),
        };
        let mut answer = std::pin::pin!(answer);
        match timeout(FIRST_MOMENTS, answer.as_mut()).await {
            Ok(answer) => answer,
            Err(_) => {
                drop(first);
                answer.await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn with_one_strike_suspects_follow_each_other_after_their_first_moments() {
        let turns = Turns::default();
        let slow = turns.take(&"slow".into(), false, PATIENCE).await.unwrap();
        let mut call = std::pin::pin!(slow.hold(std::future::pending::<()>()));
        assert!(call.as_mut().now_or_never().is_none());
        let next: Arc<str> = "next".into();
        let begun = tokio::time::Instant::now();
        tokio::select! {
            // Cancel-safe: the test is over.
            () = call => panic!("the call ended"),
            // As above.
            next = turns.take(&next, false, PATIENCE) => assert!(next.is_some()),
        }
        assert_eq!(begun.elapsed(), FIRST_MOMENTS);
    }

    #[tokio::test(start_paused = true)]
    async fn with_two_strikes_a_suspect_waits_for_the_others_and_they_for_it() {
        let turns = Turns::default();
        let shared = turns.take(&"shared".into(), false, PATIENCE).await.unwrap();
        assert!(turns.take(&"alone".into(), true, PATIENCE).await.is_none(), "another suspect is inside");
        drop(shared);
        let alone = turns.take(&"alone".into(), true, PATIENCE).await.unwrap();
        assert_eq!(turns.alone().as_deref(), Some("alone"));
        assert!(turns.take(&"other".into(), false, PATIENCE).await.is_none());
        drop(alone);
        assert_eq!(turns.alone(), None);
        assert!(turns.take(&"other".into(), false, PATIENCE).await.is_some());
    }
}
